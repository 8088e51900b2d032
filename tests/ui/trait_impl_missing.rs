use cache_runtime::redis_cached;

trait Repository {
    fn get(&self, id: u64) -> impl Future<Output = u64>;
    fn count(group: u64) -> impl Future<Output = u64>;
}

#[derive(serde::Serialize)]
struct Users;

impl Repository for Users {
    #[redis_cached(ttl = 300)]
    async fn get(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(ttl = 300)]
    async fn count(group: u64) -> u64 {
        group
    }
}

fn main() {}
