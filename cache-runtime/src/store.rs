//! Where values are kept: in Redis, in this process, or nowhere.
//!
//! The one rule: **a [`Store`] has verbs, and nobody else asks which of the three it is**: another tier is one more arm of
//! each verb here, and a file beside [`memory`]. What a verb does stands with the store that does it.
//!
//! Imports point to a lower floor, never back. The floors, the top one first; what stands in one row
//! knows nothing of its neighbours:
//!
//! | floor | is |
//! |---|---|
//! | this file | which store a cache has |
//! | [`right`] | the right to store, in the process or in Redis |
//! | [`prepared`] | a value as its store is going to have it |
//! | [`standing`] | what stands under a key |
//! | [`redis`] · [`memory`] | the two stores |
//! | [`fetched`] · [`budget`] | what comes of a read · what a call may still spend |

pub(crate) mod budget;
pub(crate) mod fetched;
pub(crate) mod memory;
mod prepared;
pub(crate) mod redis;
mod right;
mod standing;

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    budget::Budget,
    fetched::Fetched,
    memory::{Incoming, MemoryStore, Shared},
    redis::{
        client::RedisStore,
        connect::Connector,
        lease::{self, AcquireReply, LeaseKeys, LockRequest, Written},
    },
};
use crate::{
    base::clock::Clock,
    config::StoreChoice,
    error::{Error, ErrorKind},
    flight::{Flights, Lead},
    observe::stats::StoreStats,
    value::{answer::Answer, error::CodecError, freshness::Lifespan},
};

pub(crate) use self::{
    prepared::Prepared,
    redis::gate::Urgency,
    right::{Acquired, Right, Write},
    standing::{Seen, Standing},
};

/// The store of one cache.
#[derive(Debug, Clone)]
pub(crate) struct Store(Inner);

/// Which of the three it is; private, so that no other file can ask.
#[derive(Debug, Clone)]
enum Inner {
    Memory(Arc<MemoryStore>),
    Redis(Arc<RedisStore>),
    /// The cache is off: nothing is kept. Calls go round the cache, so none of them asks for the right to store.
    Off,
}

impl Store {
    /// # Errors
    ///
    /// If the endpoint cannot be used.
    pub(crate) fn new(
        choice: StoreChoice,
        prefix: &str,
        memory_capacity: u64,
        timeout: Duration,
        clock: &Clock,
    ) -> Result<Self, Error> {
        Ok(Self(match choice {
            StoreChoice::Off => Inner::Off,
            StoreChoice::Memory => Inner::Memory(Arc::new(MemoryStore::new(
                prefix,
                memory_capacity,
                clock.clone(),
            ))),
            StoreChoice::Redis(endpoint) => {
                Inner::Redis(RedisStore::new(Connector::new(endpoint)?, timeout))
            }
        }))
    }

    /// Whether nothing is kept, and every call is to run its body.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.0, Inner::Off)
    }

    /// Whether values are kept in this process, where [`at_hand`](Self::at_hand) looks for them.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(self.0, Inner::Memory(_))
    }

    /// A look at the values that this process has, by keys without the prefix, which waits for nothing; `None` where it has
    /// none.
    #[inline]
    pub(crate) fn at_hand(&self) -> Option<impl Fn(&str) -> Option<Shared> + '_> {
        match &self.0 {
            Inner::Memory(memory) => Some(|key: &str| memory.look(key)),
            Inner::Redis(_) | Inner::Off => None,
        }
    }

    /// What stands under `key`, and how long it took to ask, to be [settled](Budget::settle) with the `budget`.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time.
    // Inlined, so that the future is made where it stays, and not copied there.
    #[inline(always)]
    pub(crate) fn read(
        &self,
        key: &Arc<str>,
        budget: &Budget,
    ) -> impl Future<Output = (Result<Option<Standing>, Error>, Duration)> + use<> {
        // `Err`: the answer, where nobody is to be asked.
        let asked = match &self.0 {
            Inner::Off => Err(Ok(None)),
            Inner::Memory(memory) => Err(Ok(memory.get(key).map(Standing::InProcess))),
            Inner::Redis(redis) => {
                let begun = budget.begin();
                let asked = begun.and_then(|limit| Ok((redis.link()?, Arc::clone(key), limit)));
                asked.map_err(Err)
            }
        };
        async move {
            let (link, key, limit) = match asked {
                Ok(asked) => asked,
                Err(known) => return (known, Duration::ZERO),
            };
            let (fetched, now) = link.read(&key, limit).await;
            let took = now.saturating_duration_since(limit.start);
            let standing =
                fetched.map(|fetched| fetched.map(|fetched| Standing::InRedis(fetched, link)));
            (standing, took)
        }
    }

    /// Asks for the right to store, unless something else than what was `seen` stands under the key; with a
    /// `lock_request`, only if nobody else computes the value in any process. `lead` is the flight that asks.
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
            Inner::Off => Err(off()),
            // Another flight may have ended between this call's look and its own flight.
            Inner::Memory(memory) => Ok(match memory.get(key) {
                Some(shared) if !seen.is_numbered(shared.number()) => {
                    Acquired::Value(Standing::InProcess(shared))
                }
                _ => Acquired::Right(Right::of_flight(memory)),
            }),
            Inner::Redis(redis) => {
                let keys = LeaseKeys::new(prefix, key);
                let seen = seen.bytes();
                let acquired = budget
                    .spend(|deadline| lease::acquire(redis, keys, lock_request, seen, deadline));
                Ok(match acquired.await? {
                    AcquireReply::Value(bytes) => {
                        Acquired::Value(Standing::InRedis(Fetched::alone(bytes), redis.link()?))
                    }
                    AcquireReply::Lease(lease) => Acquired::Right(Right::of_lease(lease)),
                    AcquireReply::Locked { elsewhere, left } => {
                        Acquired::Locked { elsewhere, left }
                    }
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
        Ok(match &self.0 {
            Inner::Off => return Err(off()),
            Inner::Memory(memory) => Right::of_flight(memory),
            Inner::Redis(redis) => {
                let keys = LeaseKeys::new(prefix, key);
                let lease = budget.spend(|deadline| lease::seize(redis, keys, deadline));
                Right::of_lease(lease.await?)
            }
        })
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
            Inner::Off => Ok(None),
            Inner::Memory(memory) => Ok(memory.ttl(key)),
            Inner::Redis(redis) => redis.ttl(key, deadline).await,
        }
    }

    /// Puts a value into the form in which this store keeps it: as what others can have of it and what is kept of it, or
    /// as bytes.
    pub(crate) fn prepared(
        &self,
        lifetime: Lifespan,
        took: Duration,
        shared: impl FnOnce() -> Result<(Answer, Answer), CodecError>,
        written: impl FnOnce() -> Result<Written, CodecError>,
    ) -> Result<Prepared, CodecError> {
        Ok(match &self.0 {
            Inner::Memory(_) | Inner::Off => {
                let (shared, kept) = shared()?;
                let incoming = Incoming {
                    outcome: kept,
                    lifetime,
                    took,
                };
                Prepared::kept_shared(shared, incoming)
            }
            Inner::Redis(_) => Prepared::kept_written(written()?),
        })
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
            Inner::Off => Ok(()),
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

    /// Gives the right to store what a write to the source is going to return, and revokes that of every body and every
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
        Ok(match &self.0 {
            Inner::Off => return Err(off()),
            Inner::Memory(memory) => {
                Write::in_process(memory, memory.begin_write(flights, &keys.value))
            }
            Inner::Redis(redis) => {
                flights.detach(&keys.value, || ());
                Write::of_lease(lease::seize(redis, keys.clone(), deadline).await?)
            }
        })
    }

    /// Takes from this process what it has of `key`: the value where it is kept here, and the flight from new
    /// callers. [`delete`](Self::delete) does the rest.
    pub(crate) fn forget(&self, flights: &Flights<Answer>, key: &Arc<str>) {
        match &self.0 {
            Inner::Memory(memory) => memory.remove(flights, key),
            Inner::Redis(_) | Inner::Off => flights.detach(key, || ()),
        }
    }

    /// Whether values are kept outside this process, so that an invalidation can fail.
    pub(crate) fn is_shared(&self) -> bool {
        match &self.0 {
            Inner::Memory(_) | Inner::Off => false,
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
            Inner::Memory(_) | Inner::Off => Ok(()),
            Inner::Redis(redis) => lease::invalidate(redis, keys, urgency, deadline).await,
        }
    }

    /// Redis, for the user's own commands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] on the in-process store, and where the cache is off.
    pub(crate) fn for_own_commands(&self) -> Result<Arc<RedisStore>, Error> {
        match &self.0 {
            Inner::Off => Err(off()),
            Inner::Memory(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "the in-process store has no connection; set `REDIS_URL` or `REDIS_HOST`",
            )),
            Inner::Redis(redis) => Ok(Arc::clone(redis)),
        }
    }

    /// Asks for a sign of life; where nothing is asked, all is well.
    ///
    /// # Errors
    ///
    /// If none comes in time.
    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), Error> {
        match &self.0 {
            Inner::Memory(_) | Inner::Off => Ok(()),
            Inner::Redis(redis) => redis.ping(deadline).await,
        }
    }

    /// Whether a task on the present runtime can reach what is kept outside this process: the runtime has timers.
    pub(crate) fn is_reached_from_here(&self) -> bool {
        match &self.0 {
            Inner::Memory(_) | Inner::Off => false,
            Inner::Redis(redis) => redis.link().is_ok(),
        }
    }

    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        match &self.0 {
            Inner::Memory(_) | Inner::Off => false,
            Inner::Redis(redis) => redis.connected() > 0,
        }
    }

    /// Waits until no lock is being let go for which other processes wait.
    pub(crate) async fn locks_let_go(&self) {
        match &self.0 {
            Inner::Memory(_) | Inner::Off => {}
            Inner::Redis(redis) => redis.locks_let_go().await,
        }
    }

    /// Drops the values that are kept in this process.
    pub(crate) fn clear(&self) {
        match &self.0 {
            Inner::Memory(memory) => memory.clear(),
            Inner::Redis(_) | Inner::Off => {}
        }
    }

    /// Ends every connection, for good.
    pub(crate) fn close(&self) {
        match &self.0 {
            Inner::Memory(_) | Inner::Off => {}
            Inner::Redis(redis) => redis.close(),
        }
    }

    pub(crate) fn stats(&self) -> StoreStats {
        match &self.0 {
            Inner::Off => StoreStats::Off,
            Inner::Memory(memory) => StoreStats::Memory {
                entries: memory.len(),
            },
            Inner::Redis(redis) => redis.stats(),
        }
    }

    /// How many callers' reads wait or are on their way right now.
    pub(crate) fn reading(&self) -> usize {
        match &self.0 {
            Inner::Memory(_) | Inner::Off => 0,
            Inner::Redis(redis) => redis.reading(),
        }
    }
}

/// Why a cache that is off has no connection, and no right to store.
fn off() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the cache is off, by `REDIS_CACHE=off` or `Cache::off()`",
    )
}

/// Where values are kept, for people.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Off => f.write_str("off"),
            Inner::Memory(_) => f.write_str("in process"),
            Inner::Redis(redis) => redis.connector().endpoint().fmt(f),
        }
    }
}
