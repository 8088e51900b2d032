//! amalgam, in Redis and in memory.
//!
//! In Redis with backplane and locker, as in
//! <https://github.com/ZoonTronLabs/amalgam/blob/main/examples/redis.rs>; the tier in memory, which every entry has by
//! default, is skipped, or no hit would come from Redis. In memory as in
//! <https://docs.rs/amalgam-cache/0.4.2/amalgam/#basic-use>.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use amalgam::provider::{
    DistributedSerializer, JsonSerializer, RedisBackplane, RedisDistributedCache,
    RedisDistributedLocker,
};
use amalgam::{Cache, EntryOptions, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Contender;
use crate::values::{Price, User, price_from_source, user_from_source};

const TTL: Duration = Duration::from_secs(3600);

/// One cache for each type of value.
#[derive(Clone)]
pub(crate) struct Amalgam {
    users: Cache<User>,
    prices: Cache<Price>,
}

impl Amalgam {
    /// In Redis.
    pub(crate) async fn on(url: &str) -> Result<Self> {
        Ok(Self {
            users: in_redis(url, "users").await?,
            prices: in_redis(url, "prices").await?,
        })
    }

    /// In memory.
    pub(crate) fn in_memory() -> Result<Self> {
        let options = EntryOptions::new(TTL);
        Ok(Self {
            users: Cache::builder()
                .default_options(options.clone())
                .try_build()?,
            prices: Cache::builder().default_options(options).try_build()?,
        })
    }
}

async fn in_redis<V>(url: &str, name: &str) -> Result<Cache<V>>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let serializer: Arc<dyn DistributedSerializer<V>> = Arc::new(JsonSerializer);
    Cache::builder()
        .distributed(Arc::new(RedisDistributedCache::connect(url).await?))
        .serializer(serializer)
        .backplane(Arc::new(RedisBackplane::connect(url).await?))
        .distributed_locker(Arc::new(RedisDistributedLocker::connect(url).await?))
        .instance_id(name)
        .default_options(EntryOptions::new(TTL).with_skip_memory(true, true))
        .try_build()
}

impl Contender for Amalgam {
    async fn user(&self, id: u64) -> User {
        let body = move |_| async move { Ok::<_, Infallible>(user_from_source(id)) };
        let user = self.users.get_or_set(format!("user:{id}"), body).await;
        user.unwrap_or_else(|_| user_from_source(id))
    }

    async fn price(&self, id: u64) -> Price {
        let body = move |_| async move { Ok::<_, Infallible>(price_from_source(id)) };
        let price = self.prices.get_or_set(format!("price:{id}"), body).await;
        price.unwrap_or_else(|_| price_from_source(id))
    }
}
