//! A place for a value, which is an `Option` that somebody else holds.
//!
//! The one rule: **a value is written where it stays**, because each function that returned it would need room for it on
//! the stack.

/// An empty place on the heap.
///
/// Never inlined, because the place is on the stack while it is made.
#[inline(never)]
pub(crate) fn empty<T>() -> Box<Option<T>> {
    Box::new(None)
}

/// Empties a place. This is a function, because an unoptimised build makes room for a value wherever one is overwritten.
pub(crate) fn clear<T>(place: &mut Option<T>) {
    *place = None;
}
