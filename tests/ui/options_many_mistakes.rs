use cache_runtime::redis_cached;

#[redis_cached(tll = 300, skip(idd), versoin = 2, none_ttl = 5, timeout = "5x")]
async fn get(id: u64) -> u64 {
    id
}

fn main() {}
