//! How large the futures of cached calls are.
//!
//! **A future is made and never polled**, so neither a server nor a cache is needed.

#![allow(missing_docs)] // `cached` makes public items without any

use std::mem::size_of_val;
use std::sync::OnceLock;

use cache_runtime::redis_cached;
use cached::macros::concurrent_cached;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, RedisError};

use crate::section::Section;
use crate::settings::Settings;

/// Bytes of state that a body holds while it waits.
const SMALL: usize = 16;
const LARGE: usize = 1024;

/// A body with so much state.
async fn body<const N: usize>(id: u64) -> u64 {
    let state = [id as u8; N];
    tokio::task::yield_now().await;
    state.iter().copied().map(u64::from).sum()
}

static CONNECTION: OnceLock<MultiplexedConnection> = OnceLock::new();

/// GET, decode, run, SETEX.
async fn by_hand<const N: usize>(id: u64) -> Result<u64, RedisError> {
    let key = format!("shop:by_hand:{id}");
    let mut connection = CONNECTION
        .get()
        .expect("a connection that was made at the start")
        .clone();
    let stored: Option<Vec<u8>> = connection.get(&key).await?;
    if let Some(hit) = stored.and_then(|json| serde_json::from_slice(&json).ok()) {
        return Ok(hit);
    }
    let value = body::<N>(id).await;
    if let Ok(json) = serde_json::to_vec(&value) {
        let () = connection.set_ex(&key, json, 300).await?;
    }
    Ok(value)
}

#[redis_cached(ttl = 300)]
async fn plain<const N: usize>(id: u64) -> u64 {
    body::<N>(id).await
}

#[redis_cached(ttl = 300)]
async fn result<const N: usize>(id: u64) -> Result<u64, String> {
    Ok(body::<N>(id).await)
}

#[redis_cached(ttl = 300, stale_while_revalidate = "1m")]
async fn stale<const N: usize>(id: u64) -> Result<u64, String> {
    Ok(body::<N>(id).await)
}

#[concurrent_cached(ttl_secs = 300)]
async fn cached_small(id: u64) -> u64 {
    body::<SMALL>(id).await
}

#[concurrent_cached(ttl_secs = 300)]
async fn cached_large(id: u64) -> u64 {
    body::<LARGE>(id).await
}

#[concurrent_cached(redis = true, ttl_secs = 300, map_error = |e| e.to_string())]
async fn cached_redis_small(id: u64) -> Result<u64, String> {
    Ok(body::<SMALL>(id).await)
}

#[concurrent_cached(redis = true, ttl_secs = 300, map_error = |e| e.to_string())]
async fn cached_redis_large(id: u64) -> Result<u64, String> {
    Ok(body::<LARGE>(id).await)
}

/// The sizes of the calls' futures.
pub(crate) fn futures(_: &Settings) -> Section {
    let rows = [
        (
            "the body alone",
            [
                size_of_val(&body::<SMALL>(1)),
                size_of_val(&body::<LARGE>(1)),
            ],
        ),
        (
            "redis-rs by hand",
            [
                size_of_val(&by_hand::<SMALL>(1)),
                size_of_val(&by_hand::<LARGE>(1)),
            ],
        ),
        (
            "#[redis_cached], a plain value",
            [
                size_of_val(&plain::<SMALL>(1)),
                size_of_val(&plain::<LARGE>(1)),
            ],
        ),
        (
            "#[redis_cached], a `Result`",
            [
                size_of_val(&result::<SMALL>(1)),
                size_of_val(&result::<LARGE>(1)),
            ],
        ),
        (
            "#[redis_cached], stale_while_revalidate",
            [
                size_of_val(&stale::<SMALL>(1)),
                size_of_val(&stale::<LARGE>(1)),
            ],
        ),
        (
            "cached, in Redis",
            [
                size_of_val(&cached_redis_small(1)),
                size_of_val(&cached_redis_large(1)),
            ],
        ),
        (
            "cached, in memory",
            [size_of_val(&cached_small(1)), size_of_val(&cached_large(1))],
        ),
    ];
    Section {
        title: "Size of a call's future".to_owned(),
        reading: "Bytes of the future that a cached call returns, with a body that holds so much state while it waits. \
                  A cached body \
                  is only made, on the heap, where it runs. `#[redis_cached]` has one type in memory and in Redis."
            .to_owned(),
        header: ["", "a body of 16 B", "a body of 1 KB"]
            .map(str::to_owned)
            .into(),
        rows: rows.map(|(name, sizes)| row(name, sizes)).into(),
        bars: None,
    }
}

fn row(name: &str, sizes: [usize; 2]) -> Vec<String> {
    let cells = sizes.map(|size| format!("{size} B"));
    std::iter::once(name.to_owned()).chain(cells).collect()
}
