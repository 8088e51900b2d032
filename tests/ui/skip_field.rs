use cache_runtime::redis_cached;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct User {
    id: u64,
}

#[redis_cached(ttl = 300, skip(user.id))]
async fn get(user: User) -> u64 {
    user.id
}

fn main() {}
