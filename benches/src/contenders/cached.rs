//! `cached`, in Redis and in memory.
//!
//! In Redis: `#[concurrent_cached]` with the store built from an address that is known at run time, as in
//! <https://github.com/jaemk/cached/blob/master/examples/redis-async-tokio.rs>. In memory: `#[concurrent_cached]`,
//! the sharded store of <https://docs.rs/cached/4.1.0/cached/#the-concurrent_cached-macro>, and `#[cached]` with
//! `sync_writes = "by_key"`, the one form in which callers of one key wait for one body run.

use std::sync::OnceLock;

use cached::AsyncRedisCache;
use cached::macros::{cached, concurrent_cached};
use cached::time::Duration;

use super::Contender;
use crate::values::{Price, User, price_from_source, user_from_source};

const TTL: Duration = Duration::from_secs(3600);

static URL: OnceLock<String> = OnceLock::new();

fn url() -> &'static str {
    URL.get()
        .expect("the server is known before the first call")
}

/// In Redis.
#[derive(Clone)]
pub(crate) struct CachedRedis(());

impl CachedRedis {
    /// The server is one for the whole process, as the stores are.
    pub(crate) fn on(url: &str) -> Self {
        URL.get_or_init(|| url.to_owned());
        Self(())
    }
}

#[concurrent_cached(
    map_error = |e| e.to_string(),
    ty = "AsyncRedisCache<u64, User>",
    create = {
        AsyncRedisCache::builder("cached_user")
            .ttl(TTL)
            .connection_string(url())
            .build()
            .await
            .expect("a server that runs")
    }
)]
async fn redis_user(id: u64) -> Result<User, String> {
    Ok(user_from_source(id))
}

#[concurrent_cached(
    map_error = |e| e.to_string(),
    ty = "AsyncRedisCache<u64, Price>",
    create = {
        AsyncRedisCache::builder("cached_price")
            .ttl(TTL)
            .connection_string(url())
            .build()
            .await
            .expect("a server that runs")
    }
)]
async fn redis_price(id: u64) -> Result<Price, String> {
    Ok(price_from_source(id))
}

impl Contender for CachedRedis {
    async fn user(&self, id: u64) -> User {
        redis_user(id)
            .await
            .unwrap_or_else(|_| user_from_source(id))
    }

    async fn price(&self, id: u64) -> Price {
        redis_price(id)
            .await
            .unwrap_or_else(|_| price_from_source(id))
    }
}

/// In memory, with a lock for each shard.
#[derive(Clone)]
pub(crate) struct CachedSharded;

#[concurrent_cached(max_size = 10_000, ttl_secs = 3600)]
async fn sharded_user(id: u64) -> User {
    user_from_source(id)
}

#[concurrent_cached(max_size = 10_000, ttl_secs = 3600)]
async fn sharded_price(id: u64) -> Price {
    price_from_source(id)
}

impl Contender for CachedSharded {
    async fn user(&self, id: u64) -> User {
        sharded_user(id).await
    }

    async fn price(&self, id: u64) -> Price {
        sharded_price(id).await
    }
}

/// In memory, where callers of one key wait for one body run.
#[derive(Clone)]
pub(crate) struct CachedByKey;

#[cached(max_size = 10_000, ttl_secs = 3600, sync_writes = "by_key")]
async fn by_key_user(id: u64) -> User {
    user_from_source(id)
}

#[cached(max_size = 10_000, ttl_secs = 3600, sync_writes = "by_key")]
async fn by_key_price(id: u64) -> Price {
    price_from_source(id)
}

impl Contender for CachedByKey {
    async fn user(&self, id: u64) -> User {
        by_key_user(id).await
    }

    async fn price(&self, id: u64) -> Price {
        by_key_price(id).await
    }
}
