//! Waiting for a lock that another process holds.
//!
//! The one rule: **a waiter comes back early rather than late**: it may be told of a change that is none, because it
//! asks again anyway, but it misses no change of the lock.
//!
//! So a waiter is in the list before it reads the lock, on a connection that tells the server to push the next change
//! of just this key (`CLIENT TRACKING ON OPTIN`, `CLIENT CACHING YES`).
//!
//! | what happens | then |
//! |---|---|
//! | the lock holds something else, or is gone | back at once |
//! | a push: the lock was written, renewed or deleted, it expired, all keys were flushed | reads it again |
//! | the connection is lost, or replaced by one with a newer login | back at once |
//! | no RESP3, no right to `CLIENT`, no connection | back after a pause: the caller polls |
//!
//! A server may take its time to notice that a key expired, and a client that its connection is dead. So no wait relies
//! on a push alone: the waiter says until when the lock lives.
//!
//! The connection is made at the first wait. Calls can do without it, so the breaker hears nothing of it.

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use redis::{Pipeline, RedisError, Value, aio::ConnectionLike};
use tokio::time::{sleep_until, timeout, timeout_at};

use super::{
    link::Link,
    links::Links,
    live::{Live, Purpose},
    retry::FailureKind,
    server::Server,
};
use crate::base::sharded::lock;

/// The pause between two polls; doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// So many reads of a lock may follow each other at once, and one more in each [`PACE`], because a server whose table
/// of tracked keys is too small pushes what did not change.
const BURST: u32 = 16;
const PACE: Duration = Duration::from_millis(10);
/// From so many waits on, a lock that had changed before it was read is no reason to ask again at once, because this
/// connection may lead to a server that lags behind the one that the caller asks.
const HASTE: u32 = 3;
/// The pause after a failed attempt to connect.
const REST: Duration = Duration::from_secs(1);

/// The connections on which one cache hears of locks.
#[derive(Debug)]
pub(super) struct Watches {
    links: Links,
    /// Until when no other attempt to connect is made.
    rest: Mutex<Option<Instant>>,
}

/// What a waiter comes back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitEnd {
    /// The lock had changed before it was first read.
    AtFirst,
    /// It changed while this one waited, or the connection was lost.
    Later,
    /// Nothing, since the server pushes nothing.
    Nothing,
}

/// What was read of a lock.
enum Look {
    Changed,
    Same,
    /// It was not read, or its next change will not be pushed.
    Blind,
}

impl Watches {
    pub(super) fn new(server: &Arc<Server>) -> Self {
        Self {
            links: Links::new(server, Purpose::Pushes),
            rest: Mutex::new(None),
        }
    }

    pub(super) fn connected(&self) -> usize {
        self.links.connected()
    }

    pub(super) fn close(&self) {
        self.links.close();
    }

    fn is_resting(&self) -> bool {
        lock(&self.rest).is_some_and(|until| Instant::now() < until)
    }

    /// Waits until the key `lock` no longer holds `seen`, or may not, and at the latest until `until`, which
    /// is when the lock ends unless it is renewed.
    ///
    /// `attempt`: how often the caller has waited already; where the server pushes nothing, the pause
    /// before it is to ask again grows with it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind but the connection.
    pub(super) async fn changed(&self, lock: &str, seen: &[u8], attempt: u32, until: Instant) {
        let poll = Instant::now() + pause(attempt);
        // The caller, which read the lock's content on this runtime, asks again at once, and is told then why there is
        // no link.
        let Ok(link) = self.links.present() else {
            return;
        };
        let told = timeout_at(until.into(), self.watch(&link, lock, seen, poll)).await;
        match told {
            Err(_) | Ok(WaitEnd::Later) => {}
            Ok(WaitEnd::AtFirst) if attempt < HASTE => {}
            Ok(WaitEnd::AtFirst | WaitEnd::Nothing) => sleep_until(poll.min(until).into()).await,
        }
    }

    /// Waits for a push; a connection for that must be there until `connected_by`.
    async fn watch(&self, link: &Link, lock: &str, seen: &[u8], connected_by: Instant) -> WaitEnd {
        let since = Instant::now();
        let mut looks = 0_u32;
        loop {
            let Some(live) = self.listening(link, connected_by).await else {
                return WaitEnd::Nothing;
            };
            let pushes = live.pushes.clone();
            let Some(mut waiter) = pushes.and_then(|pushes| pushes.wait_for(lock.as_bytes()))
            else {
                return WaitEnd::Nothing;
            };
            match look(link, live, lock, seen).await {
                Look::Changed if looks == 0 => return WaitEnd::AtFirst,
                Look::Changed => return WaitEnd::Later,
                Look::Blind => return WaitEnd::Nothing,
                Look::Same => {}
            }
            if !waiter.woken().await {
                return WaitEnd::Later;
            }
            looks = looks.saturating_add(1);
            let next = since + PACE * looks.saturating_sub(BURST);
            sleep_until(next.into()).await;
        }
    }

    /// The connection that hears of locks, unless there is none in time.
    async fn listening(&self, link: &Link, by: Instant) -> Option<Arc<Live>> {
        if self.is_resting() {
            return None;
        }
        link.server()
            .connector()
            .auth()
            .ensure_refresher(Instant::now());
        match link.live(None, by).await {
            Ok(live) => Some(live),
            // The connection is still being made.
            Err(error) if error.is_timeout() => None,
            Err(_) => {
                *lock(&self.rest) = Some(Instant::now() + REST);
                None
            }
        }
    }
}

/// Reads a lock, and asks the server to push its next change.
///
/// Takes `live` by value, because a connection that has been replaced stands as long as somebody has it.
async fn look(link: &Link, live: Arc<Live>, lock: &str, seen: &[u8]) -> Look {
    let Some(pushes) = &live.pushes else {
        return Look::Blind;
    };
    let server = link.server();
    let mut commands = Pipeline::with_capacity(3);
    if !pushes.is_tracking() {
        // Several waiters may send this before the first answer, which does no harm.
        commands
            .cmd("CLIENT")
            .arg("TRACKING")
            .arg("ON")
            .arg("OPTIN");
    }
    // For the next command only, which must be the read.
    commands.cmd("CLIENT").arg("CACHING").arg("YES");
    commands.cmd("GET").arg(lock);
    live.pulse.asked(Instant::now());
    let mut connection = live.connection.clone();
    let sent = connection.req_packed_commands(&commands, 0, commands.len());
    let Ok(answers) = timeout(server.timeout(), sent).await else {
        if server.is_stall(live.pulse.silent_since()) && live.pulse.stall(server.timeout()) {
            link.give_up(live.number);
        }
        return Look::Blind;
    };
    let Ok(answers) = answers else {
        return Look::Blind;
    };
    let [set_up @ .., content] = &*answers else {
        return Look::Blind;
    };
    if let Some(error) = set_up.iter().find_map(refusal) {
        not_tracked(link, &live, &error);
        return Look::Blind;
    }
    pushes.track();
    match content {
        Value::BulkString(content) if content == seen => Look::Same,
        Value::BulkString(_) | Value::Nil => Look::Changed,
        _ => Look::Blind,
    }
}

/// The server will not push what changes, at least not now.
fn not_tracked(link: &Link, live: &Live, error: &RedisError) {
    match FailureKind::of(error) {
        FailureKind::Refused | FailureKind::Broken => {
            tracing::debug!(%error, "redis pushes no changes, locks are polled");
            if let Some(pushes) = &live.pushes {
                // Not asked again on this connection.
                pushes.end();
            }
        }
        FailureKind::NotExecutedHere => {
            if error.code() == Some("NOAUTH") {
                link.not_logged_in(live.number);
            }
            if link.replaces(live.number) {
                link.give_up(live.number);
            }
        }
        FailureKind::NotExecutedYet => {}
    }
}

/// What the server says if it did not do what it was asked.
fn refusal(answer: &Value) -> Option<RedisError> {
    match answer {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

/// The pause before a caller that hears of no change asks again.
fn pause(attempt: u32) -> Duration {
    let doubled = FIRST_PAUSE * (1 << attempt.min(4));
    LONGEST_PAUSE
        .min(doubled)
        .mul_f64(0.5 + fastrand::f64() / 2.0)
}
