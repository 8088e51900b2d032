//! A promise holds on both stores, so its test runs on both.

use std::time::Duration;

use cache_runtime::{Cache, CacheBuilder};

use crate::redis_server::RedisServer;

/// More than any operation takes on a busy machine, so that no test is about timeouts unless it says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cache on the in-process store, and one on a Redis server of its own.
#[derive(Debug)]
pub struct Stores {
    /// The one in this process.
    pub memory: Cache,
    /// The one on [`server`](Self::server).
    pub redis: Cache,
    /// The server behind [`redis`](Self::redis).
    pub server: RedisServer,
}

impl Stores {
    /// Starts the server.
    ///
    /// # Panics
    ///
    /// As [`RedisServer::start`].
    ///
    /// # Cancel safety
    ///
    /// As [`RedisServer::start`].
    pub async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    /// Starts the server; `set` says what else both caches have, such as a clock.
    ///
    /// # Panics
    ///
    /// As [`RedisServer::start`], and when `set` says what no cache accepts.
    ///
    /// # Cancel safety
    ///
    /// As [`RedisServer::start`].
    pub async fn with(set: impl Fn(CacheBuilder) -> CacheBuilder) -> Self {
        let server = RedisServer::start().await;
        let build = |builder| set(builder).build().expect("settings that a cache accepts");
        Self {
            memory: build(Cache::builder().in_memory()),
            redis: build(Cache::builder().url(server.url()).timeout(PATIENCE)),
            server,
        }
    }

    /// Both caches.
    #[must_use]
    pub fn both(&self) -> [&Cache; 2] {
        [&self.memory, &self.redis]
    }
}

/// A cache on a store of its own in this process.
///
/// # Panics
///
/// Never: nothing in it can be misconfigured.
#[must_use]
pub fn in_memory() -> Cache {
    let builder = Cache::builder().in_memory();
    builder.build().expect("a store in this process")
}

/// A cache on the server at `url` that gives up nothing because the machine is busy.
///
/// # Panics
///
/// Panics when the URL is none.
#[must_use]
pub fn patient(url: &str) -> Cache {
    let builder = Cache::builder().url(url).timeout(PATIENCE);
    builder.build().expect("a valid URL")
}
