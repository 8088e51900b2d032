use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, jitter = 300)]
async fn get(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
