//! hitbox, in Redis and in memory.
//!
//! `#[cached]` functions as in <https://docs.rs/hitbox-fn/0.2.1/hitbox_fn/#quick-start>. Values are stored as bincode,
//! which the tables of <https://docs.rs/hitbox-redis/0.2.1/hitbox_redis/#serialization-formats> and of hitbox-moka
//! recommend, so hits are decoded in memory too. Against stampedes its documentation recommends
//! `BroadcastConcurrencyManager` for production, which acts where the policy has a limit of concurrency.

use std::time::Duration;

use hitbox::CacheableResponse;
use hitbox::concurrency::BroadcastConcurrencyManager;
use hitbox::policy::{ConcurrencyLimit, PolicyConfig};
use hitbox_backend::CacheBackend;
use hitbox_backend::format::BincodeFormat;
use hitbox_fn::{Cache, cached};
use hitbox_moka::MokaBackend;
use hitbox_redis::{ConnectionMode, RedisBackend};

use super::Contender;
use crate::values::{Price, User, price_from_source, user_from_source};

type Of<B, V> = Cache<B, BroadcastConcurrencyManager<V>>;

/// One cache for each type of value: the concurrency manager has it in its type.
#[derive(Clone)]
pub(crate) struct Hitbox<B> {
    users: Of<B, User>,
    prices: Of<B, Price>,
}

impl Hitbox<RedisBackend<BincodeFormat>> {
    /// In Redis.
    pub(crate) fn on(url: &str) -> Result<Self, hitbox_redis::error::Error> {
        let backend = || {
            let connection = ConnectionMode::single(url);
            RedisBackend::builder().connection(connection).build()
        };
        Ok(Self::with(backend()?, backend()?))
    }
}

impl Hitbox<MokaBackend<BincodeFormat>> {
    /// In memory.
    pub(crate) fn in_memory() -> Self {
        let backend = || {
            let builder = MokaBackend::builder().max_entries(10_000);
            builder.value_format(BincodeFormat).build()
        };
        Self::with(backend(), backend())
    }
}

impl<B: CacheBackend> Hitbox<B> {
    fn with(users: B, prices: B) -> Self {
        Self {
            users: cache(users),
            prices: cache(prices),
        }
    }
}

fn cache<B: CacheBackend, V: CacheableResponse>(backend: B) -> Of<B, V> {
    let policy = PolicyConfig::builder()
        .ttl(Duration::from_secs(3600))
        .concurrency(ConcurrencyLimit::MIN);
    Cache::builder()
        .backend(backend)
        .policy(policy.build())
        .concurrency_manager(BroadcastConcurrencyManager::new())
        .build()
}

#[cached]
async fn hitbox_user(id: u64) -> User {
    user_from_source(id)
}

#[cached]
async fn hitbox_price(id: u64) -> Price {
    price_from_source(id)
}

impl<B: CacheBackend + Clone + Send + Sync + 'static> Contender for Hitbox<B> {
    async fn user(&self, id: u64) -> User {
        hitbox_user(id).cache(&self.users).await
    }

    async fn price(&self, id: u64) -> Price {
        hitbox_price(id).cache(&self.prices).await
    }
}
