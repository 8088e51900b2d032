use cache_runtime::redis_cached;

#[derive(Clone)]
struct Users<'a>(&'a str);

impl<'a> Users<'a> {
    #[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(self))]
    async fn get(&self, id: u64) -> u64 {
        let _ = self.0;
        id
    }
}

fn main() {}
