//! For those who write every `return`.

#![deny(clippy::implicit_return)]
#![allow(clippy::needless_return)]

use renamed::redis_cached;

use crate::Native;

/// Alone.
#[redis_cached(ttl = 60, cache_if = |n| return *n > 0, crate = renamed)]
pub async fn alone(id: u64) -> u64 {
    return async { return id }.await;
}

/// With a run behind it.
///
/// # Errors
///
/// Never.
#[redis_cached(ttl = 60, refresh_ahead = 0.8, key = "returns:{name}", crate = renamed)]
pub async fn behind(name: &str) -> Result<Option<String>, String> {
    return async { return Ok(Some(name.to_owned())) }.await;
}

/// With a trait's impl.
#[derive(Debug)]
pub struct Returns;

impl Native for Returns {
    #[redis_cached(ttl = 60, trait_impl, skip(self), crate = renamed)]
    async fn get(&self, id: u64) -> Option<u64> {
        return async { return Some(id) }.await;
    }
}
