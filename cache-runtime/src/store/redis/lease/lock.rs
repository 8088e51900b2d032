//! The lock beside a lease, for callers that want to be the only ones.
//!
//! The one rule: **no lock is left behind**: a caller that may have it keeps a [`LockGuard`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{
    super::{
        client::RedisStore,
        request::{Argument, nonce},
    },
    grant::{Lease, LeaseKeys},
    scripts::RENEW,
};
use crate::{
    base::{clock::milliseconds, runtime::begin_on},
    error::Error,
};

/// How long a lock lives without being renewed: what a holder that is killed costs the others.
pub(crate) const LOCKED: Duration = Duration::from_secs(2);

/// How long a lock stays to tell other processes, which wait, that its holder's body came to nothing.
pub(super) const SAID: Duration = Duration::from_secs(1);

/// The lock of another process.
#[derive(Debug)]
pub(crate) struct LockedElsewhere {
    redis: Arc<RedisStore>,
    lock: Arc<str>,
    holder: Bytes,
}

impl LockedElsewhere {
    pub(crate) fn new(redis: &Arc<RedisStore>, keys: &LeaseKeys, holder: Bytes) -> Self {
        Self {
            redis: Arc::clone(redis),
            lock: Arc::clone(&keys.lock),
            holder,
        }
    }

    /// Waits until the holder no longer has the lock, and at the latest until `until`.
    pub(crate) async fn changed(&self, attempt: u32, until: Instant) {
        let Self {
            redis,
            lock,
            holder,
        } = self;
        redis.changed(lock, holder, attempt, until).await;
    }
}

/// The request of a caller to be the only one who computes a value.
#[derive(Debug, Clone)]
pub(crate) struct LockRequest {
    /// One for all attempts, because an attempt whose answer is lost may have taken the lock.
    pub(super) holder: Bytes,
    /// Whether the caller has waited for somebody: it waits for no other once a body has come to nothing.
    pub(super) waited: bool,
}

impl LockRequest {
    pub(crate) fn new() -> Self {
        Self {
            holder: nonce().into(),
            waited: false,
        }
    }

    pub(crate) fn after_waiting(self) -> Self {
        Self {
            waited: true,
            ..self
        }
    }
}

impl Lease {
    pub(crate) fn has_lock(&self) -> bool {
        self.lock.is_some()
    }

    /// Keeps the lock while a body runs, if its holder still has it.
    pub(crate) async fn renew_lock(&self, deadline: Instant) -> Result<(), Error> {
        let Some(holder) = &self.lock else {
            return Ok(());
        };
        let lock = &self.keys.lock;
        live_on(&self.redis, lock, holder, milliseconds(LOCKED), deadline).await
    }
}

/// A guard: a lock that its holder has, or may have, is let go when it is dropped, because other processes would wait
/// for the lock in vain until it expires.
///
/// The command that lets the lock go is sent during the drop, on the connection of the caller's runtime. So it follows
/// an ACQUIRE that is still on its way there, which cannot bring the lock back, and goes before the ACQUIRE of a call
/// that takes over, which does not meet the lock. An ACQUIRE that executes later still, because its connection broke,
/// takes a lock that nobody holds, for [`LOCKED`] at most.
#[derive(Debug)]
#[must_use = "a dropped `LockGuard` lets the lock go"]
pub(crate) struct LockGuard(Option<Lock>);

#[derive(Debug)]
struct Lock {
    redis: Arc<RedisStore>,
    key: Arc<str>,
    holder: Bytes,
    /// The runtime whose connection carries what is sent.
    runtime: Handle,
}

impl LockGuard {
    /// The lock of `keys` as `holder` takes it; nothing without a holder.
    pub(super) fn new(redis: &Arc<RedisStore>, keys: &LeaseKeys, holder: Option<&Bytes>) -> Self {
        let lock = holder.and_then(|holder| {
            // Without a runtime no ACQUIRE is sent, so no lock is taken.
            let runtime = Handle::try_current().ok()?;
            Some(Lock {
                redis: Arc::clone(redis),
                key: Arc::clone(&keys.lock),
                holder: holder.clone(),
                runtime,
            })
        });
        Self(lock)
    }

    /// The lock that came with `lease`, if one did.
    pub(crate) fn of(lease: &Lease) -> Self {
        Self::new(&lease.redis, &lease.keys, lease.lock.as_ref())
    }

    /// Leaves the lock alone from here on, because it is gone, or has an owner that takes care of it.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let Some(lock) = self.0.take() else {
            return;
        };
        let runtime = lock.runtime.clone();
        let letting_go = lock.redis.letting_go();
        begin_on(&runtime, async move {
            let _letting_go = letting_go;
            let deadline = Instant::now() + LOCKED;
            // Where it fails, the lock expires by then.
            drop(live_on(&lock.redis, &lock.key, &lock.holder, 0, deadline).await);
        });
    }
}

/// Lets the lock live for so many milliseconds more, if `holder` still has it; 0 deletes it.
async fn live_on(
    redis: &Arc<RedisStore>,
    lock: &str,
    holder: &[u8],
    milliseconds: u64,
    deadline: Instant,
) -> Result<(), Error> {
    let arguments = [Argument::Bytes(holder), Argument::Int(milliseconds)];
    redis
        .eval(&RENEW, &[lock], &arguments, deadline)
        .await
        .map(drop)
}
