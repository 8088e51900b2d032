//! What a body may return.
//!
//! The one rule: **an `Err` is never stored**.

use std::convert::Infallible;

/// What a body may return: `R` itself, or a `Result` of it, of which an `Err` is never stored.
pub trait Returns<R>: Sized {
    /// The error of a body; [`Infallible`] where it cannot fail.
    type Error;

    /// This as a `Result`.
    ///
    /// # Errors
    ///
    /// The body's error.
    fn into_result(self) -> Result<R, Self::Error>;

    /// A body's output of its `Result`.
    fn from_result(result: Result<R, Self::Error>) -> Self;
}

impl<R> Returns<R> for R {
    type Error = Infallible;

    fn into_result(self) -> Result<R, Infallible> {
        Ok(self)
    }

    fn from_result(result: Result<R, Infallible>) -> Self {
        match result {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

impl<R, E> Returns<R> for Result<R, E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }

    fn from_result(result: Self) -> Self {
        result
    }
}
