use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, key = "user")]
async fn get([_, _]: [u64; 2]) -> u64 {
    1
}

#[redis_cached(ttl = 300, key = "user:{a}")]
async fn get_more((a, b): (u64, u64)) -> u64 {
    a + b
}

fn main() {}
