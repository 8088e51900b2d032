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
//! | | [`CachedByCloneAndEq`], [`CachedByClone`] | `Clone + Send + Sync`: callers get clones |
//! | | [`CachedByBytesAndEq`], [`CachedByBytes`] | every other type: callers get what the bytes decode to |
//! | | [`CachedByCloneAndEq`], [`CachedByBytesAndEq`] | `PartialEq`: a debug build compares what comes back |
//! | `probe::<T>().error_share()` | [`Probe`] | `Result<_, E>`, `E: Clone + Send + Sync`: callers get clones |
//! | | [`ProbeOfError`] | `E: From<SharedError> + Error`: callers get its texts |
//! | | [`ProbeOfBox`] | `E: From<SharedError>` that derefs to a `dyn Error`: callers get the texts of that |
//! | | [`ProbeOfText`] | `E: From<SharedError> + Display`: callers get its text |
//! | | [`ProbeAlone`] | every other `Result<_, E>`: an error reaches one caller |
//! | `probe::<T>().errors_by_hand(…)`, `.errors_alone()` | [`ProbeAlone`] | any `Result<_, E>`, as `share_errors` says |

use std::any::type_name;
use std::error::Error;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::Deref;

use crate::entry::Entry;
use crate::error::shared::{LentError, SharedError};
use crate::expansion::call::Call;
use crate::key::KeyPart;
use crate::site::{Key, Site};
use crate::value::codec::{Cacheable, Codec};
use crate::value::share::{ErrorShare, ValueShare, keep_texts};

macro_rules! leads_to {
    ($($probe:ident => $next:ident,)*) => {$(
        impl<T> Deref for $probe<T> {
            type Target = $next<T>;
            fn deref(&self) -> &$next<T> {
                &self.0
            }
        }
    )*};
}

/// A call of a function that stores `V`, on its way to a [`Call`].
pub struct Cached<V>(CachedByCloneAndEq<V>);

/// A [`Cached`] of a type that is no `Result` and no `Option`.
pub struct CachedByCloneAndEq<V>(CachedByClone<V>);

/// A [`CachedByCloneAndEq`] of a type that has no `==`, or is not `Clone + Send + Sync`.
pub struct CachedByClone<V>(CachedByBytesAndEq<V>);

/// A [`CachedByClone`] of a type that is not `Clone + Send + Sync`.
pub struct CachedByBytesAndEq<V>(CachedByBytes<V>);

/// A [`CachedByBytesAndEq`] of a type that has no `==`.
pub struct CachedByBytes<V> {
    site: &'static Site,
    value: PhantomData<fn() -> V>,
}

impl Site {
    /// A call of this function, which stores `V`.
    #[must_use]
    pub const fn of<V>(&'static self) -> Cached<V> {
        Cached(CachedByCloneAndEq(CachedByClone(CachedByBytesAndEq(
            CachedByBytes {
                site: self,
                value: PhantomData,
            },
        ))))
    }
}

leads_to!(
    Cached => CachedByCloneAndEq,
    CachedByCloneAndEq => CachedByClone,
    CachedByClone => CachedByBytesAndEq,
    CachedByBytesAndEq => CachedByBytes,
);

impl<V: Clone + Send + Sync + PartialEq + 'static> CachedByCloneAndEq<V> {
    /// The call with the default key.
    pub fn default_key(&self, types: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.key(types, parts);
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::cloned())
    }

    /// The call with a key that the attribute spells out: a literal before, between and after the parts.
    pub fn template_key(&self, literals: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.template_key(type_name::<V>(), literals, parts);
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::cloned())
    }

    /// The call with the key of an entry of another function.
    pub fn shared_key(&self, entry: impl FnOnce() -> Entry<V>) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.shared_key(|| entry().into_key());
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::cloned())
    }

    /// The call with the key of an entry of another function, where both return `Option<V>`.
    pub fn shared_optional_key(&self, entry: impl FnOnce() -> Entry<Option<V>>) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.shared_key(|| entry().into_key());
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::cloned())
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

impl<V: PartialEq> CachedByBytesAndEq<V> {
    /// The call with the default key.
    pub fn default_key(&self, types: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.key(types, parts);
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::alone())
    }

    /// The call with a key that the attribute spells out: a literal before, between and after the parts.
    pub fn template_key(&self, literals: &[&'static str], parts: &[&dyn KeyPart]) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.template_key(type_name::<V>(), literals, parts);
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::alone())
    }

    /// The call with the key of an entry of another function.
    pub fn shared_key(&self, entry: impl FnOnce() -> Entry<V>) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.shared_key(|| entry().into_key());
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::alone())
    }

    /// The call with the key of an entry of another function, where both return `Option<V>`.
    pub fn shared_optional_key(&self, entry: impl FnOnce() -> Entry<Option<V>>) -> Call<V>
    where
        V: Cacheable,
    {
        let key = self.site.shared_key(|| entry().into_key());
        Call::new(self.site, key, Codec::json_and_eq(), ValueShare::alone())
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
pub struct Probe<T>(ProbeOfError<T>);

/// A [`Probe`] of a `Result` whose error is not `Clone + Send + Sync`.
pub struct ProbeOfError<T>(ProbeOfBox<T>);

/// A [`ProbeOfError`] whose error is no `Error` that a [`SharedError`] becomes.
pub struct ProbeOfBox<T>(ProbeOfText<T>);

/// A [`ProbeOfBox`] whose error is no box of an `Error` that a [`SharedError`] becomes.
pub struct ProbeOfText<T>(ProbeAlone<T>);

/// A [`ProbeOfText`] whose error cannot be made from a [`SharedError`], or has no text.
pub struct ProbeAlone<T>(PhantomData<fn() -> T>);

/// Asks about `T`.
#[must_use]
pub const fn probe<T>() -> Probe<T> {
    Probe(ProbeOfError(ProbeOfBox(ProbeOfText(ProbeAlone(
        PhantomData,
    )))))
}

leads_to!(Probe => ProbeOfError, ProbeOfError => ProbeOfBox, ProbeOfBox => ProbeOfText, ProbeOfText => ProbeAlone,);

impl<T, E: Clone + Send + Sync + 'static> Probe<Result<T, E>> {
    /// Shares by `Clone`.
    #[must_use]
    pub fn error_share(&self) -> ErrorShare<E> {
        ErrorShare::cloned()
    }
}

impl<T, E: From<SharedError> + Error + 'static> ProbeOfError<Result<T, E>> {
    /// Shares the texts of the error and of its sources.
    #[must_use]
    pub fn error_share(&self) -> ErrorShare<E> {
        ErrorShare::told(|_, error| keep_texts::<E>(|| SharedError::new(error)))
    }
}

impl<T, E: From<SharedError> + Deref<Target: LentError> + 'static> ProbeOfBox<Result<T, E>> {
    /// Shares the texts of the error in the box and of its sources.
    #[must_use]
    pub fn error_share(&self) -> ErrorShare<E> {
        ErrorShare::told(|_, error| keep_texts::<E>(|| SharedError::new(error.lent())))
    }
}

impl<T, E: From<SharedError> + Display + 'static> ProbeOfText<Result<T, E>> {
    /// Shares the text of the error.
    #[must_use]
    pub fn error_share(&self) -> ErrorShare<E> {
        ErrorShare::told(|_, error| keep_texts::<E>(|| SharedError::of_text(error)))
    }
}

impl<T, E> ProbeAlone<Result<T, E>> {
    /// Shares nothing.
    #[must_use]
    pub const fn error_share(&self) -> ErrorShare<E> {
        ErrorShare::alone()
    }

    /// Shares nothing, whatever the error can do.
    #[must_use]
    pub const fn errors_alone(&self) -> ErrorShare<E> {
        ErrorShare::alone()
    }

    /// Shares copies that `copy` makes, whatever else the error can do.
    #[must_use]
    pub fn errors_by_hand(&self, copy: fn(&E) -> E) -> ErrorShare<E>
    where
        E: ErrorForAll,
    {
        ErrorShare::copied(copy)
    }
}

/// An error that can be kept for callers on other threads.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared by `share_errors`, since it is not `Send + Sync`; return an error that is, or write `share_errors = none`",
    label = "an error that callers on several threads share"
)]
pub trait ErrorForAll: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<E: Send + Sync + 'static> ErrorForAll for E {}

macro_rules! debug_by_name {
    ($($name:ident)*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}<{}>", stringify!($name), std::any::type_name::<T>())
            }
        }
    )*};
}

debug_by_name!(
    Cached CachedByCloneAndEq CachedByClone CachedByBytesAndEq CachedByBytes
    Probe ProbeOfError ProbeOfBox ProbeOfText ProbeAlone
);

#[cfg(test)]
mod tests;
