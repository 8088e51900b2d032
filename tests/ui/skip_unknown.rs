use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, skip(dbb))]
async fn get(id: u64, db: u64) -> u64 {
    id + db
}

fn main() {}
