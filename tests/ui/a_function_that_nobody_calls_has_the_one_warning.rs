#![deny(dead_code)]

use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get(id: u64) -> u64 {
    id
}

struct Users;

impl Users {
    #[redis_cached(ttl = 300, skip(self))]
    async fn count(&self) -> u64 {
        1
    }
}

fn main() {
    let _ = Users;
}
