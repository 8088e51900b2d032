//! What a type can do, asked where the type is written: nobody has to say that a value is `Clone`.
//!
//! The rule: a method call takes the first type along `Deref` that has the method with bounds that hold, and
//! it does so where the expansion stands. In a generic function that is before the types are known, so there
//! only the written bounds count.
//!
//! Their names are long, since a user's blanket trait with a method called alike would come before `Deref`.
//!
//! | call | is found on | for |
//! |---|---|---|
//! | `site.of::<T>().default_key(…)` | [`Cached`] | `Result<_, _>`, `Option<_>`: a message, since an alias hid it from the macro |
//! | | [`CachedByClone`] | `Clone + Send + Sync`: callers get clones |
//! | | [`CachedByBytes`] | every other type: callers get what the bytes decode to |
//! | `probe::<T>().error_share()` | [`Probe`] | `Result<_, E>`, `E: Clone + Send + Sync`: callers get clones |
//! | | [`ProbeAlone`] | every other `Result<_, E>`: an error reaches one caller |

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::codec::Codec;
use crate::entry::Entry;
use crate::key::KeyPart;
use crate::site::{Key, Site};

/// A value or an error that several callers share, with its type forgotten.
pub(crate) type Kept = Arc<dyn Any + Send + Sync>;

/// A type that the cache can store: serde's, sendable, and without borrows.
///
/// Nobody implements it: every type that is `Serialize + DeserializeOwned + Send + 'static` has it. Name it to bound a
/// generic cached function:
///
#[cfg_attr(feature = "macros", doc = "```")]
#[cfg_attr(not(feature = "macros"), doc = "```ignore")]
/// use cache_runtime::{Cacheable, redis_cached};
///
/// #[redis_cached(ttl = 60)]
/// async fn first<T: Cacheable + Default>(id: u64) -> T {
///     let _ = id;
///     T::default()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(first::<String>(1).await, "");
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cached; derive `serde::Serialize` and `serde::Deserialize` for it",
    label = "is stored as JSON",
    note = "a cached value is `Serialize + DeserializeOwned + Send + 'static`, and so is all that it holds"
)]
pub trait Cacheable: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<V: Serialize + DeserializeOwned + Send + 'static> Cacheable for V {}

/// A call of a function that stores `V`, on its way to a [`Call`].
pub struct Cached<V>(CachedByClone<V>);

/// A [`Cached`] of a type that is no `Result` and no `Option`.
pub struct CachedByClone<V>(CachedByBytes<V>);

/// A [`Cached`] of a type that is not `Clone + Send + Sync`.
pub struct CachedByBytes<V> {
    site: &'static Site,
    value: PhantomData<fn() -> V>,
}

impl Site {
    /// A call of this function, which stores `V`.
    #[must_use]
    pub const fn of<V>(&'static self) -> Cached<V> {
        Cached(CachedByClone(CachedByBytes {
            site: self,
            value: PhantomData,
        }))
    }
}

impl<V> Deref for Cached<V> {
    type Target = CachedByClone<V>;
    fn deref(&self) -> &CachedByClone<V> {
        &self.0
    }
}

impl<V> Deref for CachedByClone<V> {
    type Target = CachedByBytes<V>;
    fn deref(&self) -> &CachedByBytes<V> {
        &self.0
    }
}

impl<V: Clone + Send + Sync + 'static> CachedByClone<V> {
    /// The call with the default key.
    pub fn default_key(&self, types: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.key(types, parts);
        Call::new(self.site, key, Codec::json(), ValueShare::cloned())
    }

    /// The call with a key that the attribute spells out: a literal before, between and after the parts.
    pub fn template_key(&self, literals: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.template_key(type_name::<V>(), literals, parts);
        Call::new(self.site, key, Codec::json(), ValueShare::cloned())
    }

    /// The call with the key of an entry of another function.
    pub fn shared_key(&self, entry: impl FnOnce() -> Entry<V>) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.shared_key(|| entry().into_key());
        Call::new(self.site, key, Codec::json(), ValueShare::cloned())
    }

    /// The call with the key of an entry of another function, where both return `Option<V>`.
    pub fn shared_optional_key(&self, entry: impl FnOnce() -> Entry<Option<V>>) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.shared_key(|| entry().into_key());
        Call::new(self.site, key, Codec::json(), ValueShare::cloned())
    }
}

impl<V> CachedByBytes<V> {
    /// The call with the default key.
    pub fn default_key(&self, types: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        self.call(self.site.key(types, parts))
    }

    /// The call with a key that the attribute spells out: a literal before, between and after the parts.
    pub fn template_key(&self, literals: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        self.call(self.site.template_key(type_name::<V>(), literals, parts))
    }

    /// The call with the key of an entry of another function.
    pub fn shared_key(&self, entry: impl FnOnce() -> Entry<V>) -> Call<V>
    where
        V: Cacheable,
    {
        self.call(self.site.shared_key(|| entry().into_key()))
    }

    /// The call with the key of an entry of another function, where both return `Option<V>`.
    pub fn shared_optional_key(&self, entry: impl FnOnce() -> Entry<Option<V>>) -> Call<V>
    where
        V: Cacheable,
    {
        self.call(self.site.shared_key(|| entry().into_key()))
    }

    fn call(&self, key: Key) -> Call<V>
    where
        V: Cacheable,
    {
        Call::new(self.site, key, Codec::json(), ValueShare::alone())
    }
}

/// Never holds; its message is what a user sees who hid a `Result` behind an alias.
#[diagnostic::on_unimplemented(
    message = "the return type hides a `Result`; write `Result<{T}, {E}>`, so that errors are never stored",
    label = "is another name for a `Result`"
)]
pub trait WrittenAsResult<T, E> {
    /// Nobody gets here.
    fn call(&self) -> Call<Result<T, E>>;
}

/// Never holds; its message is what a user sees who hid an `Option` behind an alias.
#[diagnostic::on_unimplemented(
    message = "the return type hides an `Option`; write `Option<{T}>`, so that `None` is told from a value",
    label = "is another name for an `Option`"
)]
pub trait WrittenAsOption<T> {
    /// Nobody gets here.
    fn call(&self) -> Call<Option<T>>;
}

// The macro took the `Result` and the `Option` off, so one that is still there is hidden.
impl<T, E> Cached<Result<T, E>> {
    /// Refuses the type.
    pub fn default_key(&self, _: &[&'static str], _: &[&dyn KeyPart]) -> Call<Result<T, E>>
    where
        Self: WrittenAsResult<T, E>,
    {
        WrittenAsResult::call(self)
    }

    /// Refuses the type.
    pub fn template_key(&self, _: &[&'static str], _: &[&dyn KeyPart]) -> Call<Result<T, E>>
    where
        Self: WrittenAsResult<T, E>,
    {
        WrittenAsResult::call(self)
    }

    /// Refuses the type.
    pub fn shared_key<R>(&self, _: impl FnOnce() -> Entry<R>) -> Call<Result<T, E>>
    where
        Self: WrittenAsResult<T, E>,
    {
        WrittenAsResult::call(self)
    }

    /// Refuses the type.
    pub fn shared_optional_key<R>(&self, _: impl FnOnce() -> Entry<R>) -> Call<Result<T, E>>
    where
        Self: WrittenAsResult<T, E>,
    {
        WrittenAsResult::call(self)
    }
}

impl<T> Cached<Option<T>> {
    /// Refuses the type.
    pub fn default_key(&self, _: &[&'static str], _: &[&dyn KeyPart]) -> Call<Option<T>>
    where
        Self: WrittenAsOption<T>,
    {
        WrittenAsOption::call(self)
    }

    /// Refuses the type.
    pub fn template_key(&self, _: &[&'static str], _: &[&dyn KeyPart]) -> Call<Option<T>>
    where
        Self: WrittenAsOption<T>,
    {
        WrittenAsOption::call(self)
    }

    /// Refuses the type.
    pub fn shared_key<R>(&self, _: impl FnOnce() -> Entry<R>) -> Call<Option<T>>
    where
        Self: WrittenAsOption<T>,
    {
        WrittenAsOption::call(self)
    }

    /// Refuses the type.
    pub fn shared_optional_key<R>(&self, _: impl FnOnce() -> Entry<R>) -> Call<Option<T>>
    where
        Self: WrittenAsOption<T>,
    {
        WrittenAsOption::call(self)
    }
}

/// Asks what a `Result` can do; holds none.
pub struct Probe<T>(ProbeAlone<T>);

/// A [`Probe`] of a `Result` whose error is not `Clone + Send + Sync`.
pub struct ProbeAlone<T>(PhantomData<fn() -> T>);

/// Asks about `T`.
#[must_use]
pub const fn probe<T>() -> Probe<T> {
    Probe(ProbeAlone(PhantomData))
}

impl<T> Deref for Probe<T> {
    type Target = ProbeAlone<T>;
    fn deref(&self) -> &ProbeAlone<T> {
        &self.0
    }
}

impl<T, E: Clone + Send + Sync + 'static> Probe<Result<T, E>> {
    /// Shares by `Clone`.
    #[must_use]
    pub fn error_share(&self) -> ErrorShare<E> {
        ErrorShare::cloned()
    }
}

impl<T, E> ProbeAlone<Result<T, E>> {
    /// Shares nothing.
    #[must_use]
    pub const fn error_share(&self) -> ErrorShare<E> {
        ErrorShare::alone()
    }
}

macro_rules! debug_by_name {
    ($($name:ident)*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}<{}>", stringify!($name), std::any::type_name::<T>())
            }
        }
    )*};
}

debug_by_name!(Cached CachedByClone CachedByBytes Probe ProbeAlone);

/// How the callers of one flight share its value.
pub struct ValueShare<V> {
    functions: Option<Functions<V>>,
}

impl<V: Clone + Send + Sync + 'static> ValueShare<V> {
    /// Keeps clones.
    #[must_use]
    pub fn cloned() -> Self {
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

    /// Clones a value that [`keep`](Self::keep) kept; `None` if it is of another type, or its
    /// `Clone` panics.
    #[must_use]
    pub fn take(&self, kept: &(dyn Any + Send + Sync)) -> Option<V> {
        (self.functions?.take)(kept)
    }
}

/// How the callers of one flight share its error.
pub struct ErrorShare<E> {
    functions: Option<Functions<E>>,
}

impl<E: Clone + Send + Sync + 'static> ErrorShare<E> {
    /// Keeps clones.
    #[must_use]
    pub fn cloned() -> Self {
        Self {
            functions: Some(Functions::cloned()),
        }
    }
}

impl<E> ErrorShare<E> {
    /// Keeps nothing.
    #[must_use]
    pub const fn alone() -> Self {
        Self { functions: None }
    }

    /// Keeps a clone of `error` for others, unless its type cannot be shared or its `Clone` panics.
    #[must_use]
    pub fn keep(&self, error: &E) -> Option<Kept> {
        (self.functions?.keep)(error)
    }

    /// Clones an error that [`keep`](Self::keep) kept; `None` if it is of another type, or its
    /// `Clone` panics.
    #[must_use]
    pub fn take(&self, kept: &(dyn Any + Send + Sync)) -> Option<E> {
        (self.functions?.take)(kept)
    }
}

/// Function pointers are `Copy`, `Send` and `Sync`, whatever `T` is.
struct Functions<T> {
    keep: fn(&T) -> Option<Kept>,
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

impl<T: Clone + Send + Sync + 'static> Functions<T> {
    fn cloned() -> Self {
        Self {
            keep: |value| Some(Arc::new(cloned(value)?)),
            take: |kept| cloned(kept.downcast_ref::<T>()?),
        }
    }
}

/// A clone is made for the cache's sake, so its panic is no reason for a call to fail.
fn cloned<T: Clone>(value: &T) -> Option<T> {
    let mut clone = None;
    // `Clone` only reads, so what a panic leaves half done is the clone, which is dropped. What is returned from in
    // there would be moved.
    let caught = catch_unwind(AssertUnwindSafe(|| clone = Some(value.clone())));
    drop(caught);
    clone
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::error::Error;
    use std::io;
    use std::rc::Rc;

    use super::{ErrorShare, ValueShare, probe};

    #[derive(Debug, Clone, PartialEq)]
    struct Plain(u8);

    type Aliased<T> = Result<T, Box<dyn Error + Send + Sync>>;

    fn is_copy_send_sync<T: Copy + Send + Sync>(_: &T) {}

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

    #[test]
    fn shares_can_be_sent_whatever_they_share() {
        is_copy_send_sync(&ValueShare::<Rc<Cell<u8>>>::alone());
        is_copy_send_sync(&probe::<Result<(), Rc<u8>>>().error_share());
    }

    #[test]
    fn in_a_generic_function_only_the_written_bounds_count() {
        fn unbounded<E>(error: &E) -> bool {
            probe::<Result<(), E>>().error_share().keep(error).is_some()
        }
        fn bounded<E: Clone + Send + Sync + 'static>(error: &E) -> bool {
            probe::<Result<(), E>>().error_share().keep(error).is_some()
        }
        fn nested<E: Clone + Send + Sync + 'static>(error: &Vec<E>) -> bool {
            probe::<Result<(), Vec<E>>>()
                .error_share()
                .keep(error)
                .is_some()
        }
        fn associated<I: Iterator>(error: &I::Item) -> bool
        where
            I::Item: Clone + Send + Sync + 'static,
        {
            probe::<Result<(), I::Item>>()
                .error_share()
                .keep(error)
                .is_some()
        }
        assert!(!unbounded(&1));
        assert!(bounded(&1));
        assert!(nested(&vec![1]));
        assert!(associated::<std::vec::IntoIter<u8>>(&1));
    }

    #[test]
    fn an_error_is_kept_if_it_can_be() {
        let share: ErrorShare<Plain> = probe::<Result<Rc<u8>, Plain>>().error_share();
        let kept = share.keep(&Plain(3)).unwrap();
        assert_eq!(share.take(&*kept), Some(Plain(3)));
        let boxed: ErrorShare<Box<dyn Error>> = probe::<Result<u8, Box<dyn Error>>>().error_share();
        assert!(boxed.keep(&"no".into()).is_none());
        let io: ErrorShare<io::Error> = probe::<io::Result<u8>>().error_share();
        assert!(io.keep(&io::ErrorKind::Other.into()).is_none());
        let aliased = probe::<Aliased<Option<u8>>>().error_share();
        assert!(aliased.keep(&"no".into()).is_none());
    }
}
