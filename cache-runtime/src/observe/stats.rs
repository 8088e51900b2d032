//! What happened, counted.
//!
//! The one rule: **a counter belongs to an annotated function, never to a key**, so there are as
//! many as there are functions. They count for the whole process, whichever cache served.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use crate::error::ErrorKind;

/// The counters of one function.
#[derive(Debug)]
pub(crate) struct Counters {
    hits: Striped,
    stale: AtomicU64,
    misses: AtomicU64,
    coalesced: AtomicU64,
    bypassed: AtomicU64,
    body_runs: AtomicU64,
    background_runs: AtomicU64,
    overtook: AtomicU64,
    errors: [AtomicU64; ErrorKind::ALL.len()],
    store_nanos: AtomicU64,
    body_nanos: AtomicU64,
}

/// As many threads as this count without waiting for each other.
const STRIPES: usize = 8;

/// A counter that many threads count with at once: one that all of them wrote to would cost a hit in process
/// more than everything else.
#[derive(Debug)]
struct Striped([Stripe; STRIPES]);

/// Alone in what processors hand around: a cache line, or a pair of them.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Striped {
    const fn new() -> Self {
        Self([const { Stripe(AtomicU64::new(0)) }; STRIPES])
    }

    fn count(&self) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = THREADS.fetch_add(1, Relaxed) % STRIPES;
        }
        // As a thread ends, any will do.
        let own = OWN.try_with(|own| *own).unwrap_or_default();
        self.0[own].0.fetch_add(1, Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.0.load(Relaxed)).sum()
    }
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            hits: Striped::new(),
            stale: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            coalesced: AtomicU64::new(0),
            bypassed: AtomicU64::new(0),
            body_runs: AtomicU64::new(0),
            background_runs: AtomicU64::new(0),
            overtook: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; ErrorKind::ALL.len()],
            store_nanos: AtomicU64::new(0),
            body_nanos: AtomicU64::new(0),
        }
    }

    pub(crate) fn hit(&self) {
        self.hits.count();
    }

    pub(crate) fn stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }

    pub(crate) fn miss(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    pub(crate) fn coalesced(&self) {
        self.coalesced.fetch_add(1, Relaxed);
    }

    pub(crate) fn bypassed(&self) {
        self.bypassed.fetch_add(1, Relaxed);
    }

    pub(crate) fn behind(&self) {
        self.background_runs.fetch_add(1, Relaxed);
    }

    pub(crate) fn overtook(&self) {
        self.overtook.fetch_add(1, Relaxed);
    }

    pub(crate) fn body_run(&self) {
        self.body_runs.fetch_add(1, Relaxed);
    }

    pub(crate) fn error(&self, kind: ErrorKind) {
        self.errors[kind.index()].fetch_add(1, Relaxed);
    }

    pub(crate) fn in_store(&self, spent: Duration) {
        self.store_nanos.fetch_add(nanos(spent), Relaxed);
    }

    pub(crate) fn in_body(&self, spent: Duration) {
        self.body_nanos.fetch_add(nanos(spent), Relaxed);
    }

    pub(crate) fn snapshot(&self) -> SiteStats {
        let errors = ErrorKind::ALL
            .into_iter()
            .map(|kind| (kind, self.errors[kind.index()].load(Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect();
        SiteStats {
            hits: self.hits.sum(),
            stale: self.stale.load(Relaxed),
            misses: self.misses.load(Relaxed),
            coalesced: self.coalesced.load(Relaxed),
            bypassed: self.bypassed.load(Relaxed),
            body_runs: self.body_runs.load(Relaxed),
            background_runs: self.background_runs.load(Relaxed),
            overtook: self.overtook.load(Relaxed),
            errors: Errors(errors),
            time_in_store: Duration::from_nanos(self.store_nanos.load(Relaxed)),
            time_in_body: Duration::from_nanos(self.body_nanos.load(Relaxed)),
        }
    }
}

/// 584 years of nanoseconds fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What happened to one annotated function's calls since the process started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SiteStats {
    /// Calls that the cache answered with a fresh value.
    pub hits: u64,
    /// Calls that the cache answered with a value past its ttl.
    pub stale: u64,
    /// Calls that found nothing in the cache that could be the answer.
    pub misses: u64,
    /// Misses that another call's body answered.
    pub coalesced: u64,
    /// Calls that did not use the cache: none is configured, or the key could not be written.
    pub bypassed: u64,
    /// How often the body ran.
    pub body_runs: u64,
    /// How many of these runs were behind their calls: refreshes, and those that a soft timeout could have
    /// left behind, whether it did or not.
    pub background_runs: u64,
    /// How often a call had waited as long as [`run_wait`](crate::CacheBuilder::run_wait) for another's body,
    /// and went on to run its own beside it.
    pub overtook: u64,
    /// What went wrong in the cache, by kind; no call failed because of it.
    pub errors: Errors,
    /// The time that calls waited for Redis, all calls together.
    pub time_in_store: Duration,
    /// The time that bodies took, in the background as well, all together.
    pub time_in_body: Duration,
}

/// The errors of the cache, counted by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors(BTreeMap<ErrorKind, u64>);

impl Errors {
    /// How many errors of this kind there were.
    #[must_use]
    pub fn of(&self, kind: ErrorKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// How many errors there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The kinds that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (ErrorKind, u64)> + '_ {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }
}

impl fmt::Display for Errors {
    /// For example `2 timeout, 1 server`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (kind, count)) in self.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {kind}")?;
        }
        Ok(())
    }
}

/// An annotated function that was called in this process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SiteInfo {
    /// The function's name.
    pub function: &'static str,
    /// What its keys begin with, after the cache's prefix; `None` where that depends on the types that
    /// it is called with, and where the attribute says `key` or `entry`.
    pub namespace: Option<String>,
    /// The name of the function whose entries it shares, as the attribute's `entry` says.
    pub shares: Option<&'static str>,
    /// Its ttl, as the attribute says it.
    pub ttl: &'static str,
    /// The file that it stands in.
    pub file: &'static str,
    /// The line that its attribute stands in.
    pub line: u32,
    /// What happened to its calls.
    pub stats: SiteStats,
}

/// A cache's state, and what happened since the process started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// Where values are kept.
    pub store: StoreStats,
    /// Keys whose bodies run right now.
    pub flights: usize,
    /// Callers whose value is being read from Redis right now.
    pub reads: usize,
    /// Calls that wait for one of these bodies.
    pub waiting: usize,
    /// Bodies that run in the background of this process, whichever cache began them.
    pub background_runs: usize,
    /// Keys whose invalidation has not reached Redis yet.
    pub unfinished_invalidations: usize,
    /// Every annotated function that was called in this process, whichever cache served it.
    pub sites: Vec<SiteInfo>,
}

/// The state of a cache's store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreStats {
    /// The in-process store.
    #[non_exhaustive]
    Memory {
        /// Entries that it holds.
        entries: u64,
    },
    /// Redis.
    #[non_exhaustive]
    Redis {
        /// The server's host and port.
        endpoint: String,
        /// Whether connections are TLS.
        tls: bool,
        /// Connections that stand: for each tokio runtime that uses the cache one for the annotated
        /// functions, one for every [`Connection`](crate::Connection), and one to hear of locks that other
        /// processes hold, each made when it is first needed.
        connections: usize,
        /// Connections that were made or tried since the cache was built.
        connections_tried: u64,
        /// Whether Redis is asked at present.
        breaker: BreakerState,
        /// How often the breaker opened.
        breaker_opened: u64,
        /// The Entra ID token in use; `None` where the login is another.
        token: Option<TokenStats>,
    },
}

/// Whether Redis is asked, and how it comes to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerState {
    /// Redis is asked.
    Closed,
    /// Redis is not asked; a background probe looks whether it is back.
    Open,
    /// Redis came back; a few calls at a time ask it.
    HalfOpen,
}

/// The state of an Entra ID login; the token itself is nowhere in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStats {
    /// The credential that gives the tokens, as the Azure SDKs name it; `None` until one did.
    pub credential: Option<&'static str>,
    /// The Redis user that connections log in as; `None` before the first token.
    pub user: Option<String>,
    /// How long ago the token came; `None` before the first.
    pub age: Option<Duration>,
    /// What is left of its life, zero once it has expired; `None` before the first.
    pub expires_in: Option<Duration>,
    /// How often a new token came.
    pub refreshes: u64,
    /// How often none came, or the server refused one.
    pub failures: u64,
    /// What the last failure was.
    pub last_error: Option<ErrorKind>,
}
