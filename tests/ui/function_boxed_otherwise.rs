use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
fn get(id: u64) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> {
    let id = id + 1;
    Box::pin(async move { id })
}

fn main() {}
