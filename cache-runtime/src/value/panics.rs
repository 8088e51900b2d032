//! Panics of the user's code.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the user's code, which only reads what it did not make, and says whether it panicked: what it leaves half done is
/// dropped then.
///
/// It takes a reference, because it would be compiled for each type otherwise.
pub(crate) fn panics(code: &mut dyn FnMut()) -> bool {
    catch_unwind(AssertUnwindSafe(code)).is_err()
}

/// What `make` makes for the cache's sake, so that its panic is no reason for a call to fail.
pub(super) fn unless_it_panics<T>(make: impl FnOnce() -> T) -> Option<T> {
    // It only reads what outlives it, so what a panic leaves half done is gone.
    catch_unwind(AssertUnwindSafe(make)).ok()
}
