use cache_runtime::redis_cached;

mod users {
    use cache_runtime::redis_cached;

    #[redis_cached(ttl = 300, companions = none)]
    pub async fn alone(id: u64) -> String {
        format!("user {id}")
    }

    #[redis_cached(ttl = 300, companions = "load_name")]
    pub async fn name(id: u64) -> String {
        format!("user {id}")
    }

    #[redis_cached(ttl = 300)]
    pub async fn email(id: u64) -> String {
        format!("user {id}")
    }
}

use users::email;

#[redis_cached(ttl = 300, entry = users::alone)]
async fn of_none(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = users::name)]
async fn of_another_stem(id: u64) -> String {
    format!("user {id}")
}

#[redis_cached(ttl = 300, entry = email)]
async fn imported_without_its_companion(id: u64) -> String {
    email(id).await
}

struct Users;

impl Users {
    #[redis_cached(ttl = 300, entry = Self::name, skip(self))]
    async fn of_nothing(&self, id: u64) -> String {
        format!("user {id}")
    }
}

fn main() {}
