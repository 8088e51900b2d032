//! Ends a lease: stores under it, gives it back, or revokes it.
//!
//! The one rule: **a value is stored only where its lease still stands**, which the server looks at in the same step.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    super::{
        client::RedisStore,
        gate::Urgency,
        request::{Argument, Reply},
    },
    grant::{Lease, LeaseKeys},
    lock::{LockGuard, SAID},
    scripts::{PUT, RELEASE, STORE, unexpected},
};
use crate::{base::clock::milliseconds, error::Error, value::freshness::Lifespan};

/// A value as Redis is going to have it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Bytes,
    pub(crate) lifetime: Lifespan,
    /// There is a stamp, and the server fills in its time.
    pub(crate) stamped: bool,
}

impl Written {
    pub(crate) fn content(&self) -> Content<'_> {
        Content {
            bytes: &self.bytes,
            kept_for: self.lifetime.kept_for,
            stamped: self.stamped,
        }
    }
}

/// What is to stand under a key from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) kept_for: Duration,
    /// The bytes have a stamp, whose time the server fills in.
    pub(crate) stamped: bool,
}

/// What STORE answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreReply {
    /// The lease did not stand: the value is from before an invalidation.
    Refused,
    Yes,
    /// The lease stood, but Redis did not take the value.
    NoRoom,
}

impl Lease {
    /// Stores under the lease; without a content, deletes what is there.
    ///
    /// `locked`: computing this value takes the lock first. If this holder went on without the lock, its present holder
    /// cannot store any more once this has stored, so nobody is to wait for it.
    pub(crate) async fn store(
        &self,
        content: Option<Content<'_>>,
        locked: bool,
        deadline: Instant,
    ) -> Result<StoreReply, Error> {
        let (bytes, kept_for, stamped): (&[u8], _, _) = match content {
            Some(content) => (
                content.bytes,
                milliseconds(content.kept_for),
                content.stamped,
            ),
            None => (b"", 0, false),
        };
        let arguments = [
            Argument::Bytes(&self.content),
            Argument::Bytes(bytes),
            Argument::Int(kept_for),
            Argument::Int(u64::from(stamped)),
            Argument::Bytes(self.lock.as_deref().unwrap_or_default()),
            Argument::Int(milliseconds(SAID)),
        ];
        let keys = &self.keys;
        let names = [&*keys.value, &*keys.lease, &*keys.lock];
        let ends_lock = self.has_lock() || locked && content.is_some();
        let names = &names[..if ends_lock { 3 } else { 2 }];
        let count = match (ends_lock, stamped) {
            (true, _) => 6,
            (false, true) => 4,
            (false, false) => 3,
        };
        let arguments = &arguments[..count];
        let guard = LockGuard::of(self);
        let reply = self.redis.eval(&STORE, names, arguments, deadline).await?;
        guard.disarm();
        match reply {
            Reply::Int(0) => Ok(StoreReply::Refused),
            Reply::Int(1) => Ok(StoreReply::Yes),
            Reply::Int(2) => Ok(StoreReply::NoRoom),
            _ => Err(unexpected()),
        }
    }

    /// Gives lease and lock back. `Ok(true)` if the lease stood.
    pub(crate) async fn release(&self, deadline: Instant) -> Result<bool, Error> {
        let arguments = [
            Argument::Bytes(&self.content),
            Argument::Int(u64::from(self.own)),
            Argument::Bytes(self.lock.as_deref().unwrap_or_default()),
            Argument::Int(milliseconds(SAID)),
        ];
        let keys = &self.keys;
        let names = [&*keys.lease, &*keys.lock];
        let names = &names[..if self.has_lock() { 2 } else { 1 }];
        let guard = LockGuard::of(self);
        let reply = self
            .redis
            .eval(&RELEASE, names, &arguments, deadline)
            .await?;
        guard.disarm();
        match reply {
            Reply::Int(stood) => Ok(stood == 1),
            _ => Err(unexpected()),
        }
    }

    /// Takes lease, lock and value away, as another process that invalidates the key.
    #[cfg(feature = "testing")]
    pub(crate) async fn revoke(&self, deadline: Instant) -> Result<(), Error> {
        invalidate(&self.redis, &self.keys, Urgency::Ordinary, deadline).await
    }

    /// Stores under a lease that was [seized](super::seize).
    ///
    /// Seizing and storing are two steps, so that a first step that comes late can do no more than revoke: a put that was
    /// given up must not land after a later invalidation.
    pub(crate) async fn put(&self, content: Content<'_>, deadline: Instant) -> Result<(), Error> {
        let arguments = [
            Argument::Bytes(&self.content),
            Argument::Bytes(content.bytes),
            Argument::Int(milliseconds(content.kept_for)),
            Argument::Int(u64::from(content.stamped)),
        ];
        let keys = &self.keys;
        self.redis
            .eval(
                &PUT,
                &[&keys.value, &keys.lease, &keys.lock],
                &arguments,
                deadline,
            )
            .await
            .map(drop)
    }
}

/// Deletes the lease, then the lock and the value. With the value first, a body could store between.
pub(crate) async fn invalidate(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    urgency: Urgency,
    deadline: Instant,
) -> Result<(), Error> {
    redis
        .delete(&[&keys.lease, &keys.lock, &keys.value], urgency, deadline)
        .await
}
