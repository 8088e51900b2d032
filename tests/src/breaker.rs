//! What a cache says of its Redis: a test looks at the breaker only through the public `stats()`.

use cache_runtime::{BreakerState, Cache, StoreStats};

/// The state of a cache's Redis, as `stats()` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisState {
    /// Connections that stand.
    pub connections: usize,
    /// Connections made or tried so far.
    pub connections_tried: u64,
    /// Whether Redis is asked.
    pub breaker: BreakerState,
    /// How often the breaker opened.
    pub opened: u64,
}

/// The state of this cache's Redis.
///
/// # Panics
///
/// Panics for a cache that has no Redis.
#[must_use]
pub fn redis_state(cache: &Cache) -> RedisState {
    match cache.stats().store {
        StoreStats::Redis {
            connections,
            connections_tried,
            breaker,
            breaker_opened,
            ..
        } => RedisState {
            connections,
            connections_tried,
            breaker,
            opened: breaker_opened,
        },
        other => panic!("not a cache in redis: {other:?}"),
    }
}
