use cache_runtime::redis_cached;

struct Users;

impl Users {
    #[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(self))]
    async fn get(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
