use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, share_errors = |error, id| error)]
async fn get(id: u64) -> std::io::Result<u64> {
    Ok(id)
}

fn main() {}
