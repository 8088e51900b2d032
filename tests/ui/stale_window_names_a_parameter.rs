use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, stale_while_revalidate = std::time::Duration::from_secs(id))]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
