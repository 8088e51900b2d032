use cache_runtime::redis_cached;

struct Users;

impl Users {
    #[redis_cached(ttl = 300)]
    async fn get(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
