use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, cache_if = |value| *value > id)]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
