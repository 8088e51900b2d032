use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, key = "user:{id}", namespace = "users", version = 2, key_args(id))]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
