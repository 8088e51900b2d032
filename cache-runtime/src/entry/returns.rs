//! What a body may return.

use std::convert::Infallible;

/// What a body may return: `R` itself, or a `Result` of it, of which an `Err` is never stored.
pub trait Returns<R>: Sized {
    /// What a body can fail with; [`Infallible`] where it cannot.
    type Error;

    /// The `Result` that this is, or can be taken for.
    ///
    /// # Errors
    ///
    /// The body's.
    fn into_result(self) -> Result<R, Self::Error>;

    /// The way back.
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
