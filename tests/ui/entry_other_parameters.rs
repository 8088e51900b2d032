use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn name(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = name)]
async fn of_two(id: u64, verbose: bool) -> String {
    format!("user {id} {verbose}")
}

#[redis_cached(ttl = 300, entry = name)]
async fn of_another_type(id: u32) -> String {
    format!("user {id}")
}

fn main() {}
