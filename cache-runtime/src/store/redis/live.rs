//! One connection that stands.
//!
//! The one rule: **a wait for a reply ends when nobody can give it any more**; the client alone would wait for ever.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use redis::{RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{sync::watch, time::timeout};

use super::{
    connect::{Channel, Connector, Driver, WITHOUT_TLS},
    pulse::Pulse,
    pushes::Pushes,
};
use crate::{
    auth::Credentials,
    error::{Error, ErrorKind},
};

/// How long it may take to make a connection; calls give up waiting for it much earlier.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// What connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Commands,
    /// Hearing what the server pushes. Calls can do without, so the breaker is told of no failure.
    Pushes,
}

/// A connection that works as far as anybody knows.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) pulse: Arc<Pulse>,
    /// Tells this connection from the one that replaces it.
    pub(crate) number: u64,
    /// The scripts that the server has, because it has run them by their text: a bit each.
    pub(crate) scripts: Arc<AtomicU8>,
    /// What it is logged in with.
    pub(crate) credentials: Credentials,
    /// The waiters for what the server pushes, where that is what the connection is for.
    pub(crate) pushes: Option<Arc<Pushes>>,
    /// Whether another connection could not take its place: see [`Live::pin`].
    pinned: Arc<AtomicBool>,
    /// Closed with the driver.
    driven: watch::Receiver<()>,
}

impl Live {
    pub(super) fn new(session: Session, number: u64) -> (Arc<Self>, Driver) {
        let Session {
            connection,
            driver,
            pulse,
            credentials,
            pushes,
        } = session;
        let (drives, driven) = watch::channel(());
        let driver = Box::pin(async move {
            // Dropped after the driver, which fails the requests that it knows of.
            let _drives = drives;
            driver.await;
        });
        let live = Self {
            connection,
            pulse,
            number,
            scripts: Arc::default(),
            credentials,
            pushes,
            pinned: Arc::default(),
            driven,
        };
        (Arc::new(live), driver)
    }

    /// The reply to what was sent here, or an error once nobody drives the connection any more.
    ///
    /// The client alone may wait for ever, because a request that is handed to the driver in the moment of its end lies
    /// in a queue that nobody reads again.
    pub(crate) async fn reply<T>(
        &self,
        sent: impl Future<Output = RedisResult<T>>,
    ) -> RedisResult<T> {
        let mut driven = self.driven.clone();
        tokio::select! {
            biased;
            reply = sent => reply,
            // Nothing is ever sent there, so that this is the end of the driver.
            _ = driven.changed() => Err(RedisError::from((
                redis::ErrorKind::Io,
                "the connection to redis was lost",
            ))),
        }
    }

    /// Marks that the server keeps something for this very connection: subscriptions, the keys that it
    /// tracks or watches, the database that was selected.
    pub(crate) fn pin(&self) {
        self.pinned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }
}

/// A connection that was just made, and the credentials that the server took.
pub(super) struct Session {
    connection: MultiplexedConnection,
    driver: Driver,
    pulse: Arc<Pulse>,
    credentials: Credentials,
    pushes: Option<Arc<Pushes>>,
}

impl Session {
    /// Makes a connection that is logged in with `credentials`.
    pub(super) async fn with(
        connector: &Connector,
        purpose: Purpose,
        credentials: Credentials,
    ) -> Result<Self, Error> {
        let pulse = Arc::new(Pulse::new());
        let hears = purpose == Purpose::Pushes;
        let connecting = timeout(
            LONGEST,
            connector.connect(&credentials, Arc::clone(&pulse), hears),
        );
        let Channel {
            connection,
            driver,
            pushes,
        } = connecting.await.unwrap_or_else(|_| {
            let endpoint = connector.endpoint();
            // A server without TLS takes the greeting for a line, and waits for its end.
            let hint = if endpoint.has_tls() { WITHOUT_TLS } else { "" };
            Err(Error::new(
                ErrorKind::Connect,
                format!("redis at {endpoint} did not answer within {LONGEST:?}{hint}"),
            ))
        })?;
        Ok(Self {
            connection,
            driver,
            pulse,
            credentials,
            pushes,
        })
    }

    /// Makes a connection that is logged in with the present credentials.
    ///
    /// Where the server refuses them and others are soon at hand, those are tried as well.
    pub(super) async fn new(connector: &Connector, purpose: Purpose) -> Result<Self, Error> {
        let credentials = connector.auth().credentials().await?;
        let error = match Self::with(connector, purpose, credentials.clone()).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        if error.is_auth() {
            let next = connector.auth().credentials().await?;
            if next.is_other_than(&credentials) {
                return Self::with(connector, purpose, next).await;
            }
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        store::redis::test_server::{TestServer, endpoint},
    };

    #[tokio::test]
    async fn a_reply_that_nobody_can_give_any_more_is_not_waited_for() {
        let server = TestServer::start(&[]);
        let connector = Connector::new(endpoint(server.port, Auth::None)).unwrap();
        let session = Session::new(&connector, Purpose::Commands).await.unwrap();
        let (live, driver) = Live::new(session, 1);
        // As of a command that lies in the queue of a driver that has ended.
        let mut lost = std::pin::pin!(live.reply(std::future::pending::<RedisResult<()>>()));
        let moment = timeout(Duration::from_millis(20), &mut lost).await;
        assert!(moment.is_err(), "the connection stands");
        drop(driver);
        let error = timeout(Duration::from_secs(5), lost)
            .await
            .expect("the driver has ended");
        assert!(error.unwrap_err().is_io_error());
    }
}
