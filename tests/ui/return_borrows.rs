use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(name: &str) -> Option<&str> {
    Some(name)
}

fn main() {}
