use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, share_errors = none)]
async fn get(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
