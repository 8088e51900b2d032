use cache_runtime::redis_cached;

#[redis_cached(ttl = TTL)]
async fn get(id: u64) -> u64 {
    id
}

const TTL: u32 = 5;

fn main() {}
