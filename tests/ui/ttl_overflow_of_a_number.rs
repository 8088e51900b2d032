use cache_runtime::redis_cached;

#[redis_cached(ttl = 99999999999999999999)]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
