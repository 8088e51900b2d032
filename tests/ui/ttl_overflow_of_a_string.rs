use cache_runtime::redis_cached;

#[redis_cached(ttl = "106751991168d")]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
