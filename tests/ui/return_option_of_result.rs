use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> Option<Result<u64, String>> {
    Some(Ok(id))
}

fn main() {}
