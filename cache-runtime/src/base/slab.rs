//! Values by a small number, each made when it is first asked for.
//!
//! The one rule: **a value stays where it was made, and as long as the slab**, so that it is found without a lock, and
//! the slab grows while others read it.
//!
//! The places for the first values stand in the slab itself, and those for the others in rows, each twice as long as the
//! one before it. A row that is made is never moved, so that a reader needs to know no more than that it is there.

use std::{fmt, sync::OnceLock};

/// So many values have their places in the slab; the first row has as many again.
const FIRST: usize = 32;

/// So many rows have a place for every other number.
const ROWS: usize = (u32::BITS - FIRST.ilog2()) as usize;

/// Values by their numbers.
pub(crate) struct Slab<T> {
    first: [Room<T>; FIRST],
    rows: [OnceLock<Box<[Room<T>]>>; ROWS],
}

/// A value is behind a pointer, so that the place of one that nobody asked for is small.
type Room<T> = OnceLock<Box<T>>;

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            first: [const { OnceLock::new() }; FIRST],
            rows: [const { OnceLock::new() }; ROWS],
        }
    }

    /// The value with this number, which `make` makes if there is none.
    #[inline]
    pub(crate) fn get_or_make(&self, number: u32, make: fn() -> T) -> &T {
        match self.first.get(number as usize).and_then(OnceLock::get) {
            Some(value) => value,
            None => self.find_or_make(number, make),
        }
    }

    #[inline(never)]
    fn find_or_make(&self, number: u32, make: fn() -> T) -> &T {
        let place = self.first.get(number as usize).unwrap_or_else(|| {
            let (row, place) = in_row(number);
            let places = || (0..FIRST << row).map(|_| OnceLock::new()).collect();
            &self.rows[row].get_or_init(places)[place]
        });
        place.get_or_init(|| Box::new(make()))
    }

    /// The value with this number, if it was made.
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let place = match self.first.get(number as usize) {
            Some(place) => place,
            None => {
                let (row, place) = in_row(number);
                &self.rows[row].get()?[place]
            }
        };
        place.get().map(|value| &**value)
    }

    /// All values that were made, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let rows = self.rows.iter().enumerate().filter_map(|(row, places)| {
            let places = places.get()?;
            Some((FIRST << row..).zip(places.iter()))
        });
        let places = (0..).zip(self.first.iter()).chain(rows.flatten());
        places.filter_map(|(number, place)| Some((number as u32, &**place.get()?)))
    }
}

/// The row of the value with this number, which has no place in the slab itself, and its place in that row.
fn in_row(number: u32) -> (usize, usize) {
    let number = number as usize;
    let row = (number / FIRST).ilog2() as usize;
    (row, number - (FIRST << row))
}

impl<T: fmt::Debug> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{
            Barrier,
            atomic::{AtomicU32, Ordering::Relaxed},
        },
        thread,
    };

    use super::*;

    #[test]
    fn each_number_has_a_place_of_its_own() {
        let mut places = BTreeSet::new();
        for number in FIRST as u32..10_000 {
            let (row, place) = in_row(number);
            assert!(place < FIRST << row, "{number} stands in its row");
            assert!(places.insert((row, place)), "{number} has no other's place");
        }
        let last = in_row(u32::MAX);
        assert_eq!(last, (ROWS - 1, (FIRST << (ROWS - 1)) - 1));
    }

    #[test]
    fn a_value_is_made_once_and_found_by_its_number() {
        let slab = Slab::new();
        for number in 0..3_000 {
            assert!(slab.get(number).is_none());
            slab.get_or_make(number, AtomicU32::default)
                .store(number, Relaxed);
        }
        for number in 0..3_000 {
            let again = slab.get_or_make(number, || unreachable!("it was made"));
            assert_eq!(again.load(Relaxed), number);
        }
        let all = slab
            .iter()
            .map(|(number, value)| (number, value.load(Relaxed)));
        assert!(all.eq((0..3_000).map(|number| (number, number))));
    }

    #[test]
    fn a_value_that_nobody_asked_for_is_not_made() {
        let slab = Slab::new();
        slab.get_or_make(1_000, || 7);
        assert!(slab.iter().eq([(1_000, &7)]));
        assert!(slab.get(999).is_none());
    }

    #[test]
    fn threads_at_once_find_the_same_values() {
        const THREADS: u32 = 8;
        const NUMBERS: u32 = 500;
        let (slab, begin) = (Slab::new(), Barrier::new(THREADS as usize));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    begin.wait();
                    for number in 0..NUMBERS {
                        slab.get_or_make(number, AtomicU32::default)
                            .fetch_add(1, Relaxed);
                    }
                });
            }
        });
        let all = slab.iter().map(|(_, value)| value.load(Relaxed));
        assert!(all.eq((0..NUMBERS).map(|_| THREADS)));
    }
}
