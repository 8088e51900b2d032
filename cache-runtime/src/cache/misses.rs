//! Which functions have found nothing lately.
//!
//! The one rule: **one hit ends a row of misses, and so does one failure**, because to ask for the right to store before
//! anything is read, which spares a miss a round trip, costs a hit more than a GET, and may need more rights, or more room.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{base::slab::Slab, site::Site};

/// After so many misses in a row the next call is taken for one. Even where only half of the calls hit, one in 256 runs of this
/// length has no hit in it.
const IN_A_ROW: u32 = 8;

/// How many calls of each function missed, one after another, in one cache.
#[derive(Debug)]
pub(crate) struct Misses(Slab<AtomicU32>);

impl Misses {
    pub(crate) const fn new() -> Self {
        Self(Slab::new())
    }

    /// A call of the function found nothing.
    pub(crate) fn missed(&self, site: &Site) {
        let in_a_row = self.of(site);
        // Looked at first, so that a function which never finds anything writes nothing.
        if in_a_row.load(Ordering::Relaxed) < IN_A_ROW {
            in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call of the function found a value, or could not ask for the right to store.
    #[inline]
    pub(crate) fn end_row(&self, site: &Site) {
        let in_a_row = self.of(site);
        // Looked at first, so that hits on several threads write nothing.
        if in_a_row.load(Ordering::Relaxed) != 0 {
            in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the next call of the function will find nothing, as far as anybody can say.
    pub(crate) fn is_one_likely(&self, site: &Site) -> bool {
        self.of(site).load(Ordering::Relaxed) >= IN_A_ROW
    }

    #[inline]
    fn of(&self, site: &Site) -> &AtomicU32 {
        self.0.get_or_make(site.number(), AtomicU32::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SITE: Site = Site::new("f", &());
    static OTHER: Site = Site::new("g", &());

    #[test]
    fn a_miss_is_likely_after_eight_in_a_row_until_there_is_a_hit() {
        let misses = Misses::new();
        for _ in 0..2 {
            for _ in 0..IN_A_ROW {
                assert!(!misses.is_one_likely(&SITE));
                misses.missed(&SITE);
            }
            misses.missed(&SITE);
            assert!(misses.is_one_likely(&SITE));
            assert!(!misses.is_one_likely(&OTHER));
            misses.end_row(&SITE);
        }
        assert!(!misses.is_one_likely(&SITE));
    }
}
