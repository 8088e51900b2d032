use cache_runtime::redis_cached;

struct Users {
    ttl: std::time::Duration,
}

impl Users {
    #[redis_cached(ttl = self.ttl, none_ttl = self.ttl, skip(self))]
    async fn get(&self, id: u64) -> Option<u64> {
        Some(id)
    }

    #[redis_cached(ttl = |value| self.ttl, skip(self))]
    async fn by_value(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
