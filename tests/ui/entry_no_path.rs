use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn name(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = "name")]
async fn quoted(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = name(id))]
async fn called(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = |id| name(id))]
async fn closed(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry)]
async fn alone(id: u64) -> String {
    format!("user {id}")
}

fn main() {}
