use cache_runtime::redis_cached;
use std::rc::Rc;

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(pool))]
async fn get(pool: Rc<u64>, id: u64) -> u64 {
    let _ = pool;
    id
}

fn main() {}
