use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get<T: Default>(id: u64) -> T {
    let _ = id;
    T::default()
}

fn main() {}
