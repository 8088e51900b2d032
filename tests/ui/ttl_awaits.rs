use cache_runtime::redis_cached;

#[redis_cached(ttl = ttl().await)]
async fn get(id: u64) -> u64 {
    id
}

async fn ttl() -> std::time::Duration {
    std::time::Duration::from_secs(1)
}

fn main() {}
