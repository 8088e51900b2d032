//! How callers share an outcome: what is kept of a value or an error, and what each caller is made of it.
//!
//! The one rule: **a share holds function pointers and no values**, so that it is `Copy`, `Send` and `Sync` whatever it
//! shares. A value or an error whose own code panics is not shared.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::panics::{panics_inline, unless_it_panics};
use crate::error::shared::SharedError;

/// A value or an error that several callers share, with its type forgotten.
pub(crate) type Kept = Arc<dyn Any + Send + Sync>;

/// How the callers of one flight share its value.
pub struct ValueShare<V> {
    functions: Option<Functions<V>>,
}

impl<V: Clone + Send + Sync + 'static> ValueShare<V> {
    /// Keeps clones.
    #[must_use]
    pub const fn cloned() -> Self {
        Self {
            functions: Some(Functions::cloned()),
        }
    }
}

impl<V> ValueShare<V> {
    /// Keeps nothing.
    #[must_use]
    pub const fn alone() -> Self {
        Self { functions: None }
    }

    /// Keeps a clone of `value` for others, unless its type cannot be shared or its `Clone` panics.
    #[must_use]
    pub fn keep(&self, value: &V) -> Option<Kept> {
        (self.functions?.keep)(value)
    }

    /// Puts a clone of a value that [`keep`](Self::keep) kept into an empty place, which stays empty if the value is of
    /// another type, or its `Clone` panics.
    #[inline]
    pub(crate) fn put(&self, kept: &(dyn Any + Send + Sync), place: &mut Option<V>) {
        if let Some(functions) = &self.functions {
            (functions.put)(kept, place);
        }
    }

    /// As [`put`](Self::put), for tests that look at the value alone.
    #[cfg(test)]
    pub(crate) fn take(&self, kept: &(dyn Any + Send + Sync)) -> Option<V> {
        let mut value = None;
        self.put(kept, &mut value);
        value
    }
}

/// How the callers of one flight share its error.
pub struct ErrorShare<E> {
    functions: Option<ErrorFunctions<E>>,
}

impl<E: Clone + Send + Sync + 'static> ErrorShare<E> {
    /// Keeps clones.
    #[must_use]
    pub fn cloned() -> Self {
        Self::copied(E::clone)
    }
}

impl<E: Send + Sync + 'static> ErrorShare<E> {
    /// Keeps a copy that `copy` makes, and gives each caller a copy of the copy.
    pub(crate) fn copied(copy: fn(&E) -> E) -> Self {
        Self {
            functions: Some(ErrorFunctions {
                copy: Some(copy),
                keep: |copy, error| {
                    let copy = copy?;
                    Some(Arc::new(unless_it_panics(|| copy(error))?))
                },
                take: |copy, kept| {
                    let (copy, error) = (copy?, kept.downcast_ref::<E>()?);
                    unless_it_panics(|| copy(error))
                },
            }),
        }
    }
}

impl<E: From<SharedError> + 'static> ErrorShare<E> {
    /// Keeps the texts that `keep` reads, and gives each caller what `From` makes of them.
    pub(crate) fn told(keep: Keep<E>) -> Self {
        Self {
            functions: Some(ErrorFunctions {
                copy: None,
                keep,
                take: |_, kept| {
                    let texts = kept.downcast_ref::<Texts<E>>()?.texts.clone();
                    unless_it_panics(|| E::from(texts))
                },
            }),
        }
    }
}

impl<E> ErrorShare<E> {
    /// Keeps nothing.
    #[must_use]
    pub const fn alone() -> Self {
        Self { functions: None }
    }

    /// Keeps of `error` what others can have, unless its type cannot be shared or its code panics.
    #[must_use]
    pub fn keep(&self, error: &E) -> Option<Kept> {
        let functions = self.functions?;
        (functions.keep)(functions.copy, error)
    }

    /// Makes an error for one caller of what [`keep`](Self::keep) kept; `None` if that is of another type, or the
    /// error's code panics.
    #[must_use]
    pub fn take(&self, kept: &(dyn Any + Send + Sync)) -> Option<E> {
        let functions = self.functions?;
        (functions.take)(functions.copy, kept)
    }
}

/// The texts of an `E`. The type belongs to them, so that a function with another error type gets nothing, as it gets
/// nothing from a clone of an `E`.
struct Texts<E> {
    texts: SharedError,
    of: PhantomData<fn() -> E>,
}

/// Keeps the texts that `read` reads of an `E`, unless it panics.
pub(crate) fn keep_texts<E: 'static>(read: impl FnOnce() -> SharedError) -> Option<Kept> {
    Some(Arc::new(Texts::<E> {
        texts: unless_it_panics(read)?,
        of: PhantomData,
    }))
}

/// Makes an error for another caller.
pub(crate) type CopyOf<E> = fn(&E) -> E;

/// Keeps of an error what others can have.
pub(crate) type Keep<E> = fn(Option<CopyOf<E>>, &E) -> Option<Kept>;

/// How errors of type `E` are shared, if they are.
struct ErrorFunctions<E> {
    /// `None` where texts are kept.
    copy: Option<CopyOf<E>>,
    keep: Keep<E>,
    take: fn(Option<CopyOf<E>>, &(dyn Any + Send + Sync)) -> Option<E>,
}

impl<E> Clone for ErrorFunctions<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for ErrorFunctions<E> {}

/// How values of type `T` are shared, if they are.
struct Functions<T> {
    keep: fn(&T) -> Option<Kept>,
    put: fn(&(dyn Any + Send + Sync), &mut Option<T>),
}

// Derives would ask for `T: Clone`, `V: Clone` and `E: Clone`.
impl<T> Clone for Functions<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Functions<T> {}

impl<V> Clone for ValueShare<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for ValueShare<V> {}

impl<E> Clone for ErrorShare<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for ErrorShare<E> {}

impl<V> fmt::Debug for ValueShare<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { functions } = self;
        f.debug_struct("ValueShare")
            .field("by_clone", &functions.is_some())
            .finish()
    }
}

impl<E> fmt::Debug for ErrorShare<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { functions } = self;
        f.debug_struct("ErrorShare")
            .field("shares", &functions.is_some())
            .finish()
    }
}

impl<T: Clone + Send + Sync + 'static> Functions<T> {
    const fn cloned() -> Self {
        Self {
            keep: |value| {
                let mut clone = None;
                clone_into(value, &mut clone);
                clone.map(|clone| Arc::new(clone) as Kept)
            },
            put: |kept, place| {
                if let Some(value) = kept.downcast_ref::<T>() {
                    clone_into(value, place);
                }
            },
        }
    }
}

/// Clones a value into an empty place, which stays empty if its `Clone` panics.
#[inline]
fn clone_into<T: Clone>(value: &T, place: &mut Option<T>) {
    panics_inline(|| *place = Some(value.clone()));
}

#[cfg(test)]
mod tests {
    use super::ValueShare;

    #[derive(Debug, Clone, PartialEq)]
    struct Plain(u8);

    #[test]
    fn a_clone_value_is_kept_and_taken() {
        let share = ValueShare::<Plain>::cloned();
        let kept = share.keep(&Plain(7)).unwrap();
        assert_eq!(share.take(&*kept), Some(Plain(7)));
    }

    #[test]
    fn a_value_of_another_type_is_not_taken() {
        let kept = ValueShare::<String>::cloned().keep(&String::new()).unwrap();
        assert_eq!(ValueShare::<Plain>::cloned().take(&*kept), None);
    }
}
