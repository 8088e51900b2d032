//! amalgam, as in [`crate::contenders::Amalgam`], and with values that are recomputed before they end.
//!
//! The latter is the eager refresh of
//! <https://docs.rs/amalgam-cache/0.4.2/amalgam/struct.EntryOptions.html#method.with_eager_refresh>.

use std::convert::Infallible;
use std::sync::Arc;

use amalgam::provider::{
    DistributedSerializer, JsonSerializer, RedisBackplane, RedisDistributedCache,
    RedisDistributedLocker,
};
use amalgam::{Cache, EagerThreshold, EntryOptions};

use super::{Function, SHORT_TTL, TTL, source};
use crate::values::User;

/// In Redis, and not in memory.
pub(super) async fn on(url: &str) -> Function {
    let options = EntryOptions::new(TTL).with_skip_memory(true, true);
    function("amalgam", in_redis(url, options).await)
}

/// In Redis, and recomputed after half of a short lifetime.
pub(super) async fn eager(url: &str) -> Function {
    let options = EntryOptions::new(SHORT_TTL)
        .with_skip_memory(true, true)
        .with_eager_refresh(EagerThreshold::new(0.5));
    function("amalgam, eager refresh", in_redis(url, options).await)
}

/// In memory.
pub(super) fn in_memory() -> Function {
    let cache = Cache::builder().default_options(EntryOptions::new(TTL));
    function(
        "amalgam",
        cache.try_build().expect("options that go together"),
    )
}

async fn in_redis(url: &str, options: EntryOptions) -> Cache<User> {
    let serializer: Arc<dyn DistributedSerializer<User>> = Arc::new(JsonSerializer);
    let cache = RedisDistributedCache::connect(url).await;
    let backplane = RedisBackplane::connect(url).await;
    let locker = RedisDistributedLocker::connect(url).await;
    Cache::builder()
        .distributed(Arc::new(cache.expect("a server that runs")))
        .serializer(serializer)
        .backplane(Arc::new(backplane.expect("a server that runs")))
        .distributed_locker(Arc::new(locker.expect("a server that runs")))
        .instance_id("slow")
        .default_options(options)
        .try_build()
        .expect("options that go together")
}

fn function(name: &'static str, cache: Cache<User>) -> Function {
    Function::new(name, move |id| {
        let cache = cache.clone();
        async move {
            let body = move |_| async move { Ok::<_, Infallible>(source(id).await) };
            let user = cache.get_or_set(format!("user:{id}"), body).await;
            user.map_err(|error| error.to_string())
        }
    })
}
