//! What every kind of work is told.
//!
//! **A work takes from here how long it may measure**, so that `--quick` is quick for all of them.

use std::time::Duration;

use cache_tests::RedisServer;

/// How long to measure, and where Redis is.
#[derive(Debug)]
pub(crate) struct Settings {
    quick: bool,
    server: RedisServer,
}

impl Settings {
    /// Starts the server that all contenders share.
    pub(crate) async fn start(quick: bool) -> Self {
        Self {
            quick,
            server: RedisServer::start().await,
        }
    }

    /// Whether this run is only to see that it runs.
    pub(crate) fn quick(&self) -> bool {
        self.quick
    }

    /// The shared server; it is never emptied, so works keep apart by their keys.
    pub(crate) fn server(&self) -> &RedisServer {
        &self.server
    }

    /// The shared server's address, `redis://…`.
    pub(crate) fn redis_url(&self) -> String {
        self.server.url()
    }

    /// How many turns each contender has; a warm-up comes before, and is not counted.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 21 }
    }

    /// How long one contender's turn takes.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_millis(if self.quick { 10 } else { 60 })
    }
}
