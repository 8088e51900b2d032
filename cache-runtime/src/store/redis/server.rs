//! One Redis server as one cache sees it: all that its connections share.
//!
//! The one rule: **nothing here knows a connection.** Links and the breaker's probe stand above, and hold a [`Server`]
//! by an [`Arc`], so that what they share has one owner, and no import runs back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    connect::Connector,
    gate::{Gate, Ping},
};
use crate::base::clock::ServerTime;

/// A Redis server, how to connect to it, and what is known of it.
#[derive(Debug)]
pub(crate) struct Server {
    connector: Arc<Connector>,
    /// How long an operation may take.
    timeout: Duration,
    gate: Arc<Gate>,
    /// How many connections were begun.
    connections: AtomicU64,
    time: ServerTime,
}

impl Server {
    /// `ping` asks whether the server is back; it is called while the breaker is open.
    pub(super) fn new(connector: Connector, timeout: Duration, ping: Ping) -> Self {
        let token_renewed = Arc::clone(connector.token_renewed());
        Self {
            connector: Arc::new(connector),
            timeout,
            gate: Arc::new(Gate::new(timeout, token_renewed, ping)),
            connections: AtomicU64::new(0),
            time: ServerTime::default(),
        }
    }

    pub(crate) fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// What the server last said of its time.
    pub(crate) fn time(&self) -> &ServerTime {
        &self.time
    }

    /// A number that no other connection has.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// How many connections were made or tried.
    pub(crate) fn connections_tried(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether nothing came since then for so long that the server hangs.
    ///
    /// If something came, the operation was only impatient: its timeout is shorter, or its reply is late among others
    /// that come.
    pub(super) fn is_stall(&self, silent_since: Option<Instant>) -> bool {
        // An operation that comes after another in its call has a little less than the timeout.
        let long = self.timeout.mul_f64(0.9);
        silent_since.is_some_and(|since| since.elapsed() >= long)
    }

    /// Tells the breaker of a stall.
    pub(super) fn stalled(&self) {
        self.gate.stalled(!self.connector.auth().has_credentials());
    }
}
