use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, key = "user:{id}")]
async fn get(id: u64, lang: String) -> u64 {
    id + lang.len() as u64
}

fn main() {}
