use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(id: u64, #[cfg(all())] db: u64) -> u64 {
    id + db
}

fn main() {}
