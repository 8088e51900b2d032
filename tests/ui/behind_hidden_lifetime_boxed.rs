use cache_runtime::redis_cached;
use std::pin::Pin;

struct Context<'a>(&'a str);

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(context))]
fn get(context: Context, id: u64) -> Pin<Box<dyn Future<Output = u64> + Send + '_>> {
    Box::pin(async move { id + context.0.len() as u64 })
}

fn main() {}
