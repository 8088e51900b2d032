use cache_runtime::redis_cached;

#[redis_cached("5m", skip(pool))]
async fn get(pool: &str, id: u64) -> u64 {
    id
}

fn main() {}
