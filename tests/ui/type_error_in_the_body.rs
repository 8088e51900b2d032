use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> u64 {
    id.to_string()
}

fn main() {}
