use cache_runtime::redis_cached;

struct Row;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> Result<Row, String> {
    let _ = id;
    Ok(Row)
}

fn main() {}
