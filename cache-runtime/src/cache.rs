//! The handle on a cache.
//!
//! The one rule: **a [`Cache`] is cheap to clone and safe to keep**: it outlives connections,
//! restarts of Redis and tokio runtimes.

pub(crate) mod background;
#[cfg(feature = "testing")]
mod clear;
pub(crate) mod connection;
pub(crate) mod global;
pub(crate) mod invalidation;
pub(crate) mod scope;
mod too_large;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    base::clock::Clock,
    cache::{
        background::Background, connection::Connection, invalidation::PendingInvalidations,
        too_large::TooLarge,
    },
    config::{Config, Coordination, Hint, builder::CacheBuilder},
    error::Error,
    flight::Flights,
    observe::{Scene, counters::CacheCounters, stats::Stats},
    site::Site,
    store::Store,
    value::answer::Answer,
};

/// A cache: Redis, the in-process store, or none at all, where it is [off](Self::off).
///
/// Clones are handles on the same cache. A call of an annotated function uses the first that there is of: the cache that its
/// attribute names (`cache = …`), that of the [`scope`](Self::scope) which it is in, that of the [runtime](Self::install_in_this_runtime)
/// which it is on, and the global one. [`get_cache`](crate::get_cache) gives the same, without the first.
///
/// ```
/// # use std::time::Duration;
/// use cache_runtime::Cache;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cache_runtime::Error> {
/// let cache = Cache::builder().in_memory().build()?;
/// cache.set_ex("greeting", &"hello".to_owned(), Duration::from_secs(60)).await?;
/// assert_eq!(cache.get::<String>("greeting").await?.as_deref(), Some("hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cache(Arc<Handle>);

/// A cache as its user's handles share it. Runs in the background share [`Inner`] alone, so that no run keeps a cache
/// alive that nobody has any more.
struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.background.close();
        // The rest may be kept for good, as that of the first global cache is, and the values are not to be.
        self.0.store.clear();
    }
}

/// What all handles on one cache share.
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
    pub(crate) flights: Arc<Flights<Answer>>,
    pub(crate) pending: Arc<PendingInvalidations>,
    pub(crate) background: Arc<Background>,
    /// How long a body may run in the background.
    pub(crate) background_timeout: Duration,
    /// How long a call waits for another process that computes the same value.
    pub(crate) cluster_wait: Duration,
    /// How long a call waits for another one in this process that computes the same value.
    pub(crate) run_wait: Duration,
    /// How many bytes of JSON a value may have to be stored.
    pub(crate) max_value: usize,
    pub(crate) too_large: TooLarge,
    pub(crate) clock: Clock,
    counters: CacheCounters,
    /// Calls go round this cache, because it is off or was shut down: one mark, so that a call looks once.
    passed_by: AtomicBool,
}

impl CacheBuilder {
    /// Checks the settings and makes the cache; connections are made at the first use.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), which names the setting, its value unless that may be a secret, and
    /// what is accepted.
    pub fn build(self) -> Result<Cache, Error> {
        let mut config = self.build_config()?;
        let hints = std::mem::take(&mut config.hints);
        let cache = Cache::new(config)?;
        hints.iter().for_each(Hint::say);
        Ok(cache)
    }
}

impl Cache {
    /// A cache that is configured in code.
    pub fn builder() -> CacheBuilder {
        CacheBuilder::default()
    }

    /// A cache that is off: whoever uses it goes on as if there were none.
    ///
    /// | of this cache | does |
    /// |---|---|
    /// | a call of an annotated function, [`Entry::get_or_compute`], [`Entry::refresh`] | runs its own body, and waits for no other call's |
    /// | a call in [`only_if_cached`](crate::only_if_cached) | is `None` |
    /// | [`get`](Self::get), [`Entry::get`], [`Entry::ttl`] | is `None` |
    /// | [`set_ex`](Self::set_ex), [`delete`](Self::delete), [`Entry::put`], [`Entry::invalidate`] | is `Ok` and does nothing; no value is encoded |
    /// | [`Entry::put_with`] | runs what it is given |
    /// | [`Entry::key`], [`Entry::guard_keys`] | is what it is of a cache without a prefix, or with that of `REDIS_KEY_PREFIX` |
    /// | [`ping`](Self::ping), [`shutdown`](Self::shutdown) | is `Ok`; nothing changes by a shutdown |
    /// | [`connection`](Self::connection) | is an error, which says that the cache is off |
    /// | [`stats`](Self::stats) | says [`StoreStats::Off`](crate::StoreStats::Off), and counts calls as [`bypassed`](crate::SiteStats::bypassed) |
    ///
    /// What cannot be a key stays an error, so that it is not found out when the cache is on again.
    ///
    /// `REDIS_CACHE=off` makes such a cache where the environment is asked, which is said once at the level info: as
    /// the global one, and by a builder's [`from_env`](CacheBuilder::from_env).
    ///
    /// ```
    /// use cache_runtime::{Cache, redis_cached};
    /// # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// # static RUNS: AtomicU32 = AtomicU32::new(0);
    ///
    /// #[redis_cached(ttl = 60, skip(cache), cache = cache)]
    /// async fn runs(cache: &Cache) -> u32 {
    ///     RUNS.fetch_add(1, Relaxed) + 1
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cache_runtime::Error> {
    /// let cache = Cache::off();
    /// assert_eq!(runs(&cache).await, 1);
    /// assert_eq!(runs(&cache).await, 2);
    /// assert_eq!(runs_entry(&cache).get().await?, None);
    /// runs_entry(&cache).invalidate().await?; // does nothing
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Entry::get_or_compute`]: crate::Entry::get_or_compute
    /// [`Entry::refresh`]: crate::Entry::refresh
    /// [`Entry::get`]: crate::Entry::get
    /// [`Entry::ttl`]: crate::Entry::ttl
    /// [`Entry::put`]: crate::Entry::put
    /// [`Entry::put_with`]: crate::Entry::put_with
    /// [`Entry::invalidate`]: crate::Entry::invalidate
    /// [`Entry::key`]: crate::Entry::key
    /// [`Entry::guard_keys`]: crate::Entry::guard_keys
    #[must_use]
    pub fn off() -> Self {
        Config::off()
            .and_then(Self::new)
            .expect("invariant: the defaults are in order")
    }

    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let Config {
            store,
            prefix,
            timeout,
            memory_capacity,
            max_value,
            coordination,
            faults,
            hints: _,
        } = config;
        let Coordination {
            background_runs,
            background_runs_per_function,
            background_timeout,
            refresh_pause,
            cluster_wait,
            run_wait,
            clock,
        } = coordination;
        let clock = clock.map_or_else(Clock::default, Clock::manual);
        let store = Store::new(store, &prefix, memory_capacity, timeout, &clock, faults)?;
        let passed_by = AtomicBool::new(store.is_off());
        Ok(Self(Arc::new(Handle(Arc::new(Inner {
            pending: Arc::new(PendingInvalidations::new(store.clone(), timeout)),
            store,
            prefix,
            timeout,
            flights: Arc::new(Flights::new()),
            background: Arc::new(Background::new(
                background_runs,
                background_runs_per_function,
                refresh_pause,
                clock.clone(),
            )),
            background_timeout,
            cluster_wait,
            run_wait,
            max_value,
            too_large: TooLarge::new(clock.clone()),
            clock,
            counters: CacheCounters::new(),
            passed_by,
        })))))
    }

    /// A connection for every Redis command that the typed operations do not cover.
    ///
    /// It may be kept: each command goes to the connection that stands at the time. Keys are given
    /// whole, with the prefix, and nothing is repeated.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) on the in-process store, and where the cache is off.
    pub fn connection(&self) -> Result<Connection, Error> {
        self.inner().store.for_own_commands().map(Connection::new)
    }

    /// Asks Redis for a sign of life; the in-process store is always well, and so is a cache that is off.
    ///
    /// # Errors
    ///
    /// If none comes within the timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ping(&self) -> Result<(), Error> {
        self.inner().store.ping(self.deadline()).await
    }

    /// The state of this cache, and what happened to the calls of the annotated functions that it served.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            store: self.inner().store.stats(),
            flights: self.inner().flights.len(),
            reads: self.inner().store.reading(),
            waiting: self.inner().flights.waiting(),
            background_runs: Background::running(),
            unfinished_invalidations: self.inner().pending.len(),
            sites: self.inner().counters.sites(),
        }
    }

    /// Closes the connections and ends the background tasks, among them bodies that run in the background; annotated
    /// functions run their bodies from here on.
    ///
    /// Invalidations that Redis has not confirmed are tried once more. Call it before the process ends, because nobody tries
    /// them after that.
    ///
    /// # Errors
    ///
    /// If an invalidation is left over; until it expires, other processes may read the old value.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped may have closed the cache or not; it can be called again.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.inner().passed_by.store(true, Ordering::Relaxed);
        self.inner().background.close();
        let store = &self.inner().store;
        if store.is_reached_from_here() {
            // Waited for, because runs that end let go of the locks for which other processes wait; not for ever, because
            // a run on a runtime that nobody drives never ends.
            let let_go = async {
                self.inner().background.ended().await;
                store.locks_let_go().await;
            };
            let _ = tokio::time::timeout_at(self.deadline().into(), let_go).await;
        }
        let left = self.inner().pending.try_once().await;
        self.inner().pending.close();
        store.close();
        left
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0.0
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.inner().is_passed_by() && !self.inner().store.is_off()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.inner().timeout
    }
}

impl Inner {
    /// Where things happen to the calls of a function in this cache.
    #[inline]
    pub(crate) fn scene<'a>(&'a self, site: &'a Site) -> Scene<'a> {
        Scene::new(site, Some(&self.counters))
    }

    /// Whether calls go round this cache.
    #[inline]
    pub(crate) fn is_passed_by(&self) -> bool {
        self.passed_by.load(Ordering::Relaxed)
    }
}

impl From<&Self> for Cache {
    fn from(cache: &Self) -> Self {
        cache.clone()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            store,
            prefix,
            timeout,
            flights: _,
            pending: _,
            background: _,
            background_timeout: _,
            cluster_wait: _,
            run_wait: _,
            max_value: _,
            too_large: _,
            clock: _,
            counters: _,
            passed_by: _,
        } = &**self.inner();
        f.debug_struct("Cache")
            .field("store", &store.to_string())
            .field("prefix", prefix)
            .field("timeout", timeout)
            .field("shut_down", &self.is_shut_down())
            .finish()
    }
}
