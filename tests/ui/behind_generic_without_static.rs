use cache_runtime::redis_cached;

trait Db: Clone + Send + Sync {}

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(db))]
async fn by_reference<D: Db>(db: &D, id: u64) -> u64 {
    let _ = db;
    id
}

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(db))]
async fn by_value(db: impl Db, id: u64) -> u64 {
    let _ = db;
    id
}

fn main() {}
