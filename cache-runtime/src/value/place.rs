//! A place for a value.

/// A place for a value on the heap, where the value is put without a stay on the stack.
///
/// Made out of line, because the place is on the stack while it is made.
#[inline(never)]
pub(crate) fn empty<T>() -> Box<Option<T>> {
    Box::new(None)
}

/// Empties a place. A function, because an unoptimised build makes room for a value where one is overwritten.
pub(crate) fn clear<T>(place: &mut Option<T>) {
    *place = None;
}
