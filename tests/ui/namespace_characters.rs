use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, namespace = "users:v2")]
async fn get(id: u64) -> u64 {
    id
}

// It would spell another function's types.
#[redis_cached(ttl = 300, namespace = "users<u64>")]
async fn typed(id: u64) -> u64 {
    id
}

fn main() {}
