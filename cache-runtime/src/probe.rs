//! What a type can do, asked where the type is written: nobody has to say that a value is `Clone`.
//!
//! The rule: method probing picks the first of *inherent*, *trait by value*, *trait by reference* whose
//! bounds hold, and it does so where the expansion stands. In a generic function that is before the types
//! are known, so there only the written bounds count.
//!
//! | `Probe::<T>::new()` | picked for | answers |
//! |---|---|---|
//! | `.codec()`, inherent | `T = Result<_, _>`, `T = Option<_>` | a message: the return type's alias hides its shape |
//! | `.codec()`, [`ByJson`] | every other `T` | [`Codec`], if `T` is [`Cacheable`] |
//! | `.value()`, [`ByClone`] | `T: Clone + Send + Sync` | [`ValueShare`] that keeps values |
//! | `.value()`, [`ByBytes`] | every other `T` | [`ValueShare`] that keeps nothing |
//! | `.error()`, inherent | `T = Result<_, E>`, `E: Clone + Send + Sync` | [`ErrorShare`] that keeps errors |
//! | `.error()`, [`ErrorAlone`] | every other `E` | [`ErrorShare`] that keeps nothing |

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::Codec;

/// A value or an error that several callers share, with its type forgotten.
pub type Kept = Arc<dyn Any + Send + Sync>;

/// A type that the cache can store: serde's, sendable, and without borrows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cached; derive `serde::Serialize` and `serde::Deserialize` for it",
    label = "is stored as JSON",
    note = "a cached value is `Serialize + DeserializeOwned + Send + 'static`, and so is all that it holds"
)]
pub trait Cacheable: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<V: Serialize + DeserializeOwned + Send + 'static> Cacheable for V {}

/// Asks what `T` can do; holds no `T`.
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// Asks about `T`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Probe<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Probe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe<{}>", std::any::type_name::<T>())
    }
}

/// Never holds; its message is what a user sees who hid a `Result` behind an alias.
#[diagnostic::on_unimplemented(
    message = "the return type hides a `Result`; write `Result<{T}, {E}>`, so that errors are never stored",
    label = "is another name for a `Result`"
)]
pub trait WrittenAsResult<T, E> {
    /// Nobody gets here.
    fn codec(self) -> Codec<Result<T, E>>;
}

/// Never holds; its message is what a user sees who hid an `Option` behind an alias.
#[diagnostic::on_unimplemented(
    message = "the return type hides an `Option`; write `Option<{T}>`, so that `None` is told from a value",
    label = "is another name for an `Option`"
)]
pub trait WrittenAsOption<T> {
    /// Nobody gets here.
    fn codec(self) -> Codec<Option<T>>;
}

impl<T, E> Probe<Result<T, E>> {
    /// The macro took the `Result` off, so one that is still there is hidden.
    pub fn codec(self) -> Codec<Result<T, E>>
    where
        Self: WrittenAsResult<T, E>,
    {
        WrittenAsResult::codec(self)
    }
}

impl<T> Probe<Option<T>> {
    /// The macro took the `Option` off, so one that is still there is hidden.
    pub fn codec(self) -> Codec<Option<T>>
    where
        Self: WrittenAsOption<T>,
    {
        WrittenAsOption::codec(self)
    }
}

/// Values that are stored as JSON.
pub trait ByJson {
    /// The value's type.
    type Value;
    /// Stores as JSON.
    fn codec(self) -> Codec<Self::Value>
    where
        Self::Value: Cacheable;
}

impl<V> ByJson for Probe<V> {
    type Value = V;
    fn codec(self) -> Codec<V>
    where
        V: Cacheable,
    {
        Codec::<V>::json()
    }
}

/// Says how the callers of one flight share its value.
pub trait Shared<V> {
    /// The functions that share the value.
    fn share(self) -> ValueShare<V>;
}

/// Values that are cloned for every caller.
pub trait ByClone {
    /// The value's type.
    type Value;
    /// Shares by `Clone`.
    fn value(self) -> ValueShare<Self::Value>;
}

impl<V: Clone + Send + Sync + 'static> ByClone for Probe<V> {
    type Value = V;
    fn value(self) -> ValueShare<V> {
        ValueShare {
            functions: Some(Functions {
                keep: keep::<V>,
                take: take::<V>,
            }),
        }
    }
}

/// Values that are decoded for every caller.
pub trait ByBytes {
    /// The value's type.
    type Value;
    /// Shares by bytes.
    fn value(self) -> ValueShare<Self::Value>;
}

impl<V> ByBytes for &Probe<V> {
    type Value = V;
    fn value(self) -> ValueShare<V> {
        ValueShare { functions: None }
    }
}

impl<T, E: Clone + Send + Sync + 'static> Probe<Result<T, E>> {
    /// Shares by `Clone`.
    #[must_use]
    pub fn error(self) -> ErrorShare<E> {
        ErrorShare {
            functions: Some(Functions {
                keep: keep::<E>,
                take: take::<E>,
            }),
        }
    }
}

/// Errors that reach one caller only.
pub trait ErrorAlone {
    /// The error's type.
    type Error;
    /// Shares nothing.
    fn error(self) -> ErrorShare<Self::Error>;
}

impl<T, E> ErrorAlone for Probe<Result<T, E>> {
    type Error = E;
    fn error(self) -> ErrorShare<E> {
        ErrorShare { functions: None }
    }
}

/// How the callers of one flight share its value.
pub struct ValueShare<V> {
    functions: Option<Functions<V>>,
}

impl<V> ValueShare<V> {
    /// Keeps a clone of `value` for others, unless its type cannot be shared.
    #[must_use]
    pub fn keep(&self, value: &V) -> Option<Kept> {
        Some((self.functions?.keep)(value))
    }

    /// Clones a value that [`keep`](Self::keep) kept; `None` if it is of another type.
    #[must_use]
    pub fn take(&self, kept: &(dyn Any + Send + Sync)) -> Option<V> {
        (self.functions?.take)(kept)
    }
}

impl<V> Shared<V> for ValueShare<V> {
    fn share(self) -> Self {
        self
    }
}

/// How the callers of one flight share its error.
pub struct ErrorShare<E> {
    functions: Option<Functions<E>>,
}

impl<E> ErrorShare<E> {
    /// Keeps a clone of `error` for others, unless its type cannot be shared.
    #[must_use]
    pub fn keep(&self, error: &E) -> Option<Kept> {
        Some((self.functions?.keep)(error))
    }

    /// Clones an error that [`keep`](Self::keep) kept; `None` if it is of another type.
    #[must_use]
    pub fn take(&self, kept: &(dyn Any + Send + Sync)) -> Option<E> {
        (self.functions?.take)(kept)
    }
}

/// Function pointers are `Copy`, `Send` and `Sync`, whatever `T` is.
struct Functions<T> {
    keep: fn(&T) -> Kept,
    take: fn(&(dyn Any + Send + Sync)) -> Option<T>,
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
            .field("by_clone", &functions.is_some())
            .finish()
    }
}

fn keep<T: Clone + Send + Sync + 'static>(value: &T) -> Kept {
    Arc::new(value.clone())
}

fn take<T: Clone + 'static>(kept: &(dyn Any + Send + Sync)) -> Option<T> {
    kept.downcast_ref::<T>().cloned()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::error::Error;
    use std::io;
    use std::rc::Rc;

    use super::{ByBytes as _, ByClone as _, ErrorAlone as _, ErrorShare, Probe, ValueShare};

    #[derive(Debug, PartialEq)]
    struct NoClone(u8);

    #[derive(Debug, Clone, PartialEq)]
    struct Plain(u8);

    type Aliased<T> = Result<T, Box<dyn Error + Send + Sync>>;

    fn is_copy_send_sync<T: Copy + Send + Sync>(_: &T) {}

    #[test]
    fn a_clone_value_is_kept_and_taken() {
        let share = Probe::<Plain>::new().value();
        let kept = share.keep(&Plain(7)).unwrap();
        assert_eq!(share.take(&*kept), Some(Plain(7)));
    }

    #[test]
    fn a_value_of_another_type_is_not_taken() {
        let kept = Probe::<String>::new().value().keep(&String::new()).unwrap();
        assert_eq!(Probe::<Plain>::new().value().take(&*kept), None);
    }

    #[test]
    fn a_value_without_clone_or_sync_is_not_kept() {
        let alone: ValueShare<NoClone> = Probe::<NoClone>::new().value();
        assert!(alone.keep(&NoClone(1)).is_none());
        let cell: ValueShare<Cell<u8>> = Probe::<Cell<u8>>::new().value();
        assert!(cell.keep(&Cell::new(1)).is_none());
        let rc: ValueShare<Rc<u8>> = Probe::<Rc<u8>>::new().value();
        assert!(rc.keep(&Rc::new(1)).is_none());
        is_copy_send_sync(&rc);
        is_copy_send_sync(&Probe::<Result<(), Rc<u8>>>::new().error());
    }

    #[test]
    fn in_a_generic_function_only_the_written_bounds_count() {
        fn unbounded<T>(value: &T) -> bool {
            Probe::<T>::new().value().keep(value).is_some()
        }
        fn bounded<T: Clone + Send + Sync + 'static>(value: &T) -> bool {
            Probe::<T>::new().value().keep(value).is_some()
        }
        fn nested<T: Clone + Send + Sync + 'static>(value: &Vec<T>) -> bool {
            Probe::<Vec<T>>::new().value().keep(value).is_some()
        }
        fn associated<I: Iterator>(value: &I::Item) -> bool
        where
            I::Item: Clone + Send + Sync + 'static,
        {
            Probe::<I::Item>::new().value().keep(value).is_some()
        }
        fn error<E>(error: &E) -> bool {
            Probe::<Result<(), E>>::new().error().keep(error).is_some()
        }
        assert!(!unbounded(&1));
        assert!(bounded(&1));
        assert!(nested(&vec![1]));
        assert!(associated::<std::vec::IntoIter<u8>>(&1));
        assert!(!error(&1));
    }

    #[test]
    fn an_error_is_kept_if_it_can_be() {
        let share: ErrorShare<Plain> = Probe::<Result<Rc<u8>, Plain>>::new().error();
        let kept = share.keep(&Plain(3)).unwrap();
        assert_eq!(share.take(&*kept), Some(Plain(3)));
        let boxed: ErrorShare<Box<dyn Error>> = Probe::<Result<u8, Box<dyn Error>>>::new().error();
        assert!(boxed.keep(&"no".into()).is_none());
        let io: ErrorShare<io::Error> = Probe::<io::Result<u8>>::new().error();
        assert!(io.keep(&io::ErrorKind::Other.into()).is_none());
        let aliased = Probe::<Aliased<Option<u8>>>::new().error();
        assert!(aliased.keep(&"no".into()).is_none());
    }
}
