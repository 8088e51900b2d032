//! Two caches with one clock, and what a function's counters said since the test began.

use std::time::Duration;

use cache_runtime::{Cache, CacheBuilder, Entry, ManualClock, Outcome, SiteStats, Source, sites};
use cache_tests::wait::SOON;
use cache_tests::{Body, Stores, eventually};

/// The `ttl` of the functions here.
pub(crate) const TTL: Duration = Duration::from_secs(60);
/// Their windows.
pub(crate) const WINDOW: Duration = Duration::from_secs(600);
pub(crate) const MILLI: Duration = Duration::from_millis(1);
/// After a first failure, with what chance adds to it.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(1_101);

pub(crate) struct Scene {
    pub(crate) stores: Stores,
    pub(crate) clock: ManualClock,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(set: impl Fn(CacheBuilder) -> CacheBuilder) -> Self {
        let clock = ManualClock::new();
        let stores = Stores::with(|builder| set(builder).clock(&clock)).await;
        Self { stores, clock }
    }

    pub(crate) fn both(&self) -> [&Cache; 2] {
        self.stores.both()
    }
}

/// What happened to the calls of one function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) stale: u64,
    pub(crate) misses: u64,
    pub(crate) coalesced: u64,
    pub(crate) runs: u64,
    pub(crate) behind: u64,
}

impl Counts {
    /// Since the process began; only one test may call the function.
    pub(crate) fn of(function: &str) -> Self {
        let mut sites = sites().into_iter().filter(|site| site.function == function);
        let site = sites.next();
        assert!(sites.next().is_none(), "two functions are named {function}");
        let Some(SiteStats {
            hits,
            stale,
            misses,
            coalesced,
            body_runs,
            background_runs,
            ..
        }) = site.map(|site| site.stats)
        else {
            return Self::default();
        };
        Self {
            hits,
            stale,
            misses,
            coalesced,
            runs: body_runs,
            behind: background_runs,
        }
    }

    /// What was added since `before`.
    pub(crate) fn since(function: &str, before: Self) -> Self {
        let now = Self::of(function);
        Self {
            hits: now.hits - before.hits,
            stale: now.stale - before.stale,
            misses: now.misses - before.misses,
            coalesced: now.coalesced - before.coalesced,
            runs: now.runs - before.runs,
            behind: now.behind - before.behind,
        }
    }
}

/// Waits until nothing is computed any more. A failure is known by then; a store may be on its way.
pub(crate) async fn until_idle(cache: &Cache, body: &Body) {
    body.wait_until_idle().await;
    eventually("the flights to land", SOON, async || {
        cache.stats().flights == 0
    })
    .await;
}

/// Waits until `entry` has this value.
pub(crate) async fn until_stored<R: PartialEq + 'static>(entry: &Entry<R>, value: R) {
    eventually("the new value to be stored", SOON, async || {
        entry.get().await.expect("a cache").as_ref() == Some(&value)
    })
    .await;
}

/// Where a call's answer was from.
pub(crate) async fn source<T>(call: impl Future<Output = T>) -> Source {
    Outcome::of(call).await.source
}
