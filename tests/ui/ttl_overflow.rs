use cache_runtime::redis_cached;

#[redis_cached(ttl = 9223372036854776)]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
