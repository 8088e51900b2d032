//! The lease: the right to store, which keeps a value computed before an invalidation from being stored after it.
//!
//! The one rule: **whoever computes a value takes a lease first, and stores only while that lease is still in Redis; an
//! invalidation deletes the lease before the value.** The protocol calls the lease's key T and its content a token; in
//! this crate a token is Entra's.
//!
//! The lease is shared by all who compute the same key at once, lies in the value's own cluster slot ([`lease_key`]), and
//! expires by itself after [`LIFE`], unless a body that runs for longer renews it. A copy of a lost command that brings a
//! lease back late does no harm, because only an answered lease is used, only bodies that begin after the answer use it,
//! and each copy carries a nonce of its own.
//!
//! Beside the lease stands a lock, for those who want to be the only ones. The lock gives no right to anything: its holder
//! loses it [`LOCKED`] after the last renewal, and a caller who has waited long enough goes on without it. A
//! [`LockGuard`] has the lock from the moment at which it is asked for until its end is confirmed, so that no caller who
//! goes away meanwhile leaves it behind.
//!
//! | operation | effect | answer |
//! |---|---|---|
//! | [`acquire`] | looks at the value again, else takes the lock if it is wanted, then shares or sets the lease | the value, the lock's holder, or the lease |
//! | [`store`] | if the lease stands: stores or deletes the value, and deletes lease and lock | whether it stood, and whether Redis took the value |
//! | [`release`] | the same proof without a store; the lock tells those who wait that nothing came of it | whether it stood |
//! | [`renew`], [`renew_lock`] | lengthen the life of the lease, and of the lock of this holder | |
//! | [`seize`] | sets a lease for its holder alone, which revokes those of all others | the lease |
//! | [`put`] | with a seized lease: stores if that still stands, else deletes the value; deletes lease and lock | |
//! | [`invalidate`] | deletes the lease, then the lock, then the value | |

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use super::{
    client::RedisStore,
    gate::Urgency,
    request::{Argument, Reply, Script, nonce},
    retry::Repeat,
};
use crate::{
    base::clock::milliseconds,
    error::{Error, ErrorKind},
    key::{lease_key, lock_key},
    value::{codec::STORED_AT, policy::Lifetime},
};

/// How long a lease lives without being renewed.
pub(crate) const LIFE: Duration = Duration::from_secs(30);

/// How long a lock lives without being renewed: what a holder that is killed costs the others.
pub(crate) const LOCKED: Duration = Duration::from_secs(2);

/// How long a lock stays to tell those who wait that its holder's body came to nothing.
const SAID: Duration = Duration::from_secs(1);

/// A value's key, and the keys of the lease and the lock that guard it: the protocol's K, T and L.
#[derive(Debug, Clone)]
pub(crate) struct LeaseKeys {
    pub(crate) value: Arc<str>,
    pub(crate) lease: Arc<str>,
    pub(crate) lock: Arc<str>,
}

impl LeaseKeys {
    pub(crate) fn new(prefix: &str, value: &Arc<str>) -> Self {
        Self {
            value: Arc::clone(value),
            lease: lease_key(prefix, value).into(),
            lock: lock_key(prefix, value).into(),
        }
    }
}

/// A lease, as Redis granted it.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    content: Bytes,
    /// Whether nobody else had a lease when this one was asked for, so that it goes with its holder.
    own: bool,
    /// What the lock holds, if this holder has it.
    lock: Option<Bytes>,
}

impl Lease {
    pub(crate) fn has_lock(&self) -> bool {
        self.lock.is_some()
    }
}

/// A lease, with the store that granted it and the keys that it is for.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) redis: Arc<RedisStore>,
    pub(crate) keys: LeaseKeys,
    pub(crate) lease: Lease,
}

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

    /// Waits until its holder no longer has it, or until then.
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
    /// The same for each attempt, because one whose answer is lost may have taken the lock.
    holder: Bytes,
    /// Whether the caller has waited for somebody: it waits for no other once a body has come to nothing.
    waited: bool,
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

/// What ACQUIRE answers.
#[derive(Debug)]
pub(crate) enum AcquireReply {
    /// Somebody stored a value meanwhile.
    Value(Bytes),
    Lease(Lease),
    /// Somebody else has the lock, for this long unless it is renewed.
    Locked {
        holder: Bytes,
        left: Duration,
    },
}

// `stamped.lua` says these numbers.
const _: () = assert!(STORED_AT.start == 5 && STORED_AT.end == 13);

// The scripts begin with what their KEYS and ARGV are. All of them may be sent again, because they compare or come to the
// same; and only a put is worth asking a server that the breaker has given up.

static ACQUIRE: Script = Script::new(
    0,
    include_str!("lease/acquire.lua"),
    Repeat::Safe,
    Urgency::Ordinary,
);

static STORE: Script = Script::new(
    1,
    concat!(
        include_str!("lease/stamped.lua"),
        include_str!("lease/store.lua")
    ),
    Repeat::Safe,
    Urgency::Ordinary,
);

static RELEASE: Script = Script::new(
    2,
    include_str!("lease/release.lua"),
    Repeat::Safe,
    Urgency::Ordinary,
);

static PUT: Script = Script::new(
    3,
    concat!(
        include_str!("lease/stamped.lua"),
        include_str!("lease/put.lua")
    ),
    Repeat::Safe,
    Urgency::Urgent,
);

static RENEW: Script = Script::new(
    4,
    include_str!("lease/renew.lua"),
    Repeat::Safe,
    Urgency::Ordinary,
);

/// Asks for a lease, unless a value is there that does not begin with `seen`; with a `lock_request`, only if nobody else
/// has the lock.
///
/// # Errors
///
/// There is no lease then.
pub(crate) async fn acquire(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    lock_request: Option<&LockRequest>,
    seen: Option<&[u8]>,
    deadline: Instant,
) -> Result<AcquireReply, Error> {
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
    let guard = LockGuard::new(redis, keys, lock_request.map(|request| &request.holder));
    let reply = redis.eval(&ACQUIRE, names, arguments, deadline).await;
    let acquired = match reply {
        Ok(reply) => acquire_reply(reply, lock_request)?,
        Err(error) => {
            // Refused by the server, before it took the lock.
            if matches!(error.kind(), ErrorKind::Server | ErrorKind::Auth) {
                guard.disarm();
            }
            return Err(error);
        }
    };
    // It is somebody else's, or the caller's, who runs a body for it.
    guard.disarm();
    Ok(acquired)
}

/// Reads the answer of ACQUIRE.
fn acquire_reply(reply: Reply, lock_request: Option<&LockRequest>) -> Result<AcquireReply, Error> {
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
            content,
            own: own == 1,
            lock: lock_request
                .filter(|_| locked == 1)
                .map(|request| request.holder.clone()),
        })),
        (Some(Reply::Int(2)), Some(Reply::Bytes(holder)), Some(Reply::Int(left)), None) => {
            let left = u64::try_from(left).map_or(LOCKED, Duration::from_millis);
            Ok(AcquireReply::Locked { holder, left })
        }
        _ => Err(unexpected()),
    }
}

/// A value as Redis is going to have it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Bytes,
    pub(crate) lifetime: Lifetime,
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

/// Stores under `lease`; without a content, deletes what is there.
///
/// `locked`: who computes the value takes the lock first. If this holder went on without it, whoever has it
/// cannot store any more once this has stored, and is not waited for.
pub(crate) async fn store(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    lease: &Lease,
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
        Argument::Bytes(&lease.content),
        Argument::Bytes(bytes),
        Argument::Int(kept_for),
        Argument::Int(u64::from(stamped)),
        Argument::Bytes(lease.lock.as_deref().unwrap_or_default()),
        Argument::Int(milliseconds(SAID)),
    ];
    let names = [&*keys.value, &*keys.lease, &*keys.lock];
    let ends_lock = lease.has_lock() || locked && content.is_some();
    let names = &names[..if ends_lock { 3 } else { 2 }];
    let guard = LockGuard::of(redis, keys, lease);
    let reply = redis.eval(&STORE, names, &arguments, deadline).await?;
    guard.disarm();
    match reply {
        Reply::Int(0) => Ok(StoreReply::Refused),
        Reply::Int(1) => Ok(StoreReply::Yes),
        Reply::Int(2) => Ok(StoreReply::NoRoom),
        _ => Err(unexpected()),
    }
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

/// Gives lease and lock back. `Ok(true)` if the lease stood.
pub(crate) async fn release(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    lease: &Lease,
    deadline: Instant,
) -> Result<bool, Error> {
    let arguments = [
        Argument::Bytes(&lease.content),
        Argument::Int(u64::from(lease.own)),
        Argument::Bytes(lease.lock.as_deref().unwrap_or_default()),
        Argument::Int(milliseconds(SAID)),
    ];
    let names = [&*keys.lease, &*keys.lock];
    let names = &names[..if lease.has_lock() { 2 } else { 1 }];
    let guard = LockGuard::of(redis, keys, lease);
    let reply = redis.eval(&RELEASE, names, &arguments, deadline).await?;
    guard.disarm();
    match reply {
        Reply::Int(stood) => Ok(stood == 1),
        _ => Err(unexpected()),
    }
}

/// Makes the lease live on while a body runs.
///
/// PEXPIRE and never SET: a lease that was revoked stays revoked.
pub(crate) async fn renew(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    deadline: Instant,
) -> Result<(), Error> {
    redis.expire(&keys.lease, LIFE, deadline).await
}

/// Keeps the lock while a body runs, if its holder still has it.
pub(crate) async fn renew_lock(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    lease: &Lease,
    deadline: Instant,
) -> Result<(), Error> {
    let Some(holder) = &lease.lock else {
        return Ok(());
    };
    live_on(redis, &keys.lock, holder, milliseconds(LOCKED), deadline).await
}

/// A lock that its holder has, or may have, is let go when this is dropped, because those who wait for it would wait
/// in vain until it expires.
///
/// What lets it go is sent during the drop, on the connection of the caller's runtime. So it follows an ACQUIRE that
/// is still on its way there, and goes before the ACQUIRE of a call that takes over: neither does that call meet the
/// lock, nor does an ACQUIRE bring it back. One that executes later still (its connection broke) takes a lock that
/// nobody holds, for [`LOCKED`] at most.
#[derive(Debug)]
#[must_use = "a dropped `LockGuard` lets the lock go"]
pub(crate) struct LockGuard(Option<Lock>);

#[derive(Debug)]
struct Lock {
    redis: Arc<RedisStore>,
    key: Arc<str>,
    holder: Bytes,
    /// Whose connection carries what is sent.
    runtime: Handle,
}

impl LockGuard {
    /// The lock of `keys` as `holder` takes it; nothing without a holder.
    fn new(redis: &Arc<RedisStore>, keys: &LeaseKeys, holder: Option<&Bytes>) -> Self {
        let lock = holder.and_then(|holder| {
            // Without a runtime nothing is sent, and no lock is taken.
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
    pub(crate) fn of(redis: &Arc<RedisStore>, keys: &LeaseKeys, lease: &Lease) -> Self {
        Self::new(redis, keys, lease.lock.as_ref())
    }

    /// Leaves the lock alone from here on, because it is gone, or whoever comes next takes care of it.
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
        let mut release = Box::pin(async move {
            let _letting_go = letting_go;
            let deadline = Instant::now() + LOCKED;
            // Where it fails, the lock expires by then.
            drop(live_on(&lock.redis, &lock.key, &lock.holder, 0, deadline).await);
        });
        let is_here = Handle::try_current().is_ok_and(|here| here.id() == runtime.id());
        // Begun here unless the thread unwinds: a second panic would end the process.
        let is_left = !is_here
            || std::thread::panicking()
            || catch_unwind(AssertUnwindSafe(|| release.as_mut().now_or_never()))
                .is_ok_and(|released| released.is_none());
        if is_left {
            drop(runtime.spawn(release));
        }
    }
}

/// The lock lives for so many milliseconds more, if its holder still has it; for 0: it is deleted.
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

/// Takes a lease for its holder alone, and revokes everybody else's.
pub(crate) async fn seize(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    deadline: Instant,
) -> Result<Lease, Error> {
    let content = Bytes::from(nonce());
    redis
        .set(&keys.lease, &content, LIFE, Urgency::Urgent, deadline)
        .await?;
    Ok(Lease {
        content,
        own: true,
        lock: None,
    })
}

/// Stores what somebody brings who has [seized](seize) the lease.
///
/// Two steps, so that a first one that comes late can do no more than revoke: a put that was given
/// up must not land after a later invalidation.
pub(crate) async fn put(
    redis: &Arc<RedisStore>,
    keys: &LeaseKeys,
    lease: &Lease,
    content: Content<'_>,
    deadline: Instant,
) -> Result<(), Error> {
    let arguments = [
        Argument::Bytes(&lease.content),
        Argument::Bytes(content.bytes),
        Argument::Int(milliseconds(content.kept_for)),
        Argument::Int(u64::from(content.stamped)),
    ];
    redis
        .eval(
            &PUT,
            &[&keys.value, &keys.lease, &keys.lock],
            &arguments,
            deadline,
        )
        .await
        .map(drop)
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

fn unexpected() -> Error {
    Error::new(
        ErrorKind::Server,
        "redis answered a script with a reply of another kind",
    )
}
