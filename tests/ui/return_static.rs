use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn name(id: u64) -> &'static str {
    if id == 1 { "one" } else { "many" }
}

#[redis_cached(ttl = 300)]
async fn names(id: u64) -> Result<Vec<(u64, &'static str)>, &'static str> {
    Ok(vec![(id, "one")])
}

fn main() {}
