use cache_runtime::redis_cached;

struct Users;

impl Users {
    #[redis_cached(ttl = 300, refresh_ahead = 0.8, companions = none)]
    async fn count(group: u64) -> u64 {
        group
    }

    #[redis_cached(ttl = 300, entry = first)]
    async fn second(group: u64) -> u64 {
        group
    }

    #[redis_cached(ttl = 300, in_impl)]
    async fn first(group: u64) -> u64 {
        group
    }
}

fn main() {
    let _ = Users;
}
