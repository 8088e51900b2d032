use cache_runtime::redis_cached;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct User {
    id: u64,
}

type MyResult<T> = Result<T, std::io::Error>;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> MyResult<User> {
    Ok(User { id })
}

fn main() {}
