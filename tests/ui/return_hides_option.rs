use cache_runtime::redis_cached;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct User {
    id: u64,
}

type Maybe<T> = Option<T>;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> Result<Maybe<User>, String> {
    Ok(Some(User { id }))
}

fn main() {}
