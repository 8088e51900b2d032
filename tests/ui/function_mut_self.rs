use cache_runtime::redis_cached;

#[derive(serde::Serialize)]
struct Users;

impl Users {
    #[redis_cached(ttl = 300)]
    async fn get(&mut self, id: u64) -> u64 {
        id
    }
}

fn main() {}
