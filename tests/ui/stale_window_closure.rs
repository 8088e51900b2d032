use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, stale_if_error = |value| value.lifetime)]
async fn get(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
