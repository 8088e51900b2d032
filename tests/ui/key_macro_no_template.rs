use cache_runtime::{CacheKey, key};

fn nothing() -> CacheKey {
    key!()
}

fn no_literal(id: u64) -> CacheKey {
    key!(id)
}

fn formatted(id: u64) -> CacheKey {
    key!(format!("user:{id}"))
}

fn main() {}
