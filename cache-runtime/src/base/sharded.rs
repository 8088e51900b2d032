//! A map of keys behind a few locks, so that callers of different keys seldom meet.
//!
//! The one rule: **no lock is held across an await or while a user's code runs.**

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, PoisonError},
};

use crate::base::sync::{Mutex, MutexGuard};

const SHARDS: usize = 64;

/// A map of keys, in parts that are locked apart.
#[derive(Debug)]
pub(crate) struct Sharded<V> {
    hasher: RandomState,
    shards: Box<[Shard<V>]>,
}

type Shard<V> = Mutex<HashMap<Arc<str>, V>>;

impl<V> Sharded<V> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Locks the part of the map that `key` belongs to.
    pub(crate) fn lock(&self, key: &str) -> MutexGuard<'_, HashMap<Arc<str>, V>> {
        // Any part of the hash will do, so the cast may cut some of it off.
        let index = self.hasher.hash_one(key) as usize % self.shards.len();
        lock(&self.shards[index])
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Removes every key.
    #[cfg(feature = "testing")]
    pub(crate) fn clear(&self) {
        self.shards.iter().for_each(|shard| lock(shard).clear());
    }

    /// Adds up what `count` says of each value.
    pub(crate) fn sum(&self, count: impl Fn(&V) -> usize) -> usize {
        let of_shard =
            |shard: &Mutex<HashMap<_, _>>| lock(shard).values().map(&count).sum::<usize>();
        self.shards.iter().map(of_shard).sum()
    }
}

/// Locks a mutex whose content is whole at every panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
