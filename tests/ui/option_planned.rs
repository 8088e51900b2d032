use cache_runtime::redis_cached;

#[redis_cached(ttl = 300, local = "10s", tags("a"), codec = cbor, compress = true)]
async fn get(id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, near = "5s", clearable, batch = id, encrypt = key)]
async fn find(id: u64) -> u64 {
    id
}

fn main() {}
