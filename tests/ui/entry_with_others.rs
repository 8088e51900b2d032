use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn name(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = name, key = "name:{id}")]
async fn with_key(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = name, namespace = "names", version = 2)]
async fn with_namespace(id: u64) -> String {
    format!("user {id}")
}

fn main() {}
