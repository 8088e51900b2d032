use cache_runtime::redis_cached;

#[redis_cached(ttl = 300)]
async fn get<'a>(name: &'a str) -> std::borrow::Cow<'a, str> {
    name.into()
}

fn main() {}
