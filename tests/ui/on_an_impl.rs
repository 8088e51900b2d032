use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
impl Users {
    async fn get(&self) -> u64 {
        1
    }
}

struct Users;

fn main() {}
