use cache_runtime::{CacheKey, key};

fn without_a_name(id: u64) -> CacheKey {
    key!("user:{id}", id + 1)
}

fn twice() -> CacheKey {
    key!("user:{id}", id = 1, id = 2)
}

fn of_no_use(id: u64) -> CacheKey {
    key!("user:{id}", page = 1)
}

fn of_a_keyword() -> CacheKey {
    key!("user:{type}")
}

fn of_no_value() -> CacheKey {
    key!("user:{Self}:{_}")
}

fn main() {}
