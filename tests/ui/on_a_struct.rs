use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
struct User;

fn main() {}
