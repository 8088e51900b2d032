use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, none_ttl = |v| v)]
async fn get(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
