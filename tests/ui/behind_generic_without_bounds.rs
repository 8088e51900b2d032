use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(db))]
async fn get<D>(db: &D, id: u64) -> u64 {
    let _ = db;
    id
}

fn main() {}
