use cache_runtime::{CacheKey, key};

struct Context {
    pool: Pool,
}

struct Pool;

fn of(context: &Context, id: u64) -> CacheKey {
    key!("user:{context.pool}:{id}")
}

fn main() {}
