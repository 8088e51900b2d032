use cache_runtime::redis_cached;

#[redis_cached(ttl = std::time::Duration::from_secs(id))]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
