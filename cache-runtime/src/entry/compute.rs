//! An entry that a body of the caller's computes.
//!
//! The one rule: **such a body is led, waited for and stored as the function's own is**.

use std::future::Future;

use super::Entry;
use crate::{
    lookup::{get_or_run, inline, refresh},
    value::{returns::Returns, share::ErrorShare},
};

impl<R: 'static> Entry<R> {
    /// Answers as the annotated function does, with another body.
    ///
    /// An error of `body` reaches its caller alone: calls that wait for it run their own bodies, and so does this call where
    /// the body that it waits for fails.
    ///
    /// An entry of [`Cache::entry`](crate::Cache::entry) stores what the body returns only if it has a ttl:
    /// [`with_ttl`](Self::with_ttl).
    ///
    /// # Cancel safety
    ///
    /// As for a call of the function: another call that waits goes on with its own body.
    pub async fn get_or_compute<F>(&self, body: impl FnOnce() -> F) -> F::Output
    where
        F: Future<Output: Returns<R>>,
    {
        get_or_run(self, ErrorShare::alone(), false, inline(body)).await
    }

    /// Runs `body` now, and stores what it returns in the place of what is stored or computed now.
    ///
    /// Errors of the cache are counted; the body's outcome is returned in any case.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped stores nothing.
    pub async fn refresh<F>(&self, body: F) -> F::Output
    where
        F: Future<Output: Returns<R>>,
    {
        refresh(self, body).await
    }
}
