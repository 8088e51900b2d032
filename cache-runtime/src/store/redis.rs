//! Commands to Redis, each with a deadline.
//!
//! The one rule: **a command is sent again at most once, and only where that is safe**: always if
//! the server said that it did not execute it (`NOAUTH`, `LOADING`, `MOVED`, `READONLY`, …); if the
//! connection broke, only for a read, a delete, or a store that compares (what became of the first
//! copy is then unknown). Never after a timeout: the time is spent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisError};
use tokio::sync::watch;

use super::{
    connect::Connector,
    gate::{Gate, Pass as Admitted},
    link::{Link, Links, Live, Purpose},
    request::{Argument, Reply, Request, Script},
    watch::Watches,
};
use crate::{
    clock::{ServerTime, milliseconds},
    error::{Error, ErrorKind},
};

/// How long one probe of the breaker may take.
const PROBE: Duration = Duration::from_secs(2);
/// Before a command is sent again to a server that is busy with itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// A Redis server as one cache sees it.
#[derive(Debug)]
pub(crate) struct RedisStore {
    connector: Arc<Connector>,
    timeout: Duration,
    gate: Gate,
    links: Links,
    /// Connections for commands of the user's own, which may block or change what they run in.
    own_links: Links,
    /// Connections that hear of locks which other processes hold.
    watches: Watches,
    connections: AtomicU64,
    clock: ServerTime,
    /// How many locks are being let go.
    leaving: watch::Sender<usize>,
}

/// What a command does if it is executed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same as once.
    Safe,
    /// Something else.
    Unsafe,
}

/// Whether the breaker has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Not sent while the breaker is open.
    Ordinary,
    /// Sent in any case: an invalidation is worth a timeout.
    Urgent,
}

impl RedisStore {
    pub(crate) fn new(connector: Connector, timeout: Duration) -> Self {
        Self {
            connector: Arc::new(connector),
            timeout,
            gate: Gate::new(timeout),
            links: Links::new(Purpose::Commands, timeout),
            own_links: Links::new(Purpose::Commands, timeout),
            watches: Watches::new(timeout),
            connections: AtomicU64::new(0),
            clock: ServerTime::default(),
            leaving: watch::Sender::new(0),
        }
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    pub(super) fn watches(&self) -> &Watches {
        &self.watches
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn connections_tried(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
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
        // The sender is in the borrow.
        let _ = self.leaving.subscribe().wait_for(|locks| *locks == 0).await;
    }

    /// Ends every connection, for good.
    pub(crate) fn close(&self) {
        self.connector.auth().close();
        self.links.close();
        self.own_links.close();
        self.watches.close();
    }

    /// GET, on the connection of `link`.
    pub(super) async fn get(
        self: &Arc<Self>,
        link: &Link,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Bytes>, Error> {
        let mut command = Cmd::with_capacity(2, key.len() + 3);
        command.arg("GET").arg(key);
        value(self.read_by(link, &command, deadline).await?, "GET")
    }

    /// MGET on the connection of `link`: the values of `keys`, in their order.
    pub(super) async fn get_many(
        self: &Arc<Self>,
        link: &Link,
        keys: &[Arc<str>],
        deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        let bytes = keys.iter().map(|key| key.len()).sum::<usize>();
        let mut command = Cmd::with_capacity(keys.len() + 1, bytes + 4);
        command.arg("MGET");
        for key in keys {
            command.arg(&**key);
        }
        match self.read_by(link, &command, deadline).await? {
            Reply::List(replies) if replies.len() == keys.len() => {
                let values = replies.into_iter().map(|reply| value(reply, "MGET"));
                values.collect()
            }
            _ => Err(unexpected("MGET")),
        }
    }

    /// SET with an expiry, whatever was there.
    pub(crate) async fn set(
        self: &Arc<Self>,
        key: &str,
        value: &[u8],
        expiry: Duration,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut command = redis::cmd("SET");
        command
            .arg(key)
            .arg(value)
            .arg("PX")
            .arg(milliseconds(expiry));
        self.send(&command, Repeat::Unsafe, urgency, deadline)
            .await
            .map(drop)
    }

    /// DEL of each key, one command a key, in this order, in one write.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        keys: &[&str],
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.cmd("DEL").arg(key);
        }
        self.run(Request::Deletes(&pipeline), Repeat::Safe, urgency, deadline)
            .await
            .map(drop)
    }

    /// PEXPIRE.
    pub(crate) async fn expire(
        self: &Arc<Self>,
        key: &str,
        expiry: Duration,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut command = redis::cmd("PEXPIRE");
        command.arg(key).arg(milliseconds(expiry));
        self.send(&command, Repeat::Safe, Urgency::Ordinary, deadline)
            .await
            .map(drop)
    }

    /// PTTL: `None` if there is no such key, or it never expires.
    pub(crate) async fn ttl(
        self: &Arc<Self>,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Duration>, Error> {
        let mut command = redis::cmd("PTTL");
        command.arg(key);
        match self
            .send(&command, Repeat::Safe, Urgency::Ordinary, deadline)
            .await?
        {
            Reply::Int(left) => Ok(u64::try_from(left).ok().map(Duration::from_millis)),
            _ => Err(unexpected("PTTL")),
        }
    }

    /// TIME, in milliseconds since 1970.
    pub(crate) async fn time(self: &Arc<Self>, deadline: Instant) -> Result<u64, Error> {
        let asked = self.clock.ask();
        let sent = Instant::now();
        let reply = self
            .send(
                &redis::cmd("TIME"),
                Repeat::Safe,
                Urgency::Ordinary,
                deadline,
            )
            .await?;
        let Reply::List(parts) = reply else {
            return Err(unexpected("TIME"));
        };
        let [Reply::Bytes(seconds), Reply::Bytes(micros)] = parts.as_slice() else {
            return Err(unexpected("TIME"));
        };
        let number = |text: &Bytes| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
        let (Some(seconds), Some(micros)) = (number(seconds), number(micros)) else {
            return Err(unexpected("TIME"));
        };
        let time = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        // It was so somewhere between the sending and the reply.
        self.clock.read(asked, sent + sent.elapsed() / 2, time);
        Ok(time)
    }

    /// The server's time, if it said so lately.
    pub(crate) fn known_time(&self, now: Instant) -> Option<u64> {
        self.clock.at(now)
    }

    /// Whether the server is to be asked for its time by a caller who doubts what is known.
    pub(crate) fn is_time_to_be_asked(&self, now: Instant) -> bool {
        self.clock.is_to_be_asked(now)
    }

    /// There is another connection: what is known of the server's time may be another server's.
    pub(super) fn forget_time(&self) {
        self.clock.forget();
    }

    /// The server's time as far as anybody knows.
    pub(crate) fn guessed_time(&self, now: Instant) -> u64 {
        self.clock.guess(now)
    }

    /// PING.
    pub(crate) async fn ping(self: &Arc<Self>, deadline: Instant) -> Result<(), Error> {
        self.send(&redis::cmd("PING"), Repeat::Safe, Urgency::Urgent, deadline)
            .await
            .map(drop)
    }

    /// Runs a script by its hash, or by its text where the server does not know it yet.
    pub(crate) async fn eval(
        self: &Arc<Self>,
        script: &Script,
        keys: &[&str],
        arguments: &[Argument<'_>],
        repeat: Repeat,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let request = Request::Script {
            script,
            keys,
            arguments,
        };
        self.run(request, repeat, urgency, deadline).await
    }

    async fn read_by(
        self: &Arc<Self>,
        link: &Link,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let (request, urgency) = (Request::Command(command), Urgency::Ordinary);
        self.run_on(link, request, Repeat::Safe, urgency, deadline)
            .await
    }

    async fn send(
        self: &Arc<Self>,
        command: &Cmd,
        repeat: Repeat,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        self.run(Request::Command(command), repeat, urgency, deadline)
            .await
    }

    /// Sends one request on the present runtime's connection.
    async fn run(
        self: &Arc<Self>,
        request: Request<'_>,
        repeat: Repeat,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let link = self.links.present()?;
        self.run_on(&link, request, repeat, urgency, deadline).await
    }

    /// Sends one request on the connection of `link`, by the rule of this module.
    async fn run_on(
        self: &Arc<Self>,
        link: &Link,
        request: Request<'_>,
        repeat: Repeat,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let mut credentials = match urgency {
            Urgency::Ordinary => self.admit()?,
            Urgency::Urgent => self.gate.force(),
        };
        let mut broken = None;
        loop {
            let first = broken.is_none();
            let since = Instant::now();
            self.connector.auth().ensure_refresher(since);
            let up = link.up().filter(|_| first);
            let live = match up {
                Some(live) => Ok(live),
                None => Box::pin(link.live(self, broken, deadline)).await,
            };
            let live = match live {
                Ok(live) => live,
                Err(error) => {
                    if error.is_timeout() && self.is_stall(Some(since)) {
                        self.gate.stalled(self);
                    }
                    return Err(error);
                }
            };
            let number = live.number;
            live.pulse.asked();
            let error = match tokio::time::timeout_at(deadline.into(), request.send(&live)).await {
                Ok(Ok(reply)) => {
                    credentials.replied();
                    return Ok(reply);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    self.unanswered(link, &live);
                    return Err(too_late());
                }
            };
            let failure = Failure::of(&error);
            if error.code() == Some("NOAUTH") {
                link.not_logged_in(self, number);
            }
            let again = match failure {
                Failure::Broken => repeat == Repeat::Safe,
                Failure::NotExecutedHere => first && link.replaces(number),
                Failure::NotExecutedYet => true,
                Failure::Refused => false,
            };
            if !first || !again {
                if failure != Failure::Broken {
                    credentials.replied();
                }
                return Err(Error::from_redis(&error));
            }
            broken = Some(number);
            if failure == Failure::NotExecutedYet {
                let pause = Instant::now() + BUSY_PAUSE;
                Box::pin(tokio::time::sleep_until(pause.min(deadline).into())).await;
                // A number that no connection has: sends again without a new connection.
                broken = Some(u64::MAX);
            }
            // Given back first: while half-open, the breaker may have no other to give.
            drop(credentials);
            credentials = match urgency {
                Urgency::Ordinary => self.admit()?,
                Urgency::Urgent => self.gate.force(),
            };
        }
    }

    /// Notes that somebody waited on the connection of `link` in vain.
    pub(super) fn unanswered(self: &Arc<Self>, link: &Link, live: &Live) {
        if self.is_stall(live.pulse.silent_since()) {
            // The other runtimes' connections may be well, and keep the breaker closed.
            if live.pulse.stall(self.timeout) {
                link.give_up(live.number);
            }
            self.gate.stalled(self);
        }
    }

    fn admit(self: &Arc<Self>) -> Result<Admitted<'_>, Error> {
        self.gate.admit(self).ok_or_else(|| self.gate.refusal())
    }

    /// Whether nothing came for so long that this is not only an operation's own impatience: a
    /// shorter timeout, or a reply that is late among others that come.
    pub(super) fn is_stall(&self, silent_since: Option<Instant>) -> bool {
        // An operation that comes after another in its call has a little less than the timeout.
        let long = self.timeout.mul_f64(0.9);
        silent_since.is_some_and(|since| since.elapsed() >= long)
    }

    /// Asks whether Redis is back, on a new connection unless the present one answers.
    pub(crate) async fn probe(self: &Arc<Self>) -> Result<(), Error> {
        let link = self.links.present()?;
        let deadline = Instant::now() + PROBE;
        let mut broken = None;
        loop {
            let live = link.live(self, broken, deadline).await?;
            let number = live.number;
            let command = redis::cmd("PING");
            let mut connection = live.connection.clone();
            let ping = command.query_async::<()>(&mut connection);
            match tokio::time::timeout(self.timeout, ping).await {
                Ok(Ok(())) => return Ok(()),
                // A user without the right to PING; whoever refuses is there.
                Ok(Err(error)) if Failure::of(&error) == Failure::Refused => return Ok(()),
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

    /// The present runtime's connection, for commands of the user's own, and its link, without which it
    /// may be closed.
    ///
    /// `broken`: the number of the one that is of no more use.
    pub(crate) async fn own_live(
        self: &Arc<Self>,
        broken: Option<u64>,
    ) -> Result<(Arc<Link>, Arc<Live>), Error> {
        let link = self.own_links.present()?;
        let auth = self.connector.auth();
        auth.ensure_refresher(Instant::now());
        if let Some(number) = broken {
            link.not_logged_in(self, number);
        }
        if !auth.has_credentials() {
            // The first token may take longer than an operation may, and there is no body to run. Why there
            // is none, the connection will say.
            let _first = auth.credentials().await;
        }
        let live = link
            .live(self, broken, Instant::now() + self.timeout)
            .await?;
        Ok((link, live))
    }
}

/// A lock that is being let go: whoever closes the connections waits for it.
#[derive(Debug)]
pub(crate) struct LettingGo(Arc<RedisStore>);

impl Drop for LettingGo {
    fn drop(&mut self) {
        self.0.leaving.send_modify(|locks| *locks -= 1);
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        // A connection's task on a runtime that nobody drives keeps the connector.
        self.connector.auth().close();
    }
}

/// What a redis-rs error says about the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke: it may have been executed or not.
    Broken,
    /// This server will not execute it; another connection may lead to one that does.
    NotExecutedHere,
    /// The server will execute it in a moment.
    NotExecutedYet,
    /// The server's last word.
    Refused,
}

impl Failure {
    pub(super) fn of(error: &RedisError) -> Self {
        // Whatever the socket says (a TCP timeout too), the connection is of no more use.
        if error.kind() == redis::ErrorKind::Io || error.is_unrecoverable_error() {
            return Self::Broken;
        }
        match error.code() {
            Some("NOAUTH" | "READONLY" | "MOVED" | "MASTERDOWN") => Self::NotExecutedHere,
            Some("LOADING" | "TRYAGAIN" | "BUSY" | "CLUSTERDOWN") => Self::NotExecutedYet,
            _ => Self::Refused,
        }
    }
}

pub(super) fn too_late() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "redis did not answer within the timeout",
    )
}

/// A value, or that there is none.
fn value(reply: Reply, command: &str) -> Result<Option<Bytes>, Error> {
    match reply {
        Reply::Bytes(bytes) => Ok(Some(bytes)),
        Reply::Nil => Ok(None),
        _ => Err(unexpected(command)),
    }
}

fn unexpected(command: &str) -> Error {
    Error::new(
        ErrorKind::Server,
        format!("redis answered {command} with a reply of another kind"),
    )
}
