use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> Result<Result<u64, String>, String> {
    Ok(Ok(id))
}

fn main() {}
