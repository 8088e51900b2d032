use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, jitter = 1.0 / SHARE)]
async fn get(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
