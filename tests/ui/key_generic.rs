use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, key = "user:{id}")]
async fn get<T: From<u64> + serde::Serialize + serde::de::DeserializeOwned + Send + 'static>(id: u64) -> T {
    T::from(id)
}

fn main() {}
