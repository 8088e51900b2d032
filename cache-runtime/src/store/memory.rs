//! The in-process store: what runs where no Redis is configured.
//!
//! The one rule: **the right to store is that the flight is still in the map of flights**, so a
//! store and an invalidation of one key happen one after the other, under that map's lock. Bounded
//! in entries; an entry's own ttl ends it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::answer::{Answer, SharedValue};

/// Values of this process, by key.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    entries: moka::sync::Cache<Arc<str>, Entry>,
}

/// A stored outcome; `None` stands for a body's `None`.
#[derive(Debug, Clone)]
struct Entry {
    value: Option<SharedValue>,
    expires: Instant,
}

struct AtItsOwnTime;

impl moka::Expiry<Arc<str>, Entry> for AtItsOwnTime {
    fn expire_after_create(&self, _: &Arc<str>, entry: &Entry, now: Instant) -> Option<Duration> {
        Some(entry.expires.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &Arc<str>,
        entry: &Entry,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.expires.saturating_duration_since(now))
    }
}

impl MemoryStore {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            entries: moka::sync::Cache::builder()
                .max_capacity(capacity)
                .expire_after(AtItsOwnTime)
                .build(),
        }
    }

    /// The outcome under `key`, if one is fresh.
    pub(crate) fn get(&self, key: &str) -> Option<Option<SharedValue>> {
        let entry = self.entries.get(key)?;
        (Instant::now() < entry.expires).then_some(entry.value)
    }

    /// Keeps the outcome of a body; a failure is never kept.
    pub(crate) fn insert(&self, key: &Arc<str>, outcome: &Answer, ttl: Duration) {
        let value = match outcome {
            Answer::Value(value) => Some(value.clone()),
            Answer::Nothing => None,
            Answer::Failed(_) => return,
        };
        let expires = Instant::now() + ttl;
        self.entries
            .insert(Arc::clone(key), Entry { value, expires });
    }

    pub(crate) fn remove(&self, key: &str) {
        self.entries.invalidate(key);
    }

    pub(crate) fn ttl(&self, key: &str) -> Option<Duration> {
        let left = self
            .entries
            .get(key)?
            .expires
            .checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    /// How many entries there are, to within what is just being written.
    pub(crate) fn len(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.entry_count()
    }
}
