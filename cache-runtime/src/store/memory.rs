//! The in-process store: what runs where no Redis is configured.
//!
//! The one rule: **the right to store is that the flight is still in the map of flights**, so a
//! store and an invalidation of one key happen one after the other, under that map's lock. Bounded
//! in entries; an entry's own ttl ends it.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    answer::{Answer, SharedValue},
    clock::Clock,
    policy::{Aged, Lifetime},
    sharded::lock,
};

/// Values of this process, by key.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    entries: moka::sync::Cache<Arc<str>, Entry>,
    clock: Clock,
    writes: Mutex<Writes>,
}

/// The writes to sources that are under way, each with the right to store what it returns.
#[derive(Debug, Default)]
struct Writes {
    begun: u64,
    /// By key, that of the write which began last, if nothing has changed the key since.
    rights: HashMap<Arc<str>, u64>,
}

/// A stored outcome; `None` stands for a body's `None`.
#[derive(Debug, Clone)]
struct Entry {
    value: Option<SharedValue>,
    stored_at: Instant,
    lifetime: Lifetime,
    /// How long the body took.
    took: Duration,
}

thread_local! {
    /// Values that end while this thread may hold a lock, ours or moka's; `None`: it holds none.
    static ENDED: RefCell<Option<Vec<SharedValue>>> = const { RefCell::new(None) };
}

impl Entry {
    fn age(&self, clock: &Clock) -> Duration {
        clock.now().saturating_duration_since(self.stored_at)
    }
}

// A value's own `Drop` may do anything, also call what waits for the lock.
impl Drop for Entry {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else {
            return;
        };
        // Handed out of the borrow where it is to be dropped here, also as a thread ends.
        let mut value = Some(value);
        let _ = ENDED.try_with(|ended| {
            if let Some(ended) = &mut *ended.borrow_mut() {
                ended.extend(value.take());
            }
        });
    }
}

/// Runs `locked`, which takes and gives back a lock, and drops no user's value before it is over.
pub(crate) fn dropping_values_later<R>(locked: impl FnOnce() -> R) -> R {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            drop(ENDED.take());
        }
    }
    let begun = ENDED.try_with(|ended| {
        let mut ended = ended.borrow_mut();
        // Within another, whose end is the end of both.
        let begun = ended.is_none();
        ended.get_or_insert_default();
        begun
    });
    // As a thread ends, there is no place left to keep values.
    let _end = begun.is_ok_and(|begun| begun).then(|| End);
    locked()
}

struct AtItsOwnTime;

impl moka::Expiry<Arc<str>, Entry> for AtItsOwnTime {
    fn expire_after_create(&self, _: &Arc<str>, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lifetime.kept_for)
    }

    fn expire_after_update(
        &self,
        _: &Arc<str>,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.lifetime.kept_for)
    }
}

impl MemoryStore {
    pub(crate) fn new(capacity: u64, clock: Clock) -> Self {
        Self {
            entries: moka::sync::Cache::builder()
                .max_capacity(capacity)
                .expire_after(AtItsOwnTime)
                .build(),
            clock,
            writes: Mutex::default(),
        }
    }

    /// Gives the right to store what a write is going to return, and takes that of any other one.
    ///
    /// This and [`end_write`](Self::end_write), which follows whatever becomes of the write, are to be
    /// called under the lock of the key's flight.
    pub(crate) fn begin_write(&self, key: &Arc<str>) -> u64 {
        let mut writes = lock(&self.writes);
        writes.begun += 1;
        let right = writes.begun;
        writes.rights.insert(Arc::clone(key), right);
        right
    }

    /// Takes that right, whoever has it: the key is changed.
    pub(crate) fn end_write(&self, key: &str) -> Option<u64> {
        lock(&self.writes).rights.remove(key)
    }

    /// The outcome under `key`, how old it is, and when it was stored.
    pub(crate) fn get(&self, key: &str) -> Option<(Option<SharedValue>, Aged, Instant)> {
        let mut entry = dropping_values_later(|| self.entries.get(key))?;
        let age = entry.age(&self.clock);
        let aged = Aged {
            age,
            fresh_for: entry.lifetime.fresh_for,
            took: entry.took,
        };
        // moka ends entries a little late, and knows nothing of a clock that a test moves.
        (age < entry.lifetime.kept_for).then(|| (entry.value.take(), aged, entry.stored_at))
    }

    /// Keeps the outcome of a body; a failure is never kept.
    pub(crate) fn insert(
        &self,
        key: &Arc<str>,
        outcome: &Answer,
        lifetime: Lifetime,
        took: Duration,
    ) {
        let value = match outcome {
            Answer::Value(value) => Some(value.clone()),
            Answer::Nothing => None,
            Answer::Failed(_) => return,
        };
        let entry = Entry {
            value,
            stored_at: self.clock.now(),
            lifetime,
            took,
        };
        dropping_values_later(|| self.entries.insert(Arc::clone(key), entry));
    }

    pub(crate) fn remove(&self, key: &str) {
        dropping_values_later(|| self.entries.invalidate(key));
    }

    pub(crate) fn ttl(&self, key: &str) -> Option<Duration> {
        let entry = dropping_values_later(|| self.entries.get(key))?;
        let left = entry
            .lifetime
            .kept_for
            .checked_sub(entry.age(&self.clock))?;
        (!left.is_zero()).then_some(left)
    }

    /// How many entries there are, to within what is just being written.
    pub(crate) fn len(&self) -> u64 {
        dropping_values_later(|| self.entries.run_pending_tasks());
        self.entries.entry_count()
    }
}
