//! Where values are kept: in Redis, or in this process.
//!
//! The one rule: **a [`Store`] has verbs, and nobody else asks which of the two it is**: another tier is one more arm of
//! each verb here, and a file beside [`memory`]. What a verb does stands with the store that does it.
//!
//! Imports point to a lower floor, never back. The floors, the top one first; what stands in one row
//! knows nothing of its neighbours:
//!
//! | floor | is |
//! |---|---|
//! | this file | which store a cache has |
//! | [`lease`] | the right to store, and the lock beside it |
//! | [`commands`] | what else is asked of Redis than values |
//! | [`redis`] · [`memory`] | the two stores |
//! | [`fetch`] · [`watch`] | reads of values, alone or together · waiting for the lock of another process |
//! | [`send`] | one request, until its deadline, and again where that is safe |
//! | [`request`] · [`links`] | what is sent in one go · the links of all runtimes |
//! | [`link`] with its `renewal` | the connection of one runtime: whether there is one, and who makes the next |
//! | [`batch`] · [`fetched`] · [`server`] | which reads go together · what comes of a read · what all connections share |
//! | [`gate`] · [`live`] · [`retry`] | the breaker at work · a connection that stands · what may be sent again |
//! | [`connect`] with its `addresses` | how a connection is made and logged in |
//! | [`attempts`] | when a connection may be tried |
//! | [`pulse`] · [`pushes`] | whether the server still says something · what it says without being asked |
//!
//! Tests may look up: they stand beside what they test, and use the whole store.

mod attempts;
mod batch;
mod commands;
pub(crate) mod connect;
mod fetch;
pub(crate) mod fetched;
mod gate;
pub(crate) mod lease;
pub(crate) mod link;
mod links;
pub(crate) mod live;
pub(crate) mod memory;
mod pulse;
mod pushes;
pub(crate) mod redis;
pub(crate) mod request;
mod retry;
mod send;
mod server;
#[cfg(test)]
mod test_server;
mod watch;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{
    connect::Connector,
    fetched::Fetched,
    lease::{AcquireReply, Granted, LeaseKeys, LockRequest, LockedElsewhere, StoreReply, Written},
    memory::{Incoming, MemoryStore},
    redis::RedisStore,
};
use crate::{
    answer::{Answer, SharedValue},
    budget::Budget,
    clock::Clock,
    codec::{CodecError, payload_of},
    config::StoreChoice,
    error::{Error, ErrorKind},
    flight::{Flights, Lead},
    policy::{Aged, Lifetime},
    stats::StoreStats,
};

pub(crate) use self::gate::Urgency;

/// The store of one cache.
#[derive(Debug, Clone)]
pub(crate) struct Store(Inner);

/// Private, so that no other file can ask which of the two it is.
#[derive(Debug, Clone)]
enum Inner {
    Memory(Arc<MemoryStore>),
    Redis(Arc<RedisStore>),
}

/// What stands in a store, in the form in which it stands there; made to be matched on.
#[derive(Debug)]
pub(crate) enum Reading {
    /// A value of this process (`None`: a body's `None`), its age, and its number, which no other has.
    Shared(Option<SharedValue>, Aged, u64),
    /// Bytes, and the Redis whose time the stamp in them is to be compared with.
    Written(Fetched, Arc<RedisStore>),
}

impl Reading {
    fn shared((value, aged, number): (Option<SharedValue>, Aged, u64)) -> Self {
        Self::Shared(value, aged, number)
    }
}

/// What stood under the key when it was last looked at, to tell it from what may stand there later.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Seen {
    #[default]
    Nothing,
    /// All of it, or the header, in which no two values are alike.
    Bytes(Bytes),
    /// In this process: the entry's number.
    Numbered(u64),
}

impl Seen {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Nothing | Self::Numbered(_) => None,
        }
    }

    fn is_numbered(&self, number: u64) -> bool {
        matches!(self, Self::Numbered(seen) if *seen == number)
    }
}

/// The right to store what a body, or a write, is going to return: it is got before that begins, and an invalidation
/// takes it away.
#[derive(Debug)]
pub(crate) struct Right(Held);

/// Private, as the store's own.
#[derive(Debug)]
enum Held {
    /// The flight itself, for as long as it is in the map of flights.
    Flight(Arc<MemoryStore>),
    Lease(Granted),
}

/// The right to store what a write to the source is going to return.
#[derive(Debug)]
pub(crate) struct Write(Begun);

#[derive(Debug)]
enum Begun {
    InProcess(Arc<MemoryStore>, u64),
    Lease(Granted),
}

/// A value in the form in which the store keeps it.
#[derive(Debug)]
pub(crate) struct Prepared(Form);

#[derive(Debug)]
enum Form {
    Shared {
        /// What others can have of the value.
        shared: Answer,
        incoming: Incoming,
    },
    Written(Written),
}

const PREPARED: &str = "invariant: a value is prepared by the store that takes it";

impl Prepared {
    /// What others can have of the value, where preparing it has shown that already.
    pub(crate) fn shared(&self) -> Option<&Answer> {
        match &self.0 {
            Form::Shared { shared, .. } => Some(shared),
            Form::Written(_) => None,
        }
    }

    /// The bytes that are going to be stored, where the store keeps bytes.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Form::Shared { .. } => None,
            Form::Written(written) => Some(&written.bytes),
        }
    }

    /// The value's JSON, where the store keeps bytes.
    pub(crate) fn json(&self) -> Option<Bytes> {
        self.bytes().map(payload_of)
    }

    fn incoming(&self) -> &Incoming {
        match &self.0 {
            Form::Shared { incoming, .. } => Some(incoming),
            Form::Written(_) => None,
        }
        .expect(PREPARED)
    }

    fn written(&self) -> &Written {
        match &self.0 {
            Form::Shared { .. } => None,
            Form::Written(written) => Some(written),
        }
        .expect(PREPARED)
    }
}

impl Right {
    /// The lease that is to be renewed while the body runs; a flight lives on by itself.
    pub(crate) fn lease(&self) -> Option<&Granted> {
        match &self.0 {
            Held::Flight(_) => None,
            Held::Lease(granted) => Some(granted),
        }
    }

    /// Closes the attempt of the flight, and stores if the right still stands; without a value, takes away what is
    /// there. `locked`: who computes the value takes the lock first.
    ///
    /// # Errors
    ///
    /// If Redis does not answer in time, so that nobody knows.
    pub(crate) async fn store(
        &self,
        lead: &mut Lead<Answer>,
        key: &Arc<str>,
        value: Option<&Prepared>,
        locked: bool,
        budget: &mut Budget,
    ) -> Result<StoreReply, Error> {
        match &self.0 {
            Held::Flight(memory) => {
                let stood = memory.store(lead, key, value.map(Prepared::incoming));
                Ok(if stood {
                    StoreReply::Yes
                } else {
                    StoreReply::Refused
                })
            }
            Held::Lease(Granted { redis, keys, lease }) => {
                lead.close();
                let content = value.map(|value| value.written().content());
                let stored = budget
                    .spend(|deadline| lease::store(redis, keys, lease, content, locked, deadline));
                stored.await
            }
        }
    }

    /// Closes the attempt of a flight whose outcome is not stored: whether the right stood then; `None` if that takes
    /// a question, which is [`release`](Self::release).
    pub(crate) fn close(&self, lead: &mut Lead<Answer>) -> Option<bool> {
        match &self.0 {
            Held::Flight(_) => Some(lead.close_with(|| ()).is_some()),
            Held::Lease(_) => {
                lead.close();
                None
            }
        }
    }

    /// Gives the right back: whether it was still there, which proves that nothing was invalidated since it was
    /// granted. A flight is given back by its end.
    ///
    /// # Errors
    ///
    /// If Redis does not answer in time.
    pub(crate) async fn release(&self, deadline: Instant) -> Result<bool, Error> {
        match &self.0 {
            Held::Flight(_) => Ok(true),
            Held::Lease(Granted { redis, keys, lease }) => {
                lease::release(redis, keys, lease, deadline).await
            }
        }
    }
}

impl Write {
    /// The lease that is to be renewed while the source is written.
    pub(crate) fn lease(&self) -> Option<&Granted> {
        match &self.0 {
            Begun::InProcess(..) => None,
            Begun::Lease(granted) => Some(granted),
        }
    }

    /// Stores what the write returned, unless the key was changed since it began; then nothing stays.
    ///
    /// # Errors
    ///
    /// If Redis does not take it in time.
    pub(crate) async fn put(
        &self,
        flights: &Flights<Answer>,
        key: &Arc<str>,
        value: &Prepared,
        deadline: Instant,
    ) -> Result<(), Error> {
        match &self.0 {
            Begun::InProcess(memory, right) => {
                memory.put_written(flights, key, *right, value.incoming());
                Ok(())
            }
            Begun::Lease(Granted { redis, keys, lease }) => {
                lease::put(redis, keys, lease, value.written().content(), deadline).await
            }
        }
    }
}

/// What came of asking for the right to store; made to be matched on.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// Somebody stored a value meanwhile.
    Value(Reading),
    Right(Right),
    /// Another process computes the value, and lets its lock go after this long unless it renews it.
    Locked {
        elsewhere: LockedElsewhere,
        left: Duration,
    },
}

impl Store {
    /// # Errors
    ///
    /// If the endpoint cannot be used.
    pub(crate) fn new(
        choice: StoreChoice,
        memory_capacity: u64,
        timeout: Duration,
        clock: &Clock,
    ) -> Result<Self, Error> {
        Ok(Self(match choice {
            StoreChoice::Memory => {
                Inner::Memory(Arc::new(MemoryStore::new(memory_capacity, clock.clone())))
            }
            StoreChoice::Redis(endpoint) => {
                Inner::Redis(RedisStore::new(Connector::new(endpoint)?, timeout))
            }
        }))
    }

    /// A look at the values that this process has, which waits for nothing; `None` where it has none. It gives the
    /// value (`None`: a body's `None`), its age, and its number, which no other entry has.
    pub(crate) fn at_hand(
        &self,
    ) -> Option<impl Fn(&str) -> Option<(Option<SharedValue>, Aged, u64)> + '_> {
        match &self.0 {
            Inner::Memory(memory) => Some(|key: &str| memory.get(key)),
            Inner::Redis(_) => None,
        }
    }

    /// What stands under `key`.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time.
    pub(crate) async fn read(
        &self,
        key: &Arc<str>,
        budget: &mut Budget,
    ) -> Result<Option<Reading>, Error> {
        match &self.0 {
            Inner::Memory(memory) => Ok(memory.get(key).map(Reading::shared)),
            Inner::Redis(redis) => {
                let link = redis.link().inspect_err(|_| budget.end())?;
                let fetched = budget.spend(|deadline| link.read(key, deadline)).await?;
                Ok(fetched.map(|fetched| Reading::Written(fetched, Arc::clone(redis))))
            }
        }
    }

    /// Asks for the right to store, unless something else than what was `seen` stands under the key; with a
    /// `lock_request`, only if nobody else computes the value in any process. A flight with its `lead` asks.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time. There is no right then.
    pub(crate) async fn acquire(
        &self,
        lead: &mut Lead<Answer>,
        (prefix, key): (&str, &Arc<str>),
        lock_request: Option<&LockRequest>,
        seen: &Seen,
        budget: &mut Budget,
    ) -> Result<Acquired, Error> {
        lead.acquire_sent();
        match &self.0 {
            // Another flight may have ended between this call's look and its own flight.
            Inner::Memory(memory) => Ok(match memory.get(key) {
                Some(stored) if !seen.is_numbered(stored.2) => {
                    Acquired::Value(Reading::shared(stored))
                }
                _ => Acquired::Right(Right(Held::Flight(Arc::clone(memory)))),
            }),
            Inner::Redis(redis) => {
                let keys = LeaseKeys::new(prefix, key);
                let seen = seen.bytes();
                let acquired = budget
                    .spend(|deadline| lease::acquire(redis, &keys, lock_request, seen, deadline));
                Ok(match acquired.await? {
                    AcquireReply::Value(bytes) => {
                        Acquired::Value(Reading::Written(Fetched::alone(bytes), Arc::clone(redis)))
                    }
                    AcquireReply::Lease(lease) => Acquired::Right(Right(Held::Lease(Granted {
                        redis: Arc::clone(redis),
                        keys,
                        lease,
                    }))),
                    AcquireReply::Locked { holder, left } => Acquired::Locked {
                        elsewhere: LockedElsewhere::new(redis, &keys, holder),
                        left,
                    },
                })
            }
        }
    }

    /// Takes the right to store for a flight alone, with its `lead`, and revokes everybody else's.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub(crate) async fn seize(
        &self,
        lead: &mut Lead<Answer>,
        (prefix, key): (&str, &Arc<str>),
        budget: &mut Budget,
    ) -> Result<Right, Error> {
        lead.acquire_sent();
        Ok(Right(match &self.0 {
            Inner::Memory(memory) => Held::Flight(Arc::clone(memory)),
            Inner::Redis(redis) => {
                let keys = LeaseKeys::new(prefix, key);
                let lease = budget.spend(|deadline| lease::seize(redis, &keys, deadline));
                Held::Lease(Granted {
                    lease: lease.await?,
                    redis: Arc::clone(redis),
                    keys,
                })
            }
        }))
    }

    /// How much longer what stands under `key` lives; `None` if there is nothing, or it never expires.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time.
    pub(crate) async fn ttl(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Duration>, Error> {
        match &self.0 {
            Inner::Memory(memory) => Ok(memory.ttl(key)),
            Inner::Redis(redis) => redis.ttl(key, deadline).await,
        }
    }

    /// Puts a value into the form in which this store keeps it: as what others can have of it and what is kept of it, or
    /// as bytes.
    pub(crate) fn prepared(
        &self,
        lifetime: Lifetime,
        took: Duration,
        shared: impl FnOnce() -> Result<(Answer, Answer), CodecError>,
        written: impl FnOnce() -> Result<Written, CodecError>,
    ) -> Result<Prepared, CodecError> {
        Ok(Prepared(match &self.0 {
            Inner::Memory(_) => {
                let (shared, kept) = shared()?;
                let incoming = Incoming {
                    outcome: kept,
                    lifetime,
                    took,
                };
                Form::Shared { shared, incoming }
            }
            Inner::Redis(_) => Form::Written(written()?),
        }))
    }

    /// Puts `value` in the place of what is stored or computed now.
    ///
    /// # Errors
    ///
    /// If Redis does not take it in time.
    pub(crate) async fn put(
        &self,
        flights: &Flights<Answer>,
        (prefix, key): (&str, &Arc<str>),
        value: &Prepared,
        deadline: Instant,
    ) -> Result<(), Error> {
        match &self.0 {
            Inner::Memory(memory) => {
                memory.put(flights, key, value.incoming());
                Ok(())
            }
            Inner::Redis(_) => {
                let keys = LeaseKeys::new(prefix, key);
                let write = self.begin_write(flights, &keys, deadline).await?;
                write.put(flights, key, value, deadline).await
            }
        }
    }

    /// Gives the right to store what a write to the source is going to return, and takes that of every body and every
    /// other write.
    ///
    /// # Errors
    ///
    /// If Redis does not answer in time.
    pub(crate) async fn begin_write(
        &self,
        flights: &Flights<Answer>,
        keys: &LeaseKeys,
        deadline: Instant,
    ) -> Result<Write, Error> {
        Ok(Write(match &self.0 {
            Inner::Memory(memory) => {
                let right = memory.begin_write(flights, &keys.value);
                Begun::InProcess(Arc::clone(memory), right)
            }
            Inner::Redis(redis) => {
                flights.detach(&keys.value, || ());
                Begun::Lease(Granted {
                    lease: lease::seize(redis, keys, deadline).await?,
                    redis: Arc::clone(redis),
                    keys: keys.clone(),
                })
            }
        }))
    }

    /// Takes from this process what it has of `key`: the value where it is kept here, and the flight from new
    /// callers. [`delete`](Self::delete) does the rest.
    pub(crate) fn forget(&self, flights: &Flights<Answer>, key: &Arc<str>) {
        match &self.0 {
            Inner::Memory(memory) => memory.remove(flights, key),
            Inner::Redis(_) => flights.detach(key, || ()),
        }
    }

    /// Whether values are kept outside this process, so that an invalidation can fail.
    pub(crate) fn is_shared(&self) -> bool {
        match &self.0 {
            Inner::Memory(_) => false,
            Inner::Redis(_) => true,
        }
    }

    /// Deletes what is kept of the value outside this process, and the right to store.
    ///
    /// # Errors
    ///
    /// If Redis does not confirm it in time.
    pub(crate) async fn delete(
        &self,
        keys: &LeaseKeys,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(), Error> {
        match &self.0 {
            Inner::Memory(_) => Ok(()),
            Inner::Redis(redis) => lease::invalidate(redis, keys, urgency, deadline).await,
        }
    }

    /// Redis, for the user's own commands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] on the in-process store.
    pub(crate) fn for_own_commands(&self) -> Result<Arc<RedisStore>, Error> {
        match &self.0 {
            Inner::Memory(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "the in-process store has no connection; set `REDIS_URL` or `REDIS_HOST`",
            )),
            Inner::Redis(redis) => Ok(Arc::clone(redis)),
        }
    }

    /// Asks for a sign of life; the in-process store is always well.
    ///
    /// # Errors
    ///
    /// If none comes in time.
    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), Error> {
        match &self.0 {
            Inner::Memory(_) => Ok(()),
            Inner::Redis(redis) => redis.ping(deadline).await,
        }
    }

    /// Whether a task on the present runtime can reach what is kept outside this process: the runtime has timers.
    pub(crate) fn is_reached_from_here(&self) -> bool {
        match &self.0 {
            Inner::Memory(_) => false,
            Inner::Redis(redis) => redis.link().is_ok(),
        }
    }

    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        match &self.0 {
            Inner::Memory(_) => false,
            Inner::Redis(redis) => redis.connected() > 0,
        }
    }

    /// Waits until no lock is being let go for which other processes wait.
    pub(crate) async fn locks_let_go(&self) {
        match &self.0 {
            Inner::Memory(_) => {}
            Inner::Redis(redis) => redis.locks_let_go().await,
        }
    }

    /// Ends every connection, for good.
    pub(crate) fn close(&self) {
        match &self.0 {
            Inner::Memory(_) => {}
            Inner::Redis(redis) => redis.close(),
        }
    }

    pub(crate) fn stats(&self) -> StoreStats {
        match &self.0 {
            Inner::Memory(memory) => StoreStats::Memory {
                entries: memory.len(),
            },
            Inner::Redis(redis) => redis.stats(),
        }
    }

    /// How many callers' reads wait or are on their way right now.
    pub(crate) fn reading(&self) -> usize {
        match &self.0 {
            Inner::Memory(_) => 0,
            Inner::Redis(redis) => redis.reading(),
        }
    }
}

/// Where values are kept, for people.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Memory(_) => f.write_str("in process"),
            Inner::Redis(redis) => redis.connector().endpoint().fmt(f),
        }
    }
}
