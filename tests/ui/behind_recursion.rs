use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, stale_while_revalidate = 60)]
async fn fibonacci(n: u64) -> u64 {
    match n {
        0 | 1 => n,
        n => Box::pin(fibonacci(n - 1)).await + Box::pin(fibonacci(n - 2)).await,
    }
}

fn main() {}
