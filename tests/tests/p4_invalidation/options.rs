//! The same key as [`look`](crate::scene::look)'s, read by functions that may answer an older value, or run a body
//! behind their call.

use std::future::Future;
use std::time::Duration;

use cache_runtime::{Cache, Entry, ManualClock, redis_cached};
use cache_tests::body::Failed;

use crate::scene::{PATIENT, Source};

#[redis_cached(
    ttl = 60, key = "look:{id}", skip(cache, source), cache = &cache, stale_while_revalidate = 300
)]
async fn revalidating(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

#[redis_cached(ttl = 60, key = "look:{id}", skip(cache, source), cache = &cache, stale_if_error = 300)]
async fn on_error(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

#[redis_cached(
    ttl = 60, key = "look:{id}", skip(cache, source), cache = &cache,
    stale_if_error = 300, soft_timeout = "20ms"
)]
async fn soft(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

#[redis_cached(ttl = 60, key = "look:{id}", skip(cache, source), cache = &cache, refresh_ahead = 0.5)]
async fn ahead(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

#[redis_cached(
    ttl = 60, key = "look:{id}", skip(cache, source), cache = &cache,
    coalesce = "cluster", stale_if_error = 300
)]
async fn cluster(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

/// One of these functions, by its option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Revalidate,
    OnError,
    Soft,
    Ahead,
    Cluster,
}

impl How {
    pub(crate) fn call(
        self,
        cache: &Cache,
        source: &Source,
        id: u64,
    ) -> impl Future<Output = Result<u64, Failed>> + Send + use<> {
        let (cache, source) = (cache.clone(), source.clone());
        async move {
            match self {
                Self::Revalidate => revalidating(cache, source, id).await,
                Self::OnError => on_error(cache, source, id).await,
                Self::Soft => soft(cache, source, id).await,
                Self::Ahead => ahead(cache, source, id).await,
                Self::Cluster => cluster(cache, source, id).await,
            }
        }
    }

    pub(crate) fn entry(self, cache: &Cache, id: u64) -> Entry<u64> {
        let cache = cache.clone();
        match self {
            Self::Revalidate => revalidating_entry(cache, id),
            Self::OnError => on_error_entry(cache, id),
            Self::Soft => soft_entry(cache, id),
            Self::Ahead => ahead_entry(cache, id),
            Self::Cluster => cluster_entry(cache, id),
        }
    }

    /// When its option matters: past the ttl, or when a refresh ahead of that is due.
    pub(crate) fn age(self) -> Duration {
        Duration::from_secs(if self == Self::Ahead { 40 } else { 61 })
    }
}

/// A cache that stands for a process of its own, and takes the ages of entries from `clock`.
pub(crate) fn clocked(url: String, clock: &ManualClock) -> Cache {
    let builder = Cache::builder().url(url).timeout(PATIENT).clock(clock);
    builder.build().unwrap()
}

/// The same in this process.
pub(crate) fn clocked_in_memory(clock: &ManualClock) -> Cache {
    Cache::builder().in_memory().clock(clock).build().unwrap()
}
