//! The renewal of the right to store, and of the lock, while a body runs.
//!
//! The one rule: **a lock lives no longer than the body that it is held for**, whatever becomes of that.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::Instant as TimerInstant;

use super::{BoxFuture, alarm::alarm};
use crate::store::redis::lease::{Lease, LockGuard};

/// How often a body that runs for long renews its right to store.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often such a body renews its lock.
const LOCK_RENEWAL: Duration = Duration::from_millis(600);

/// A right to store, and a lock, that are renewed while a body runs. Dropped, it lets the lock go, because those who wait
/// for it are to go on.
pub(super) struct Renewal {
    lock: LockGuard,
    /// By the clock of timers, which a test may have paused and moved.
    began: TimerInstant,
    /// `None`: the body did not wait yet.
    going: Option<BoxFuture<'static, Infallible>>,
}

impl Renewal {
    pub(super) fn of(lease: &Lease) -> Self {
        Self {
            lock: LockGuard::of(lease),
            began: TimerInstant::now(),
            going: None,
        }
    }

    /// Goes on with the renewals, while the body waits.
    pub(super) fn poll(&mut self, lease: &Lease, cx: &mut Context<'_>) {
        let going = self
            .going
            .get_or_insert_with(|| Box::pin(renew(lease.clone(), self.began)));
        match going.as_mut().poll(cx) {
            Poll::Pending => {}
            Poll::Ready(never) => match never {},
        }
    }

    /// Leaves the lock alone from here on, because whatever stores or releases takes care of it.
    pub(super) fn disarm(self) {
        self.lock.disarm();
    }
}

/// Renews a lease and its lock for ever; `began`: when they were granted.
async fn renew(lease: Lease, began: TimerInstant) -> Infallible {
    let pause = if lease.has_lock() {
        LOCK_RENEWAL
    } else {
        RENEWAL
    };
    let mut renewed = began;
    let mut due = began + pause;
    loop {
        alarm(due).await;
        let lease = lease.clone();
        let now = TimerInstant::now();
        due = now + pause;
        let deadline = Instant::now() + pause;
        let lease_too = renewed.elapsed() + pause > RENEWAL;
        if lease_too {
            renewed = now;
        }
        // A failure shows when the value is stored, because the lease has expired by then.
        drop(tokio::spawn(async move {
            drop(lease.renew_lock(deadline).await);
            if lease_too {
                drop(lease.renew(deadline).await);
            }
        }));
    }
}

/// Renews the right to store, and the lock, while `body` runs.
pub(crate) async fn renewing<F: Future + Unpin>(lease: Option<&Lease>, mut body: F) -> F::Output {
    let Some(lease) = lease else {
        return body.await;
    };
    let mut renewal = Renewal::of(lease);
    let output = poll_fn(|cx| {
        let polled = std::pin::Pin::new(&mut body).poll(cx);
        if polled.is_pending() {
            renewal.poll(lease, cx);
        }
        polled
    })
    .await;
    renewal.disarm();
    output
}
