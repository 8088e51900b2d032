//! This project, as its README says, and with what it has against waiting where a value ends.

use std::convert::Infallible;

use cache_runtime::{Cache, redis_cached};

use super::{Function, ROOM, SHORT_TTL, source};
use crate::values::User;

/// In Redis.
pub(super) fn on(url: &str) -> Function {
    lasting("redis_cached", cache(url))
}

/// In memory.
pub(super) fn in_memory() -> Function {
    let cache = Cache::builder().in_memory().memory_capacity(ROOM as u64);
    lasting("redis_cached", cache.build().expect("a capacity"))
}

fn cache(url: &str) -> Cache {
    Cache::builder().url(url).build().expect("a URL")
}

fn lasting(name: &'static str, cache: Cache) -> Function {
    Function::new(name, move |id| {
        let cache = cache.clone();
        async move { Ok(infallible(user(&cache, id).await)) }
    })
}

/// With a long lifetime, and with a short one: as it is, with old values while they are recomputed, and recomputed ahead of their end.
pub(super) fn short_lived(url: &str) -> Vec<Function> {
    let (ending, stale, ahead) = (cache(url), cache(url), cache(url));
    vec![
        lasting("redis_cached, hits alone", cache(url)),
        Function::new("redis_cached, ttl alone", move |id| {
            let cache = ending.clone();
            async move { Ok(infallible(user_ending(&cache, id).await)) }
        }),
        Function::new("redis_cached, stale_while_revalidate", move |id| {
            let cache = stale.clone();
            async move { Ok(infallible(user_or_stale(&cache, id).await)) }
        }),
        Function::new("redis_cached, refresh_ahead", move |id| {
            let cache = ahead.clone();
            async move { Ok(infallible(user_ahead(&cache, id).await)) }
        }),
    ]
}

fn infallible(user: Result<User, Infallible>) -> User {
    let Ok(user) = user;
    user
}

#[redis_cached(ttl = 3600, skip(cache), cache = cache)]
async fn user(cache: &Cache, id: u64) -> Result<User, Infallible> {
    Ok(source(id).await)
}

#[redis_cached(ttl = SHORT_TTL, skip(cache), cache = cache)]
async fn user_ending(cache: &Cache, id: u64) -> Result<User, Infallible> {
    Ok(source(id).await)
}

#[redis_cached(ttl = SHORT_TTL, stale_while_revalidate = 60, skip(cache), cache = cache)]
async fn user_or_stale(cache: &Cache, id: u64) -> Result<User, Infallible> {
    Ok(source(id).await)
}

#[redis_cached(ttl = SHORT_TTL, refresh_ahead = 0.5, skip(cache), cache = cache)]
async fn user_ahead(cache: &Cache, id: u64) -> Result<User, Infallible> {
    Ok(source(id).await)
}
