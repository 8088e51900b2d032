use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, coalesce = cluster)]
async fn get(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
