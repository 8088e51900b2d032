//! The in-process store: what runs where no Redis is configured.
//!
//! The one rule: **the right to store is that the flight is still in the map of flights**, so that a store and an
//! invalidation of one key happen one after the other, under that map's lock: only a [`Locked`] can be written to, and
//! [`MemoryStore::change`] and [`MemoryStore::store`] give one under that lock. The store is bounded in entries, and an
//! entry's own ttl ends it, to within the few milliseconds of a coarse clock.
//!
//! A look finds an entry by a hash of 64 bits, and compares the text of its key, so that a value is never another key's.
//! Two keys with one hash take each other's place, and the worst that comes of it is a miss. Among a million keys there
//! are two such keys in one process of 37 million (n² / 2⁶⁵). Nobody can choose them, because each store draws the key of its
//! hash at random, and tells it to nobody.
//!
//! A hash of 128 bits needs no comparison, and costs more than one: SipHash-1-3 takes 170 instructions for a key of 6 bytes
//! and 664 for one of 200, this hash and the comparison take 85 and 260.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::available_parallelism,
    time::Duration,
};

#[cfg(feature = "testing")]
use bytes::Bytes;
use quick_cache::{OptionsBuilder, UnitWeighter, sync};

use crate::{
    base::{
        clock::{Clock, nanos},
        sharded::lock,
    },
    flight::{Flights, Lead},
    key::len_in_key,
    value::{
        answer::{Answer, SharedValue},
        freshness::{Aged, Lifespan},
        panics::panics,
    },
};

/// A shard of fewer entries would evict by chance what a whole store has room for.
const SMALLEST_SHARD: u64 = 32;

/// A shard of more entries would keep its readers waiting while it grows or is swept.
const LARGE_SHARD: u64 = 1024;

/// So many for each processor, because readers of one shard at one moment write to one place, the count of its lock.
const SHARDS_OF_A_CORE: u64 = 4;

const MOST_SHARDS: u64 = 64;

/// Fewer inserts than this are not worth a look for expired entries.
const SELDOM: u64 = 1024;

/// By the hash of the key. A look shares the entry, so that it takes nothing along but a pointer.
type Entries = sync::Cache<u64, Arc<MemoryEntry>, UnitWeighter, BuildHasherDefault<Hashed>>;

/// The hasher of what is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("invariant: a hash is a `u64`")
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Values of this process, by key.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    entries: Entries,
    hashes: ahash::RandomState,
    /// How many bytes all keys begin with that tell none from another.
    prefix: usize,
    /// How many entries were ever stored, which numbers them.
    stored: AtomicU64,
    /// The entry number at which expired entries are next removed. In between, as many entries are stored as there
    /// were, so that each store pays for the look at one.
    sweep_at: AtomicU64,
    clock: Clock,
    writes: Mutex<Writes>,
}

/// The writes to sources that are under way, with the right to store what each returns.
#[derive(Debug, Default)]
struct Writes {
    begun: u64,
    /// By key, the right of the write that began last, if nothing has changed the key since.
    rights: HashMap<Arc<str>, u64>,
}

/// The outcome of a body or a write on its way into the store.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) outcome: Answer,
    pub(crate) lifetime: Lifespan,
    /// How long the body took.
    pub(crate) took: Duration,
}

/// What a look at the store finds: an entry, and its age.
#[derive(Debug)]
pub(crate) struct Shared {
    entry: Arc<MemoryEntry>,
    /// In nanoseconds.
    age: u64,
}

impl Shared {
    /// `None`: a body's `None`.
    #[inline]
    pub(crate) fn value(&self) -> Option<&SharedValue> {
        self.entry.value.as_ref()
    }

    /// Whether the ttl has not ended.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.age < self.entry.fresh_for
    }

    /// The same entry, with a value of a type that nobody has.
    #[cfg(feature = "testing")]
    pub(super) fn garbled(self) -> Self {
        let entry = MemoryEntry {
            key: Arc::clone(&self.entry.key),
            value: Some(SharedValue::Json(Bytes::from_static(b"garbage"))),
            ..*self.entry
        };
        let entry = Arc::new(entry);
        Self { entry, ..self }
    }

    pub(crate) fn aged(&self) -> Aged {
        Aged {
            age: Duration::from_nanos(self.age),
            fresh_for: Duration::from_nanos(self.entry.fresh_for),
            took: Duration::from_nanos(self.entry.took),
        }
    }

    /// The entry's number, which no other entry has.
    pub(crate) fn number(&self) -> u64 {
        self.entry.number
    }
}

/// A stored outcome; `None` stands for a body's `None`. All times are in nanoseconds, which are cheap to compare.
#[derive(Debug)]
struct MemoryEntry {
    key: Arc<str>,
    value: Option<SharedValue>,
    number: u64,
    /// By the coarse clock.
    stored_at: u64,
    fresh_for: u64,
    kept_for: u64,
    /// How long the body took.
    took: u64,
}

thread_local! {
    /// The values that ended while this thread may hold a lock, of the flights or of the map; `None` while it holds
    /// none.
    static ENDED: RefCell<Option<Vec<SharedValue>>> = const { RefCell::new(None) };
}

impl MemoryEntry {
    /// The age, in nanoseconds as the time is; `None` if the entry is over.
    #[inline]
    fn age(&self, now: u64) -> Option<u64> {
        let age = now.saturating_sub(self.stored_at);
        (age < self.kept_for).then_some(age)
    }
}

// A value's own `Drop` may do anything, also call what waits for the lock.
impl Drop for MemoryEntry {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else {
            return;
        };
        // Where nothing takes the value, as when a thread ends, it is dropped here, outside the borrow.
        let mut value = Some(value);
        let _ = ENDED.try_with(|ended| {
            if let Some(ended) = &mut *ended.borrow_mut() {
                ended.extend(value.take());
            }
        });
    }
}

/// Runs `locked`, which takes and gives back a lock, and drops no user's value before it is over.
fn dropping_values_later<R>(locked: impl FnOnce() -> R) -> R {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            // A value is dropped by whichever call ends it, so a panic of its `Drop` is none of that call's.
            for value in ENDED.take().into_iter().flatten() {
                let mut value = Some(value);
                panics(&mut || drop(value.take()));
            }
        }
    }
    let begun = ENDED.try_with(|ended| {
        let mut ended = ended.borrow_mut();
        // A call within another leaves the values to the end of the outer one.
        let begun = ended.is_none();
        ended.get_or_insert_default();
        begun
    });
    // As a thread ends, there is no place left to keep values.
    let _end = begun.is_ok_and(|begun| begun).then(|| End);
    locked()
}

impl MemoryStore {
    /// `prefix`: the cache's, with which all keys begin.
    pub(crate) fn new(prefix: &str, capacity: u64, clock: Clock) -> Self {
        let cores = available_parallelism().map_or(1, |cores| cores.get() as u64);
        let shards = shards(capacity, cores);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .estimated_items_capacity(usize::try_from(capacity).unwrap_or(usize::MAX))
            // Rounded down, so that all shards together never hold more than they may.
            .weight_capacity(capacity / shards * shards)
            .build()
            .expect("invariant: both capacities are given");
        Self {
            entries: sync::Cache::with_options(
                options,
                UnitWeighter,
                BuildHasherDefault::default(),
                sync::DefaultLifecycle::default(),
            ),
            hashes: ahash::RandomState::new(),
            prefix: len_in_key(prefix),
            stored: AtomicU64::new(0),
            sweep_at: AtomicU64::new(SELDOM),
            clock,
            writes: Mutex::default(),
        }
    }

    /// Changes `key` from outside its flight: takes the flight from new callers, and runs `change`, in one step.
    ///
    /// Value and flight are under one lock, that of the map of flights (rule 10 of the protocol). So a body that runs
    /// either has stored before, and `change` overrules it, or finds its flight gone, which was its right to store; and
    /// a call that joins a flight of the key from here on sees the change. Values that `change` takes out are dropped
    /// once the lock is free.
    fn change<R>(
        &self,
        flights: &Flights<Answer>,
        key: &Arc<str>,
        change: impl FnOnce(Locked<'_>) -> R,
    ) -> R {
        dropping_values_later(|| flights.detach(key, || change(Locked { memory: self, key })))
    }

    /// Stores a flight's own outcome, as [`change`](Self::change) does it: closes the attempt and, under the lock,
    /// stores the outcome, or takes away what is there, if the flight is still in the map. Whether it was; if not,
    /// nothing is changed.
    pub(crate) fn store(
        &self,
        lead: &mut Lead<Answer>,
        key: &Arc<str>,
        incoming: Option<&Incoming>,
    ) -> bool {
        let change = |locked: Locked<'_>| match incoming {
            Some(incoming) => locked.insert(incoming),
            None => locked.remove(),
        };
        let stored =
            dropping_values_later(|| lead.close_with(|| change(Locked { memory: self, key })));
        stored.is_some()
    }

    /// Takes the value, and the right to store from every body and every write.
    pub(crate) fn remove(&self, flights: &Flights<Answer>, key: &Arc<str>) {
        self.change(flights, key, |locked| {
            locked.end_write();
            locked.remove();
        });
    }

    /// Puts `incoming` in the place of what is stored or computed now.
    pub(crate) fn put(&self, flights: &Flights<Answer>, key: &Arc<str>, incoming: &Incoming) {
        self.change(flights, key, |locked| {
            locked.end_write();
            locked.insert(incoming);
        });
    }

    /// Gives the right to store what a write is going to return, and revokes that of every body and every other write.
    /// [`put_written`](Self::put_written) or [`remove`](Self::remove) follows, whatever becomes of the write.
    pub(crate) fn begin_write(&self, flights: &Flights<Answer>, key: &Arc<str>) -> u64 {
        self.change(flights, key, |locked| locked.begin_write())
    }

    /// Ends a write that began with this `right`: puts what it returned, unless the key was changed since; then
    /// nothing stays, because nobody knows which of the two came first to the source.
    pub(crate) fn put_written(
        &self,
        flights: &Flights<Answer>,
        key: &Arc<str>,
        right: u64,
        incoming: &Incoming,
    ) {
        self.change(flights, key, |locked| {
            if locked.end_write() == Some(right) {
                locked.insert(incoming);
            } else {
                locked.remove();
            }
        });
    }

    /// The outcome under `key`, and how old it is.
    pub(crate) fn get(&self, key: &str) -> Option<Shared> {
        self.look(&key[self.prefix..])
    }

    /// As [`get`](Self::get), by the key without the prefix; inlined for the sake of hits at the first poll.
    #[inline(always)]
    pub(super) fn look(&self, text: &str) -> Option<Shared> {
        // No value is dropped under the lock here, because what is shared is in the store as well.
        let entry = self.entries.get(&self.hash(text))?;
        if !self.is_of(&entry, text) {
            return None;
        }
        // The map itself knows nothing of time.
        let age = entry.age(self.clock.coarse_nanos())?;
        Some(Shared { entry, age })
    }

    /// Whether the entry is the one of this key, of which the prefix is left out.
    #[inline(always)]
    fn is_of(&self, entry: &MemoryEntry, text: &str) -> bool {
        entry.key.as_bytes()[self.prefix..] == *text.as_bytes()
    }

    /// By what the map knows a key, of which the prefix is left out.
    #[inline]
    fn hash(&self, text: &str) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// Drops every value, and takes the right to store from every write.
    pub(crate) fn clear(&self) {
        lock(&self.writes).rights.clear();
        dropping_values_later(|| self.entries.clear());
    }

    /// Removes expired entries, because nothing else does where their room is not needed.
    fn sweep(&self) {
        let now = self.clock.coarse_nanos();
        self.entries.retain(|_, entry| entry.age(now).is_some());
        let pause = SELDOM.max(self.entries.len() as u64);
        self.sweep_at
            .store(self.stored.load(Relaxed) + pause, Relaxed);
    }

    pub(crate) fn ttl(&self, key: &str) -> Option<Duration> {
        let text = &key[self.prefix..];
        let entry = self.entries.peek(&self.hash(text))?;
        if !self.is_of(&entry, text) {
            return None;
        }
        let age = entry.age(self.clock.coarse_nanos())?;
        Some(Duration::from_nanos(entry.kept_for - age))
    }

    /// How many entries there are that have not expired.
    pub(crate) fn len(&self) -> u64 {
        dropping_values_later(|| self.sweep());
        self.entries.len() as u64
    }
}

/// Into how many shards a store is split, a power of two: no more than it needs, because each is a place in memory that a
/// look waits for.
fn shards(capacity: u64, cores: u64) -> u64 {
    let needed = (capacity / LARGE_SHARD).max(cores.saturating_mul(SHARDS_OF_A_CORE));
    let possible = (capacity / SMALLEST_SHARD).clamp(1, MOST_SHARDS);
    1 << needed.clamp(1, possible).ilog2()
}

/// What stands under one key, while the lock of the key's flight is held.
#[derive(Debug)]
struct Locked<'a> {
    memory: &'a MemoryStore,
    key: &'a Arc<str>,
}

impl Locked<'_> {
    /// By what the map knows the key.
    fn hash(&self) -> u64 {
        self.memory.hash(&self.key[self.memory.prefix..])
    }

    fn begin_write(&self) -> u64 {
        let mut writes = lock(&self.memory.writes);
        writes.begun += 1;
        let right = writes.begun;
        writes.rights.insert(Arc::clone(self.key), right);
        right
    }

    /// Takes the right of the write that is under way, if the key was not changed since that began.
    fn end_write(&self) -> Option<u64> {
        lock(&self.memory.writes).rights.remove(&**self.key)
    }

    /// A failure is never kept.
    fn insert(&self, incoming: &Incoming) {
        let value = match &incoming.outcome {
            Answer::Value(value) => Some(value.clone()),
            Answer::Nothing => None,
            Answer::Failed(_) => return,
        };
        let Self { memory, key } = self;
        let number = memory.stored.fetch_add(1, Relaxed);
        let entry = MemoryEntry {
            key: Arc::clone(key),
            value,
            number,
            stored_at: memory.clock.coarse_nanos(),
            fresh_for: nanos(incoming.lifetime.fresh_for),
            kept_for: nanos(incoming.lifetime.kept_for),
            took: nanos(incoming.took),
        };
        // Whatever has the same hash loses its place.
        memory.entries.insert(self.hash(), Arc::new(entry));
        let due = memory.sweep_at.load(Relaxed);
        let next = number + SELDOM;
        // Only one of the threads that come at once.
        if number >= due
            && memory
                .sweep_at
                .compare_exchange(due, next, Relaxed, Relaxed)
                .is_ok()
        {
            memory.sweep();
        }
    }

    fn remove(&self) {
        self.memory.entries.remove(&self.hash());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

    const SHORT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(1000);

    fn store(store: &MemoryStore, key: u64, kept_for: Duration) {
        put(store, &key.to_string(), kept_for);
    }

    fn put(store: &MemoryStore, key: &str, kept_for: Duration) {
        let lifetime = Lifespan {
            fresh_for: kept_for,
            kept_for,
        };
        let incoming = Incoming {
            outcome: Answer::Nothing,
            lifetime,
            took: Duration::ZERO,
        };
        store.put(&Flights::new(), &key.into(), &incoming);
    }

    #[test]
    fn the_latest_entry_is_there_however_few_may_be() {
        for capacity in [1, 2, 3, 31, 33, 100, 1000] {
            let memory = MemoryStore::new("", capacity, Clock::default());
            for key in 0..3000 {
                store(&memory, key, LONG);
                assert!(memory.get(&key.to_string()).is_some(), "{capacity}: {key}");
                assert!(memory.entries.len() as u64 <= capacity, "{capacity}: {key}");
            }
            let kept = memory.entries.len() as u64;
            assert!(kept + SMALLEST_SHARD > capacity, "{kept} of {capacity}");
        }
    }

    #[test]
    fn a_store_has_as_many_shards_as_its_size_and_the_machine_need() {
        let table = [
            // capacity, cores, shards
            (0, 2, 1),
            (1, 2, 1),
            (63, 64, 1),
            (64, 64, 2),
            (10_000, 1, 8),
            (10_000, 2, 8),
            (10_000, 6, 16),
            (10_000, 64, 64),
            (30_000, 2, 16),
            (1_000_000, 2, 64),
            (u64::MAX, u64::MAX, 64),
        ];
        for (capacity, cores, expected) in table {
            assert_eq!(shards(capacity, cores), expected, "{capacity}, {cores}");
        }
    }

    #[test]
    fn expired_entries_go_as_others_are_stored() {
        let clock = ManualClock::new();
        let memory = MemoryStore::new("", 1_000_000, Clock::manual(clock.clone()));
        for key in 0..5 * SELDOM {
            store(&memory, key, SHORT);
        }
        clock.advance(SHORT);
        for key in 0..10 * SELDOM {
            store(&memory, 1_000_000 + key, LONG);
        }
        let entries = memory.entries.len() as u64;
        assert_eq!(entries, 10 * SELDOM, "none of the expired");
    }

    #[test]
    fn an_entry_is_over_at_the_moment_at_which_it_ends() {
        let clock = ManualClock::new();
        let memory = MemoryStore::new("", 10, Clock::manual(clock.clone()));
        store(&memory, 1, SHORT);
        let nano = Duration::from_nanos(1);
        clock.advance(SHORT - nano);
        assert!(memory.get("1").is_some());
        assert_eq!((memory.ttl("1"), memory.len()), (Some(nano), 1));
        clock.advance(nano);
        assert!(memory.get("1").is_none());
        assert_eq!((memory.ttl("1"), memory.len()), (None, 0));
    }

    #[test]
    fn a_look_leaves_the_prefix_out_and_a_key_has_it() {
        for prefix in ["", "shop"] {
            let memory = MemoryStore::new(prefix, 10, Clock::default());
            let key = |text: &str| match prefix {
                "" => text.to_owned(),
                prefix => format!("{prefix}:{text}"),
            };
            for text in ["", "1", "shop", "shop:1", &"x".repeat(1_000)] {
                let there = [memory.look(text), memory.get(&key(text))];
                assert!(there.iter().all(Option::is_none), "{text:?}");
                put(&memory, &key(text), LONG);
                let [looked, got] = [memory.look(text), memory.get(&key(text))];
                let numbers = [looked, got].map(|shared| shared.map(|shared| shared.number()));
                assert!(
                    numbers[0].is_some() && numbers[0] == numbers[1],
                    "{text:?}: {numbers:?}"
                );
                assert!(memory.ttl(&key(text)).is_some(), "{text:?}");
            }
            memory.remove(&Flights::new(), &key("1").into());
            assert!(memory.look("1").is_none() && memory.look("shop:1").is_some());
        }
    }

    #[test]
    fn p1_a_key_with_the_hash_of_another_never_has_its_value() {
        let memory = MemoryStore::new("", 10, Clock::default());
        store(&memory, 1, LONG);
        let entry = memory.entries.get(&memory.hash("1")).expect("an entry");
        memory.entries.insert(memory.hash("2"), entry);
        assert!(memory.get("1").is_some());
        assert!(memory.get("2").is_none());
        assert_eq!(memory.ttl("2"), None);
        store(&memory, 2, LONG);
        assert!(memory.get("2").is_some() && memory.ttl("2").is_some());
    }

    #[test]
    fn two_entries_of_one_moment_are_told_apart() {
        let memory = MemoryStore::new("", 10, Clock::manual(ManualClock::new()));
        let number = || memory.get("1").map(|shared| shared.number());
        store(&memory, 1, LONG);
        let first = number();
        store(&memory, 1, LONG);
        assert!(first.is_some() && number().is_some() && number() != first);
    }
}
