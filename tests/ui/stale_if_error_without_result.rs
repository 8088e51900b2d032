use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, stale_if_error = 60)]
async fn get(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
