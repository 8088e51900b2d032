//! This project, as its README says, with all that it does by default: counters, time limits, the breaker,
//! single-flight, and the right to store.

use std::convert::Infallible;
use std::sync::LazyLock;

use cache_runtime::{Cache, Error, redis_cached, set_cache};

use super::Contender;
use crate::values::{Price, User, price_from_source, user_from_source};

/// The global cache, on Redis.
#[derive(Clone)]
pub(crate) struct RedisCached(());

impl RedisCached {
    /// Does in code what `REDIS_URL` does.
    pub(crate) fn on(url: &str) -> Result<Self, Error> {
        set_cache(Cache::builder().url(url).build()?);
        Ok(Self(()))
    }
}

#[redis_cached(ttl = 3600)]
async fn user(id: u64) -> Result<User, Infallible> {
    Ok(user_from_source(id))
}

#[redis_cached(ttl = 3600)]
async fn price(id: u64) -> Result<Price, Infallible> {
    Ok(price_from_source(id))
}

impl Contender for RedisCached {
    async fn user(&self, id: u64) -> User {
        let Ok(user) = user(id).await;
        user
    }

    async fn price(&self, id: u64) -> Price {
        let Ok(price) = price(id).await;
        price
    }
}

/// The in-process store, which is what there is without a Redis.
#[derive(Clone)]
pub(crate) struct RedisCachedInMemory;

static IN_MEMORY: LazyLock<Cache> = LazyLock::new(|| {
    let cache = Cache::builder().in_memory().build();
    cache.expect("nothing in it can be wrong")
});

#[redis_cached(ttl = 3600, cache = &*IN_MEMORY)]
async fn user_in_memory(id: u64) -> Result<User, Infallible> {
    Ok(user_from_source(id))
}

#[redis_cached(ttl = 3600, cache = &*IN_MEMORY)]
async fn price_in_memory(id: u64) -> Result<Price, Infallible> {
    Ok(price_from_source(id))
}

impl Contender for RedisCachedInMemory {
    async fn user(&self, id: u64) -> User {
        let Ok(user) = user_in_memory(id).await;
        user
    }

    async fn price(&self, id: u64) -> Price {
        let Ok(price) = price_in_memory(id).await;
        price
    }
}
