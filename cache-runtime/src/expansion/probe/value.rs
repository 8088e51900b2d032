//! What a value can do: how it is compared, and how callers share it.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::{
    entry::Entry,
    expansion::call::{Call, Types},
    key::KeyPart,
    site::{Key, Site},
    value::{
        codec::{Cacheable, Codec},
        policy::Kind,
        share::ValueShare,
    },
};

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
        Call::new(
            self.site,
            key,
            const { &Types::new(Kind::new(Codec::json_and_eq(), ValueShare::cloned())) },
        )
    }
}

impl<V: Clone + Send + Sync + 'static> CachedByClone<V> {
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
        Call::new(
            self.site,
            key,
            const { &Types::new(Kind::new(Codec::json(), ValueShare::cloned())) },
        )
    }
}

impl<V: PartialEq> CachedByBytesAndEq<V> {
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
        Call::new(
            self.site,
            key,
            const { &Types::new(Kind::new(Codec::json_and_eq(), ValueShare::alone())) },
        )
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
        Call::new(
            self.site,
            key,
            const { &Types::new(Kind::new(Codec::json(), ValueShare::alone())) },
        )
    }
}

/// Holds for no type. Its message is for a user who hid a `Result` behind an alias.
#[diagnostic::on_unimplemented(
    message = "the return type hides a `Result`; write `Result<{T}, {E}>`, so that errors are never stored",
    label = "is another name for a `Result`"
)]
pub trait WrittenAsResult<T, E> {
    /// Is never called.
    fn call(&self) -> Call<Result<T, E>>;
}

/// Holds for no type. Its message is for a user who hid an `Option` behind an alias.
#[diagnostic::on_unimplemented(
    message = "the return type hides an `Option`; write `Option<{T}>`, so that `None` is told from a value",
    label = "is another name for an `Option`"
)]
pub trait WrittenAsOption<T> {
    /// Is never called.
    fn call(&self) -> Call<Option<T>>;
}

// The macro takes off a `Result` and an `Option` that it sees, so one that is still there was hidden from it.
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

debug_by_name!(Cached CachedByCloneAndEq CachedByClone CachedByBytesAndEq CachedByBytes);
