use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, refresh_ahead = "xfetch", skip(scratch))]
async fn get(id: u64, scratch: &mut Vec<u64>) -> u64 {
    id
}

fn main() {}
