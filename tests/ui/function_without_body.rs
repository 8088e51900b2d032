use cache_runtime::redis_cached;

trait Users {
    #[redis_cached(ttl = 300)]
    async fn get(&self, id: u64) -> u64;
}

fn main() {}
