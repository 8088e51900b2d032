//! What users see of what was counted, and of the state of a cache.
//!
//! The one rule: **these are numbers of one moment**: nothing in them goes on counting, and nothing in them is a key.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::error::ErrorKind;

/// What happened to one annotated function's calls: in one cache, as [`Stats`] has it, or in all of this process, as
/// [`sites`](crate::sites) has it.
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
    /// Those of `counts`, none of which is zero.
    pub(super) fn new(counts: BTreeMap<ErrorKind, u64>) -> Self {
        Self(counts)
    }

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

/// A cache's state, and what happened since it was made.
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
    /// Every annotated function that this cache served, with what happened to its calls here.
    /// [`sites`](crate::sites) sums up all caches, and lists the functions that none served as well.
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
