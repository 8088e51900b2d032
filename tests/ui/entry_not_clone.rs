use cache_runtime::redis_cached;

#[derive(serde::Serialize)]
struct Id(u64);

#[redis_cached(ttl = 300)]
async fn name(id: Id) -> String {
    format!("user {}", id.0)
}

#[redis_cached(ttl = 300, entry = name)]
async fn other_name(id: Id) -> String {
    format!("user {}", id.0)
}

fn main() {}
