use cache_runtime::redis_cached;

#[redis_cached(ttl = "1.5h")]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
