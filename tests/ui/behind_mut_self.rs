use cache_runtime::redis_cached;

#[derive(Clone)]
struct Users(u64);

impl Users {
    #[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(self))]
    async fn get(&mut self, id: u64) -> u64 {
        self.0 = id;
        id
    }
}

fn main() {}
