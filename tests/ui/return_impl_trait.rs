use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> impl Sized {
    id
}

fn main() {}
