use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(get_uncached: u64) -> u64 {
    get_uncached
}

fn main() {}
