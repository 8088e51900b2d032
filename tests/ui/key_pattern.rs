use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, key = "user")]
async fn get((a, b): (u64, u64)) -> u64 {
    a + b
}

fn main() {}
