use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get<'a>(list: &'a [u64]) -> Result<&'a [u64], String> {
    Ok(list)
}

fn main() {}
