use cache_runtime::redis_cached;
use std::rc::Rc;

#[redis_cached(ttl = 300, stale_while_revalidate = 60)]
async fn get(id: &str) -> u64 {
    let counted = Rc::new(1);
    std::future::ready(id).await;
    *counted
}

fn main() {}
