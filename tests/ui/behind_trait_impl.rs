use cache_runtime::redis_cached;

trait Names {
    async fn name(&self, id: u64) -> String;
}

struct Users;

impl Names for Users {
    #[redis_cached(ttl = 300, stale_while_revalidate = 60, trait_impl, skip(self))]
    async fn name(&self, id: u64) -> String {
        id.to_string()
    }
}

fn main() {}
