//! Asks for a lease, and keeps it.
//!
//! The one rule: **a lease that was revoked stays revoked**: it is set by ACQUIRE and [`seize`] alone, and renewed only
//! where it stands.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    super::{
        client::RedisStore,
        gate::Urgency,
        request::{Argument, Reply, nonce},
    },
    grant::{LIFE, Lease, LeaseKeys},
    lock::{LOCKED, LockGuard, LockRequest, LockedElsewhere},
    scripts::{ACQUIRE, unexpected},
};
use crate::{
    base::{clock::milliseconds, runtime},
    error::{Error, ErrorKind},
};

/// What ACQUIRE answers.
#[derive(Debug)]
pub(crate) enum AcquireReply {
    /// Somebody stored a value meanwhile.
    Value(Bytes),
    Lease(Lease),
    /// Another holder has the lock, for this long unless it is renewed.
    Locked {
        elsewhere: LockedElsewhere,
        left: Duration,
    },
}

/// Asks for a lease, unless a value is there that does not begin with `seen`; with a `lock_request`, only if nobody else
/// has the lock.
///
/// # Errors
///
/// There is no lease then.
pub(crate) async fn acquire(
    redis: &Arc<RedisStore>,
    keys: LeaseKeys,
    lock_request: Option<&LockRequest>,
    seen: Option<&[u8]>,
    deadline: Instant,
) -> Result<AcquireReply, Error> {
    if lock_request.is_none() && seen.is_none() {
        // Two commands cost the server half of what a script does. In this order, because a value that is stored between
        // them is found then.
        let (nonce, value) = redis
            .set_and_get(&keys.lease, LIFE, &keys.value, deadline)
            .await?;
        let lease = nonce.map(|content| Lease {
            redis: Arc::clone(redis),
            keys: keys.clone(),
            content,
            own: true,
            lock: None,
        });
        match (value, lease) {
            (Some(value), lease) => {
                if let Some(lease) = lease {
                    give_back(lease, deadline);
                }
                return Ok(AcquireReply::Value(value));
            }
            (None, Some(lease)) => return Ok(AcquireReply::Lease(lease)),
            // Somebody else's lease is there, to be shared.
            (None, None) => {}
        }
    }
    let (holder, waited): (&[u8], _) = match lock_request {
        Some(request) => (&request.holder, request.waited),
        None => (b"", false),
    };
    let arguments = [
        Argument::Nonce,
        Argument::Int(milliseconds(LIFE)),
        Argument::Bytes(holder),
        Argument::Int(milliseconds(LOCKED)),
        Argument::Int(u64::from(waited)),
        Argument::Bytes(seen.unwrap_or_default()),
    ];
    let arguments = &arguments[..if seen.is_some() { 6 } else { 5 }];
    let names = [&*keys.value, &*keys.lease, &*keys.lock];
    let names = &names[..if lock_request.is_some() { 3 } else { 2 }];
    let guard = LockGuard::new(redis, &keys, lock_request.map(|request| &request.holder));
    let reply = redis.eval(&ACQUIRE, names, arguments, deadline).await;
    let acquired = match reply {
        Ok(reply) => acquire_reply(reply, redis, keys, lock_request)?,
        Err(error) => {
            // The server refused the script, before it took the lock.
            if matches!(error.kind(), ErrorKind::Server | ErrorKind::Auth) {
                guard.disarm();
            }
            return Err(error);
        }
    };
    // The lock is another holder's, or comes with the lease, whose owner takes care of it.
    guard.disarm();
    Ok(acquired)
}

/// Gives back a lease that was set in vain, behind the call, because whoever asks next would have to ask again to share it.
/// A lease that RELEASE does not reach expires.
fn give_back(lease: Lease, deadline: Instant) {
    runtime::begin(async move { drop(lease.release(deadline).await) });
}

/// Reads the answer of ACQUIRE.
fn acquire_reply(
    reply: Reply,
    redis: &Arc<RedisStore>,
    keys: LeaseKeys,
    lock_request: Option<&LockRequest>,
) -> Result<AcquireReply, Error> {
    let Reply::List(fields) = reply else {
        return Err(unexpected());
    };
    let mut fields = fields.into_iter();
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(Reply::Int(1)), Some(Reply::Bytes(value)), None, None) => {
            Ok(AcquireReply::Value(value))
        }
        (
            Some(Reply::Int(0)),
            Some(Reply::Bytes(content)),
            Some(Reply::Int(own)),
            Some(Reply::Int(locked)),
        ) => Ok(AcquireReply::Lease(Lease {
            redis: Arc::clone(redis),
            keys,
            content,
            own: own == 1,
            lock: lock_request
                .filter(|_| locked == 1)
                .map(|request| request.holder.clone()),
        })),
        (Some(Reply::Int(2)), Some(Reply::Bytes(holder)), Some(Reply::Int(left)), None) => {
            let left = u64::try_from(left).map_or(LOCKED, Duration::from_millis);
            let elsewhere = LockedElsewhere::new(redis, &keys, holder);
            Ok(AcquireReply::Locked { elsewhere, left })
        }
        _ => Err(unexpected()),
    }
}

/// Takes a lease for its holder alone, and revokes everybody else's.
pub(crate) async fn seize(
    redis: &Arc<RedisStore>,
    keys: LeaseKeys,
    deadline: Instant,
) -> Result<Lease, Error> {
    let content = Bytes::from(nonce());
    redis
        .set(&keys.lease, &content, LIFE, Urgency::Urgent, deadline)
        .await?;
    Ok(Lease {
        redis: Arc::clone(redis),
        keys,
        content,
        own: true,
        lock: None,
    })
}

impl Lease {
    /// Makes the lease live on while a body runs.
    ///
    /// PEXPIRE and never SET: a lease that was revoked stays revoked.
    pub(crate) async fn renew(&self, deadline: Instant) -> Result<(), Error> {
        self.redis.expire(&self.keys.lease, LIFE, deadline).await
    }
}
