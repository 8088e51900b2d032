use cache_runtime::redis_cached;

type Result = std::result::Result<u64, String>;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> Result {
    Ok(id)
}

fn main() {}
