use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, stale_while_revalidate = 5m)]
async fn get(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
