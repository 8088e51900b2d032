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
mod tests {
    use std::cell::Cell;
    use std::error::Error;
    use std::rc::Rc;
    use std::{fmt, io};

    use super::{ErrorShare, ValueShare, probe};
    use crate::error::shared::SharedError;

    #[derive(Debug, Clone, PartialEq)]
    struct Plain(u8);

    type Aliased<T> = Result<T, Box<dyn Error + Send + Sync>>;

    fn is_copy_send_sync<T: Copy + Send + Sync>(_: &T) {}

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
        let io: ErrorShare<io::Error> = probe::<io::Result<u8>>().error_share();
        assert!(io.keep(&io::ErrorKind::Other.into()).is_none());
    }

    /// What who waits gets of `error`, as the error's own texts.
    fn waits<E: fmt::Display>(share: ErrorShare<E>, error: &E) -> Option<String> {
        let kept = share.keep(error)?;
        share.take(&*kept).map(|error| error.to_string())
    }

    #[test]
    fn an_error_that_can_be_made_of_texts_is_kept_as_texts() {
        let boxed = probe::<Result<u8, Box<dyn Error>>>().error_share();
        assert_eq!(waits(boxed, &"no".into()).unwrap(), "no");
        let aliased = probe::<Aliased<Option<u8>>>().error_share();
        assert_eq!(waits(aliased, &"no".into()).unwrap(), "no");
        let error = Own(Err(io::Error::other("no disk")));
        let own = probe::<Result<u8, Own>>().error_share();
        let waited = own.take(&*own.keep(&error).unwrap()).unwrap();
        assert_eq!(waited.to_string(), "own");
        assert_eq!(waited.source().unwrap().to_string(), "no disk");
        assert!(Result::is_ok(&waited.0), "made of the texts");
        let text = probe::<Result<u8, Text>>().error_share();
        assert_eq!(waits(text, &Text("no".into())).unwrap(), "no");
    }

    #[test]
    fn texts_of_another_type_are_not_taken() {
        let kept = probe::<Result<u8, Text>>()
            .error_share()
            .keep(&Text("no".into()));
        let kept = kept.unwrap();
        let boxed = probe::<Result<u8, Box<dyn Error>>>().error_share();
        assert!(boxed.take(&*kept).is_none());
    }

    #[test]
    fn the_attribute_has_the_first_word() {
        let asked = probe::<Result<u8, Plain>>();
        assert!(asked.errors_alone().keep(&Plain(3)).is_none());
        let by_hand = asked.errors_by_hand(|error| Plain(error.0 + 1));
        let kept = by_hand.keep(&Plain(3)).unwrap();
        assert_eq!(by_hand.take(&*kept), Some(Plain(5)), "copied twice");
        let io = probe::<io::Result<u8>>().errors_by_hand(|error| error.kind().into());
        let kept = io.keep(&io::ErrorKind::NotFound.into()).unwrap();
        let waited = io.take(&*kept).unwrap();
        assert_eq!(waited.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_panic_of_the_errors_own_code_is_an_error_that_is_not_shared() {
        struct NoText;
        impl fmt::Display for NoText {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("no text")
            }
        }
        impl From<SharedError> for NoText {
            fn from(_: SharedError) -> Self {
                Self
            }
        }
        struct NoFrom;
        impl fmt::Display for NoFrom {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
        }
        impl From<SharedError> for NoFrom {
            fn from(_: SharedError) -> Self {
                panic!("no error")
            }
        }
        let no_text = probe::<Result<u8, NoText>>().error_share();
        assert!(no_text.keep(&NoText).is_none());
        let no_from = probe::<Result<u8, NoFrom>>().error_share();
        let kept = no_from.keep(&NoFrom).unwrap();
        assert!(no_from.take(&*kept).is_none());
        let no_copy = probe::<Result<u8, Plain>>().errors_by_hand(|_| panic!("no copy"));
        assert!(no_copy.keep(&Plain(1)).is_none());
    }

    #[test]
    fn in_a_generic_function_only_the_written_bounds_of_an_error_count() {
        fn unbounded<E: 'static>(error: &E) -> bool {
            probe::<Result<(), E>>().error_share().keep(error).is_some()
        }
        fn from_another<E: From<io::Error> + fmt::Display + 'static>(error: &E) -> bool {
            probe::<Result<(), E>>().error_share().keep(error).is_some()
        }
        fn no_text<E: From<SharedError> + 'static>(error: &E) -> bool {
            probe::<Result<(), E>>().error_share().keep(error).is_some()
        }
        fn text<E: From<SharedError> + fmt::Display + 'static>(error: &E) -> bool {
            probe::<Result<(), E>>().error_share().keep(error).is_some()
        }
        fn error<E: From<SharedError> + Error + 'static>(error: &E) -> bool {
            probe::<Result<(), E>>().error_share().keep(error).is_some()
        }
        let own = Own(Err(io::Error::other("no disk")));
        assert!(!unbounded(&own));
        assert!(!from_another::<Box<dyn Error>>(&"no".into()));
        assert!(!no_text(&own));
        assert!(text(&own));
        assert!(error(&own));
    }

    /// An error that is an `Error`, not `Clone`, and can be made of a [`SharedError`].
    #[derive(Debug)]
    struct Own(Result<SharedError, io::Error>);

    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match &self.0 {
                Ok(shared) => shared.fmt(f),
                Err(_) => f.write_str("own"),
            }
        }
    }

    impl Error for Own {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            match &self.0 {
                Ok(shared) => shared.source(),
                Err(error) => Some(error),
            }
        }
    }

    impl From<SharedError> for Own {
        fn from(shared: SharedError) -> Self {
            Self(Ok(shared))
        }
    }

    /// The same of one that is no `Error`.
    struct Text(String);

    impl fmt::Display for Text {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl From<SharedError> for Text {
        fn from(shared: SharedError) -> Self {
            Self(shared.to_string())
        }
    }
}
