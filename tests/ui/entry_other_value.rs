use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn name(id: u64) -> Option<String> {
    Some(format!("user {id}"))
}

#[redis_cached(ttl = 300, entry = name)]
async fn number(id: u64) -> Option<u64> {
    Some(id)
}

#[redis_cached(ttl = 300, entry = name)]
async fn always(id: u64) -> Result<String, std::fmt::Error> {
    Ok(format!("user {id}"))
}

fn main() {}
