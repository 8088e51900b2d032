use cache_runtime::redis_cached;

#[redis_cached(tll = 300, skip(poool))]
async fn get(pool: &str, id: u64) -> u64 {
    pool.len() as u64 + id
}

async fn caller() {
    let _ = get("", 1).await + get_uncached("", 1).await;
    let _ = get_entry(1).invalidate().await;
}

fn main() {}
