use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(name: &str) -> Result<u64, &str> {
    name.parse().map_err(|_| name)
}

fn main() {}
