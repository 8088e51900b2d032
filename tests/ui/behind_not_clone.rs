use cache_runtime::redis_cached;

struct Pool;

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(pool))]
async fn get(pool: &Pool, id: u64) -> u64 {
    let _ = pool;
    id
}

fn main() {}
