use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, entry = name)]
async fn name(id: u64) -> String {
    format!("user {id}")
}

struct Users;

impl Users {
    #[redis_cached(ttl = 300, entry = Self::name, skip(self))]
    async fn name(&self, id: u64) -> String {
        format!("user {id}")
    }
}

fn main() {}
