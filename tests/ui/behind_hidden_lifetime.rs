use cache_runtime::redis_cached;

#[derive(Clone)]
struct Context<'a>(&'a str);

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(context))]
async fn by_reference(context: &Context, id: u64) -> u64 {
    let _ = context.0;
    id
}

#[redis_cached(ttl = 300, stale_while_revalidate = 60, skip(context))]
async fn by_value(context: Context, id: u64) -> u64 {
    let _ = context.0;
    id
}

fn main() {}
