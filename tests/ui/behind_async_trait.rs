use cache_runtime::redis_cached;

#[async_trait::async_trait]
trait Names {
    async fn name(&self, id: u64) -> String;
}

struct Users;

#[async_trait::async_trait]
impl Names for Users {
    #[redis_cached(ttl = 300, refresh_ahead = 0.8, skip(self))]
    async fn name(&self, id: u64) -> String {
        id.to_string()
    }
}

fn main() {}
