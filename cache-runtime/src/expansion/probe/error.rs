//! What an error can do: how callers share it.

use std::error::Error;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::Deref;

use crate::{
    error::shared::{LentError, SharedError},
    value::share::{ErrorShare, keep_texts},
};

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

debug_by_name!(Probe ProbeOfError ProbeOfBox ProbeOfText ProbeAlone);
