use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, none_ttl = 5)]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
