use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
const USER: u64 = 5;

fn main() {}
