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

#[cfg(feature = "testing")]
use self::budget::TimeLimit;
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
#[cfg(feature = "testing")]
use crate::testing::Fault;
use crate::{
    base::{clock::Clock, runtime::has_timers},
    config::StoreChoice,
    error::{Error, ErrorKind},
    flight::{Flights, Lead},
    observe::stats::StoreStats,
    testing::Injected,
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
pub(crate) struct Store {
    inner: Inner,
    faults: Injected,
}

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
        faults: Injected,
    ) -> Result<Self, Error> {
        let inner = match choice {
            StoreChoice::Off => Inner::Off,
            StoreChoice::Memory => Inner::Memory(Arc::new(MemoryStore::new(
                prefix,
                memory_capacity,
                clock.clone(),
            ))),
            StoreChoice::Redis(endpoint) => {
                Inner::Redis(RedisStore::new(Connector::new(endpoint)?, timeout))
            }
        };
        // A cache that is off asks nobody, so that nothing can fail.
        let faults = match &inner {
            Inner::Off => Injected::default(),
            Inner::Memory(_) | Inner::Redis(_) => faults,
        };
        Ok(Self { inner, faults })
    }

    /// Whether nothing is kept, and every call is to run its body.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.inner, Inner::Off)
    }

    /// Whether values are kept in this process, where [`at_hand`](Self::at_hand) looks for them.
    pub(crate) fn is_at_hand(&self) -> bool {
        matches!(self.inner, Inner::Memory(_)) && !self.faults.are_given()
    }

    /// A look at the values that this process has, by keys without the prefix, which waits for nothing; `None` where it has
    /// none.
    #[inline]
    pub(crate) fn at_hand(&self) -> Option<impl Fn(&str) -> Option<Shared> + '_> {
        match &self.inner {
            Inner::Memory(memory) if !self.faults.are_given() => Some(|key: &str| memory.look(key)),
            Inner::Memory(_) | Inner::Redis(_) | Inner::Off => None,
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
        let asked = self.ask(key, budget);
        #[cfg(feature = "testing")]
        let asked = meeting(self.faults.clone(), budget.begin(), asked);
        asked
    }

    /// [`read`](Self::read), where nothing is broken.
    #[inline(always)]
    fn ask(
        &self,
        key: &Arc<str>,
        budget: &Budget,
    ) -> impl Future<Output = (Result<Option<Standing>, Error>, Duration)> + use<> {
        // `Err`: the answer, where nobody is to be asked.
        let asked = match &self.inner {
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
        #[cfg(feature = "testing")]
        budget
            .spend(|deadline| self.faults.meet_storing(deadline))
            .await?;
        match &self.inner {
            Inner::Off => Err(off()),
            // Another flight may have ended between this call's look and its own flight.
            Inner::Memory(memory) => Ok(match memory.get(key) {
                Some(shared) if !seen.is_numbered(shared.number()) => {
                    self.found(Standing::InProcess(shared))
                }
                _ => Acquired::Right(Right::of_flight(memory, self.faults.clone())),
            }),
            Inner::Redis(redis) => {
                let keys = LeaseKeys::new(prefix, key);
                let seen = seen.bytes();
                let acquired = budget
                    .spend(|deadline| lease::acquire(redis, keys, lock_request, seen, deadline));
                let reply = acquired.await?;
                #[cfg(feature = "testing")]
                let reply = match reply {
                    // The call has seen that it has no use for what stands there.
                    AcquireReply::Value(bytes) if self.has_garbage() && seen.is_some() => {
                        let keys = LeaseKeys::new(prefix, key);
                        let acquired = budget.spend(|deadline| {
                            lease::acquire(redis, keys, lock_request, Some(&bytes), deadline)
                        });
                        acquired.await?
                    }
                    reply => reply,
                };
                Ok(match reply {
                    AcquireReply::Value(bytes) => {
                        self.found(Standing::InRedis(Fetched::alone(bytes), redis.link()?))
                    }
                    AcquireReply::Lease(lease) => {
                        Acquired::Right(Right::of_lease(lease, self.faults.clone()))
                    }
                    AcquireReply::Locked { elsewhere, left } => {
                        Acquired::Locked { elsewhere, left }
                    }
                })
            }
        }
    }

    /// What stands under a key, as the answer to who asked for the right to store.
    fn found(&self, standing: Standing) -> Acquired {
        #[cfg(feature = "testing")]
        let standing = match self.has_garbage() {
            true => standing.garbled(),
            false => standing,
        };
        Acquired::Value(standing)
    }

    #[cfg(feature = "testing")]
    fn has_garbage(&self) -> bool {
        self.faults.present() == Fault::Garbage
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
        #[cfg(feature = "testing")]
        budget
            .spend(|deadline| self.faults.meet_storing(deadline))
            .await?;
        Ok(match &self.inner {
            Inner::Off => return Err(off()),
            Inner::Memory(memory) => Right::of_flight(memory, self.faults.clone()),
            Inner::Redis(redis) => {
                let keys = LeaseKeys::new(prefix, key);
                let lease = budget.spend(|deadline| lease::seize(redis, keys, deadline));
                Right::of_lease(lease.await?, self.faults.clone())
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
        #[cfg(feature = "testing")]
        self.faults.meet(deadline).await?;
        match &self.inner {
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
        Ok(match &self.inner {
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
        match &self.inner {
            Inner::Off => Ok(()),
            Inner::Memory(memory) if !self.faults.are_given() => {
                memory.put(flights, key, value.incoming());
                Ok(())
            }
            Inner::Memory(_) | Inner::Redis(_) => {
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
        #[cfg(feature = "testing")]
        self.faults.meet_storing(deadline).await?;
        let faults = self.faults.clone();
        Ok(match &self.inner {
            Inner::Off => return Err(off()),
            Inner::Memory(memory) => {
                let right = memory.begin_write(flights, &keys.value);
                Write::in_process(memory, right, faults)
            }
            Inner::Redis(redis) => {
                flights.detach(&keys.value, || ());
                Write::of_lease(lease::seize(redis, keys.clone(), deadline).await?, faults)
            }
        })
    }

    /// Takes from this process what it has of `key`: the value where it is kept here, and the flight from new
    /// callers. [`delete`](Self::delete) does the rest.
    pub(crate) fn forget(&self, flights: &Flights<Answer>, key: &Arc<str>) {
        match &self.inner {
            Inner::Memory(memory) => memory.remove(flights, key),
            Inner::Redis(_) | Inner::Off => flights.detach(key, || ()),
        }
    }

    /// Whether values are kept outside this process.
    #[cfg(feature = "testing")]
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.inner, Inner::Redis(_))
    }

    /// Meets the faults of a test, for an operation that goes round the verbs.
    ///
    /// # Errors
    ///
    /// If the store is to seem out of reach, or not to answer before the `deadline`.
    #[cfg(feature = "testing")]
    pub(crate) async fn meet(&self, deadline: Instant) -> Result<(), Error> {
        self.faults.meet(deadline).await.map(drop)
    }

    /// Whether values are kept outside this process, or are to seem so, so that an invalidation can fail.
    pub(crate) fn is_shared(&self) -> bool {
        self.faults.are_given()
            || match &self.inner {
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
        #[cfg(feature = "testing")]
        self.faults.meet(deadline).await?;
        match &self.inner {
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
        match &self.inner {
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
        #[cfg(feature = "testing")]
        self.faults.meet(deadline).await?;
        match &self.inner {
            Inner::Memory(_) | Inner::Off => Ok(()),
            Inner::Redis(redis) => redis.ping(deadline).await,
        }
    }

    /// Whether a task on the present runtime can reach what is kept outside this process: the runtime has timers.
    pub(crate) fn is_reached_from_here(&self) -> bool {
        match &self.inner {
            Inner::Memory(_) => self.faults.are_given() && has_timers(),
            Inner::Off => false,
            Inner::Redis(redis) => redis.link().is_ok(),
        }
    }

    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        match &self.inner {
            Inner::Memory(_) | Inner::Off => false,
            Inner::Redis(redis) => redis.connected() > 0,
        }
    }

    /// Waits until no lock is being let go for which other processes wait.
    pub(crate) async fn locks_let_go(&self) {
        match &self.inner {
            Inner::Memory(_) | Inner::Off => {}
            Inner::Redis(redis) => redis.locks_let_go().await,
        }
    }

    /// Drops the values that are kept in this process.
    pub(crate) fn clear(&self) {
        match &self.inner {
            Inner::Memory(memory) => memory.clear(),
            Inner::Redis(_) | Inner::Off => {}
        }
    }

    /// Ends every connection, for good.
    pub(crate) fn close(&self) {
        match &self.inner {
            Inner::Memory(_) | Inner::Off => {}
            Inner::Redis(redis) => redis.close(),
        }
    }

    pub(crate) fn stats(&self) -> StoreStats {
        match &self.inner {
            Inner::Off => StoreStats::Off,
            Inner::Memory(memory) => StoreStats::Memory {
                entries: memory.len(),
            },
            Inner::Redis(redis) => redis.stats(),
        }
    }

    /// How many callers' reads wait or are on their way right now.
    pub(crate) fn reading(&self) -> usize {
        match &self.inner {
            Inner::Memory(_) | Inner::Off => 0,
            Inner::Redis(redis) => redis.reading(),
        }
    }
}

/// Has a read, and then what it read, broken as a test says.
#[cfg(feature = "testing")]
async fn meeting<F>(faults: Injected, begun: Result<TimeLimit, Error>, read: F) -> F::Output
where
    F: Future<Output = (Result<Option<Standing>, Error>, Duration)>,
{
    // Where the call asks nothing more, the read says so itself.
    let limit = match begun {
        Ok(limit) if faults.are_given() => limit,
        Ok(_) | Err(_) => return read.await,
    };
    // On the heap, because a call has this future in its own.
    let fault = match Box::pin(faults.meet(limit.deadline)).await {
        Ok(fault) => fault,
        Err(error) => return (Err(error), limit.start.elapsed()),
    };
    let (standing, _) = read.await;
    let standing = match fault {
        Fault::Garbage => standing.map(|standing| standing.map(Standing::garbled)),
        _ => standing,
    };
    (standing, limit.start.elapsed())
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
        match &self.inner {
            Inner::Off => f.write_str("off"),
            Inner::Memory(_) => f.write_str("in process"),
            Inner::Redis(redis) => redis.connector().endpoint().fmt(f),
        }
    }
}
