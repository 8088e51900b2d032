use cache_runtime::redis_cached;

#[redis_cached(ttl, version = , key_args, skip = id, in_impl = true)]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
