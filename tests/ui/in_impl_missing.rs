use cache_runtime::redis_cached;

struct Users;

impl Users {
    #[redis_cached(ttl = 300)]
    async fn count(group: u64) -> u64 {
        group
    }
}

fn main() {
    let _ = Users;
}
