use cache_runtime::{CacheKey, key};

fn of(tenant: &str, id: u64) -> CacheKey {
    key!("product:{tenat}:{id}")
}

fn main() {}
