use cache_runtime::redis_cached;

struct Failed(std::rc::Rc<str>);

#[redis_cached(ttl = 300, share_errors = |error| Failed(error.0.clone()))]
async fn get(id: u64) -> Result<u64, Failed> {
    Ok(id)
}

fn main() {}
