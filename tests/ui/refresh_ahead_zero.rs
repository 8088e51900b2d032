use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, refresh_ahead = 0)]
async fn get(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
