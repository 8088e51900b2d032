use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
const fn get(id: u64) -> u64 {
    id
}

fn main() {}
