//! Keys whose values are too large to be stored.
//!
//! The one rule: **a value of such a key is not encoded for a minute**, because that would be in vain, and would hold up the
//! other calls of its thread. The list is bounded: a key that is forgotten is tried earlier.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::base::clock::Clock;

/// How long a key stays on the list.
const PAUSE: Duration = Duration::from_secs(60);

/// How many keys are remembered at most.
const LIMIT: usize = 1_024;

/// The keys of one cache whose values were too large a moment ago.
#[derive(Debug)]
pub(crate) struct TooLarge {
    /// Whether a key was ever added. Before that, a call need not look.
    any: AtomicBool,
    until: quick_cache::sync::Cache<Arc<str>, Instant>,
    clock: Clock,
}

impl TooLarge {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            any: AtomicBool::new(false),
            until: quick_cache::sync::Cache::new(LIMIT),
            clock,
        }
    }

    /// Whether a value of `key` was too large less than a minute ago.
    pub(crate) fn holds(&self, key: &str) -> bool {
        let now = || self.clock.now();
        self.any.load(Ordering::Acquire) && self.until.get(key).is_some_and(|end| now() < end)
    }

    /// Remembers that a value of `key` was too large just now.
    pub(crate) fn add(&self, key: &Arc<str>) {
        self.until.insert(Arc::clone(key), self.clock.now() + PAUSE);
        self.any.store(true, Ordering::Release);
    }

    /// Forgets every key.
    #[cfg(feature = "testing")]
    pub(super) fn clear(&self) {
        self.until.clear();
    }

    /// Forgets `key`, because a value of it was not too large.
    pub(crate) fn forget(&self, key: &str) {
        if self.any.load(Ordering::Acquire) {
            self.until.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

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
    fn p11_only_so_many_keys_are_remembered_and_the_latest_is_one_of_them() {
        let clock = ManualClock::new();
        let keys = keys(&clock);
        for number in 0..3 * LIMIT {
            keys.add(&number.to_string().into());
            assert!(keys.until.len() <= LIMIT);
            assert!(keys.holds(&number.to_string()));
        }
    }
}
