//! The user's code, run for the cache's sake.
//!
//! The one rule: **a panic in here reaches nobody**, because the call that needs no cache would not have run that code.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the user's code, and says whether it panicked.
///
/// `code` is a reference, so that this is compiled once and not for each type.
pub(crate) fn panics(code: &mut dyn FnMut()) -> bool {
    // Nobody sees a broken invariant, because `code` only reads what it did not make, and drops what it leaves half done.
    catch_unwind(AssertUnwindSafe(code)).is_err()
}

/// As [`panics`], compiled for each `code` and inlined, for what a hit in process runs.
#[inline]
pub(super) fn panics_inline(code: impl FnOnce()) -> bool {
    // As in `panics`.
    catch_unwind(AssertUnwindSafe(code)).is_err()
}

/// Runs the user's code; `None` if it panics.
pub(super) fn unless_it_panics<T>(make: impl FnOnce() -> T) -> Option<T> {
    // As in `panics`.
    catch_unwind(AssertUnwindSafe(make)).ok()
}
