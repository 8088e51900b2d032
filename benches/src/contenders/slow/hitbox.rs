//! hitbox, as in [`crate::contenders::Hitbox`], and with values that are served while they are recomputed.
//!
//! The latter is `OffloadRevalidate` of <https://docs.rs/hitbox/0.2.4/hitbox/policy/enum.StalePolicy.html>. Callers of one key wait for one body run
//! only where the policy has a limit of concurrency, as in
//! <https://docs.rs/hitbox/0.2.4/hitbox/policy/struct.EnabledCacheConfig.html>.

use std::time::Duration;

use hitbox::concurrency::BroadcastConcurrencyManager;
use hitbox::offload::OffloadManager;
use hitbox::policy::{ConcurrencyLimit, PolicyConfig, StalePolicy};
use hitbox_backend::CacheBackend;
use hitbox_backend::format::BincodeFormat;
use hitbox_fn::{Cache, cached};
use hitbox_moka::MokaBackend;
use hitbox_redis::{ConnectionMode, RedisBackend};

use super::{Function, ROOM, SHORT_TTL, TTL, source};
use crate::values::User;

const ONE: ConcurrencyLimit = ConcurrencyLimit::MIN;

/// In Redis.
pub(super) fn on(url: &str) -> Function {
    function("hitbox", redis(url), lasting())
}

/// In Redis, past a short lifetime still there for a while.
pub(super) fn stale(url: &str) -> Function {
    let policy = PolicyConfig::builder()
        .stale(SHORT_TTL)
        .ttl(SHORT_TTL + Duration::from_secs(60))
        .stale_policy(StalePolicy::OffloadRevalidate)
        .concurrency(ONE);
    function("hitbox, stale", redis(url), policy.build())
}

/// In memory.
pub(super) fn in_memory() -> Function {
    let builder = MokaBackend::builder().max_entries(ROOM as u64);
    let backend = builder.value_format(BincodeFormat).build();
    function("hitbox-moka", backend, lasting())
}

fn redis(url: &str) -> RedisBackend<BincodeFormat> {
    let connection = ConnectionMode::single(url);
    let backend = RedisBackend::builder().connection(connection).build();
    backend.expect("a URL")
}

fn lasting() -> PolicyConfig {
    PolicyConfig::builder().ttl(TTL).concurrency(ONE).build()
}

fn function<B>(name: &'static str, backend: B, policy: PolicyConfig) -> Function
where
    B: CacheBackend + Clone + Send + Sync + 'static,
{
    let cache = Cache::builder()
        .backend(backend)
        .policy(policy)
        .concurrency_manager(BroadcastConcurrencyManager::new())
        .offload(OffloadManager::with_defaults())
        .build();
    Function::new(name, move |id| {
        let cache = cache.clone();
        async move { Ok(hitbox_user(id).cache(&cache).await) }
    })
}

#[cached]
async fn hitbox_user(id: u64) -> User {
    source(id).await
}
