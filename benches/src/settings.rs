//! What every kind of work is told.
//!
//! **A work takes from here how long it may measure**, so that `--quick` is quick for all of them.

use std::time::Duration;

use cache_tests::RedisServer;

/// How long to measure, and where Redis is.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Whether this run is only to see that it runs.
    pub(crate) quick: bool,
    /// The server that contenders share. It is never emptied, so they keep apart by their keys.
    pub(crate) server: RedisServer,
}

impl Settings {
    /// Starts the server that all contenders share.
    pub(crate) async fn start(quick: bool) -> Self {
        Self {
            quick,
            server: RedisServer::start().await,
        }
    }

    /// How many turns each contender has; a warm-up comes before, and is not counted.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 21 }
    }

    /// How long a contender runs before its turn.
    pub(crate) fn lead_in(&self) -> Duration {
        self.turn() / 2
    }

    /// How long one contender's turn takes.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_millis(if self.quick { 10 } else { 60 })
    }
}
