//! Whether a function has found nothing lately, in one cache.
//!
//! The one rule: **one hit ends a row of misses, and so does one failure**, because to ask for the right to store before
//! anything is read, which spares a miss a round trip, costs a hit more than a GET, and may need more rights, or more room.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// After so many misses in a row the next call is taken for one. Even where only half of the calls hit, one in 256 runs of this
/// length has no hit in it.
const IN_A_ROW: u32 = 8;

/// How many calls of a function missed, one after another.
#[derive(Debug)]
pub(crate) struct Misses(AtomicU32);

impl Misses {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// A call found nothing.
    pub(crate) fn missed(&self) {
        // Looked at first, so that a function which never finds anything writes nothing.
        if self.0.load(Relaxed) < IN_A_ROW {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// A call found a value, or could not ask for the right to store.
    #[inline]
    pub(crate) fn end_row(&self) {
        // Looked at first, so that hits on several threads write nothing.
        if self.0.load(Relaxed) != 0 {
            self.0.store(0, Relaxed);
        }
    }

    /// Whether the next call will find nothing, as far as anybody can say.
    #[inline]
    pub(crate) fn is_one_likely(&self) -> bool {
        self.0.load(Relaxed) >= IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_is_likely_after_eight_in_a_row_until_there_is_a_hit() {
        let misses = Misses::new();
        for _ in 0..2 {
            for _ in 0..IN_A_ROW {
                assert!(!misses.is_one_likely());
                misses.missed();
            }
            misses.missed();
            assert!(misses.is_one_likely());
            misses.end_row();
        }
        assert!(!misses.is_one_likely());
    }
}
