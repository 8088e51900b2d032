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

use self::{connect::Connector, lease::LeaseKeys, memory::MemoryStore, redis::RedisStore};
use crate::{
    answer::{Answer, SharedValue},
    clock::Clock,
    config::StoreChoice,
    error::{Error, ErrorKind},
    flight::Flights,
    policy::Aged,
    stats::StoreStats,
};

pub(crate) use self::gate::Urgency;

/// The store of one cache.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Memory(Arc<MemoryStore>),
    Redis(Arc<RedisStore>),
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
        Ok(match choice {
            StoreChoice::Memory => {
                Self::Memory(Arc::new(MemoryStore::new(memory_capacity, clock.clone())))
            }
            StoreChoice::Redis(endpoint) => {
                Self::Redis(RedisStore::new(Connector::new(endpoint)?, timeout))
            }
        })
    }

    /// A look at the values that this process has, which waits for nothing; `None` where it has none. It gives the
    /// value (`None`: a body's `None`), its age, and its number, which no other entry has.
    pub(crate) fn at_hand(
        &self,
    ) -> Option<impl Fn(&str) -> Option<(Option<SharedValue>, Aged, u64)> + '_> {
        match self {
            Self::Memory(memory) => Some(|key: &str| memory.get(key)),
            Self::Redis(_) => None,
        }
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
        match self {
            Self::Memory(memory) => Ok(memory.ttl(key)),
            Self::Redis(redis) => redis.ttl(key, deadline).await,
        }
    }

    /// Takes from this process what it has of `key`: the value where it is kept here, and the flight from new
    /// callers. [`delete`](Self::delete) does the rest.
    pub(crate) fn forget(&self, flights: &Flights<Answer>, key: &Arc<str>) {
        match self {
            Self::Memory(memory) => memory.remove(flights, key),
            Self::Redis(_) => flights.detach(key, || ()),
        }
    }

    /// Whether values are kept outside this process, so that an invalidation can fail.
    pub(crate) fn is_shared(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Redis(_) => true,
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
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => lease::invalidate(redis, keys, urgency, deadline).await,
        }
    }

    /// Redis, for the user's own commands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] on the in-process store.
    pub(crate) fn for_own_commands(&self) -> Result<Arc<RedisStore>, Error> {
        match self {
            Self::Memory(_) => Err(Error::new(
                ErrorKind::Unavailable,
                "the in-process store has no connection; set `REDIS_URL` or `REDIS_HOST`",
            )),
            Self::Redis(redis) => Ok(Arc::clone(redis)),
        }
    }

    /// Asks for a sign of life; the in-process store is always well.
    ///
    /// # Errors
    ///
    /// If none comes in time.
    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), Error> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.ping(deadline).await,
        }
    }

    /// Whether a task on the present runtime can reach what is kept outside this process: the runtime has timers.
    pub(crate) fn is_reached_from_here(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Redis(redis) => redis.link().is_ok(),
        }
    }

    /// Whether a connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Redis(redis) => redis.connected() > 0,
        }
    }

    /// Waits until no lock is being let go for which other processes wait.
    pub(crate) async fn locks_let_go(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Redis(redis) => redis.locks_let_go().await,
        }
    }

    /// Ends every connection, for good.
    pub(crate) fn close(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Redis(redis) => redis.close(),
        }
    }

    pub(crate) fn stats(&self) -> StoreStats {
        match self {
            Self::Memory(memory) => StoreStats::Memory {
                entries: memory.len(),
            },
            Self::Redis(redis) => redis.stats(),
        }
    }

    /// How many callers' reads wait or are on their way right now.
    pub(crate) fn reading(&self) -> usize {
        match self {
            Self::Memory(_) => 0,
            Self::Redis(redis) => redis.reading(),
        }
    }
}

/// Where values are kept, for people.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("in process"),
            Self::Redis(redis) => redis.connector().endpoint().fmt(f),
        }
    }
}
