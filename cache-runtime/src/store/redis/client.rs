//! Redis as the store of one cache: its connections, and whether it is there.
//!
//! The one rule: **what one purpose does to a connection, no other one feels**: cached functions, the user's own
//! commands and waits for locks have a pool of links each.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::sync::watch;

use super::{
    connect::Connector,
    gate::{Gate, Ping},
    link::Link,
    links::Links,
    live::{Live, Purpose},
    retry::FailureKind,
    server::Server,
    watch::Watches,
};
use crate::{
    error::{Error, ErrorKind},
    observe::stats::StoreStats,
};

/// How long one probe of the breaker may take.
const PROBE: Duration = Duration::from_secs(2);

/// Redis as the store of one cache.
#[derive(Debug)]
pub(crate) struct RedisStore {
    server: Arc<Server>,
    links: Links,
    /// Connections for commands of the user's own, which may block or change what they run in.
    own_links: Links,
    /// Connections that hear of locks which other processes hold.
    pub(super) watches: Watches,
    /// How many locks are being let go.
    leaving: watch::Sender<usize>,
}

impl RedisStore {
    pub(crate) fn new(connector: Connector, timeout: Duration) -> Arc<Self> {
        Arc::new_cyclic(|store: &Weak<Self>| {
            let store = store.clone();
            // Weak, because a cache that nobody has any more needs no probe.
            let ping: Ping = Box::new(move || {
                let store = store.upgrade()?;
                Some(async move { store.probe().await }.boxed())
            });
            let server = Arc::new(Server::new(connector, timeout, ping));
            Self {
                links: Links::new(&server, Purpose::Commands),
                own_links: Links::new(&server, Purpose::Commands),
                watches: Watches::new(&server),
                leaving: watch::Sender::new(0),
                server,
            }
        })
    }

    pub(crate) fn gate(&self) -> &Gate {
        self.server.gate()
    }

    pub(crate) fn connector(&self) -> &Connector {
        self.server.connector()
    }

    pub(crate) fn connections_tried(&self) -> u64 {
        self.server.connections_tried()
    }

    pub(crate) fn stats(&self) -> StoreStats {
        let endpoint = self.connector().endpoint();
        StoreStats::Redis {
            endpoint: endpoint.to_string(),
            tls: endpoint.has_tls(),
            connections: self.connected(),
            connections_tried: self.connections_tried(),
            breaker: self.gate().breaker_state(),
            breaker_opened: self.gate().times_opened(),
            token: self.connector().auth().stats(),
        }
    }

    pub(crate) fn connected(&self) -> usize {
        self.links.connected() + self.own_links.connected() + self.watches.connected()
    }

    /// Notes that a lock is being let go, until what this returns is dropped.
    pub(crate) fn letting_go(self: &Arc<Self>) -> LettingGo {
        self.leaving.send_modify(|locks| *locks += 1);
        LettingGo(Arc::clone(self))
    }

    /// Waits until no lock is being let go.
    pub(crate) async fn locks_let_go(&self) {
        // Never closed, because `self` has the sender.
        let _ = self.leaving.subscribe().wait_for(|locks| *locks == 0).await;
    }

    /// Ends every connection, for good.
    pub(crate) fn close(&self) {
        self.connector().auth().close();
        self.links.close();
        self.own_links.close();
        self.watches.close();
    }

    /// Asks whether Redis is back, on a new connection unless the present one answers.
    async fn probe(&self) -> Result<(), Error> {
        let link = self.links.present()?;
        let deadline = Instant::now() + PROBE;
        let mut broken = None;
        loop {
            let live = link.live(broken, deadline).await?;
            let number = live.number;
            let command = redis::cmd("PING");
            let mut connection = live.connection.clone();
            let ping = command.query_async::<()>(&mut connection);
            match tokio::time::timeout(self.server.timeout(), ping).await {
                Ok(Ok(())) => return Ok(()),
                // A refusal is an answer: the user may lack the right to PING.
                Ok(Err(error)) if FailureKind::of(&error) == FailureKind::Refused => return Ok(()),
                Ok(Err(error)) if broken.is_some() => return Err(Error::from_redis(&error)),
                Err(_) if broken.is_some() => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        "redis did not answer a probe",
                    ));
                }
                Ok(Err(_)) | Err(_) => broken = Some(number),
            }
        }
    }

    /// Waits until the key `lock` no longer holds `seen`; see [`Watches::changed`].
    pub(crate) async fn changed(&self, lock: &str, seen: &[u8], attempt: u32, until: Instant) {
        self.watches.changed(lock, seen, attempt, until).await;
    }

    /// The present runtime's connection for commands, made when it is first needed.
    ///
    /// # Errors
    ///
    /// If this runtime cannot be used at all.
    pub(crate) fn link(&self) -> Result<Arc<Link>, Error> {
        self.links.present()
    }

    /// How many callers' reads wait or are on their way right now.
    pub(crate) fn reading(&self) -> usize {
        self.links.reads()
    }

    /// The present runtime's connection for commands of the user's own, and its link, because a link that nobody holds
    /// may be closed.
    ///
    /// `broken`: the number of a connection that is of no more use.
    pub(crate) async fn own_live(
        &self,
        broken: Option<u64>,
    ) -> Result<(Arc<Link>, Arc<Live>), Error> {
        let link = self.own_links.present()?;
        let auth = self.connector().auth();
        auth.ensure_refresher(Instant::now());
        if let Some(number) = broken {
            link.not_logged_in(number);
        }
        if !auth.has_credentials() {
            // The first token may take longer than an operation may, and a user's command has no body to run instead.
            // Where no token comes, the attempt to connect says why.
            let _first = auth.credentials().await;
        }
        let deadline = Instant::now() + self.server.timeout();
        let live = link.live(broken, deadline).await?;
        Ok((link, live))
    }
}

/// A guard: a lock is being let go until it is dropped, and a shutdown waits for that.
#[derive(Debug)]
pub(crate) struct LettingGo(Arc<RedisStore>);

impl Drop for LettingGo {
    fn drop(&mut self) {
        self.0.leaving.send_modify(|locks| *locks -= 1);
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        // Closed here, because a connection's task on a runtime that nobody drives keeps the connector.
        self.connector().auth().close();
    }
}
