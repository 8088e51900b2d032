//! Keys whose values are too large to be stored.
//!
//! The one rule: **what such a key's body returns is not encoded for a minute**, because it would be in vain, and would
//! hold up the other calls of its thread. Bounded: a key that is forgotten is tried earlier.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{clock::Clock, sharded::lock};

const PAUSE: Duration = Duration::from_secs(60);

/// So many keys are remembered at most.
const LIMIT: usize = 1_000;

/// The keys of one cache whose values were too large a moment ago.
#[derive(Debug)]
pub(crate) struct TooLarge {
    /// So that a call which finds none needs no lock.
    count: AtomicUsize,
    until: Mutex<HashMap<Arc<str>, Instant>>,
    clock: Clock,
}

impl TooLarge {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            count: AtomicUsize::new(0),
            until: Mutex::default(),
            clock,
        }
    }

    /// Whether a value of `key` was too large less than a minute ago.
    pub(crate) fn holds(&self, key: &str) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let now = self.clock.now();
        self.update(|until| match until.get(key) {
            Some(end) if now < *end => true,
            Some(_) => {
                until.remove(key);
                false
            }
            None => false,
        })
    }

    /// A value of `key` was too large just now.
    pub(crate) fn add(&self, key: &Arc<str>) {
        let now = self.clock.now();
        self.update(|until| {
            if until.len() >= LIMIT && !until.contains_key(key) {
                until.retain(|_, end| now < *end);
            }
            if until.len() >= LIMIT && !until.contains_key(key) {
                let oldest = until.iter().min_by_key(|(_, end)| **end);
                if let Some(oldest) = oldest.map(|(key, _)| Arc::clone(key)) {
                    until.remove(&oldest);
                }
            }
            until.insert(Arc::clone(key), now + PAUSE);
        });
    }

    /// A value of `key` is not too large any more.
    pub(crate) fn forget(&self, key: &str) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.update(|until| until.remove(key));
        }
    }

    fn update<T>(&self, change: impl FnOnce(&mut HashMap<Arc<str>, Instant>) -> T) -> T {
        let mut until = lock(&self.until);
        let result = change(&mut until);
        self.count.store(until.len(), Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn keys(clock: &ManualClock) -> TooLarge {
        TooLarge::new(Clock::manual(clock.clone()))
    }

    #[test]
    fn a_key_is_left_alone_for_a_minute() {
        let (clock, key) = (ManualClock::new(), Arc::from("k"));
        let keys = keys(&clock);
        assert!(!keys.holds("k"));
        keys.add(&key);
        clock.advance(PAUSE - Duration::from_millis(1));
        assert!(keys.holds("k") && !keys.holds("another"));
        clock.advance(Duration::from_millis(1));
        assert!(!keys.holds("k"));
        keys.add(&key);
        keys.forget("k");
        assert!(!keys.holds("k"));
    }

    #[test]
    fn p11_only_so_many_keys_are_remembered_and_the_latest_of_them() {
        let clock = ManualClock::new();
        let keys = keys(&clock);
        for number in 0..3 * LIMIT {
            keys.add(&number.to_string().into());
            clock.advance(Duration::from_millis(1));
            assert!(lock(&keys.until).len() <= LIMIT);
            assert!(keys.holds(&number.to_string()));
        }
        assert!(keys.holds(&(2 * LIMIT).to_string()));
        assert!(!keys.holds(&(2 * LIMIT - 1).to_string()));
    }
}
