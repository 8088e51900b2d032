use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, jitter = 0.1, stale_while_revalidate = "1m", tags("a"))]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
