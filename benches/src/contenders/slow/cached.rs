//! `cached`, as in [`crate::contenders::CachedRedis`] and beside it.
//!
//! The attribute's store on Redis is one for the process and is never made anew, so this is what the attribute expands to, with a store of
//! its own for each server. `cached` makes no connection anew either, unless its feature `redis_connection_manager` is on.

use std::sync::Arc;

use cached::macros::{cached, concurrent_cached};
use cached::{AsyncRedisCache, ConcurrentCachedAsync};

use super::{Function, TTL, source};
use crate::values::User;

/// In Redis.
pub(super) async fn on(url: &str) -> Function {
    let cache: AsyncRedisCache<u64, User> = AsyncRedisCache::builder("cached")
        .ttl(TTL)
        .connection_string(url)
        .build()
        .await
        .expect("a server that runs");
    let cache = Arc::new(cache);
    Function::new("cached", move |id| {
        let cache = Arc::clone(&cache);
        async move {
            if let Some(user) = cache.async_cache_get(&id).await.map_err(text)? {
                return Ok(user);
            }
            let user = source(id).await;
            let stored = cache.async_cache_set(id, user.clone()).await;
            stored.map_err(text)?;
            Ok(user)
        }
    })
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// In memory, with a lock for each shard.
pub(super) fn sharded() -> Function {
    Function::new(
        "cached, sharded",
        |id| async move { Ok(sharded_user(id).await) },
    )
}

#[concurrent_cached(max_size = 400_000, ttl_secs = 3600)]
async fn sharded_user(id: u64) -> User {
    source(id).await
}

/// In memory, where callers of one key wait for one body run.
pub(super) fn by_key() -> Function {
    Function::new(
        "cached, by_key",
        |id| async move { Ok(by_key_user(id).await) },
    )
}

#[cached(max_size = 400_000, ttl_secs = 3600, sync_writes = "by_key")]
async fn by_key_user(id: u64) -> User {
    source(id).await
}
