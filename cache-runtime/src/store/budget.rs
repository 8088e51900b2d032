//! What the cache may cost one call.
//!
//! The one rule: **all cache operations of a call together may take `timeout`, and after one that took too long, or
//! found Redis out of reach, the call makes no other.** The time of bodies is not counted; a wait for another process,
//! which a function asks for, begins the budget anew.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::error::{Error, ErrorKind};

#[derive(Debug)]
pub(crate) struct Budget {
    whole: Duration,
    left: Duration,
    spent: Duration,
    over: bool,
    /// How long the operations before one that timed out took, where that was more than they left to it.
    before: Option<Duration>,
}

/// When an operation begins, and when it must give up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimit {
    pub(crate) start: Instant,
    pub(crate) deadline: Instant,
}

impl Budget {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            whole: timeout,
            left: timeout,
            spent: Duration::ZERO,
            over: false,
            before: None,
        }
    }

    /// How long the operations before one that timed out took, where that was more than they left to it: Redis is so
    /// far away that a second round trip is never done in time.
    pub(crate) fn too_short_after(&self) -> Option<Duration> {
        self.before
    }

    /// The whole of it, as at first.
    pub(crate) fn whole(&self) -> Duration {
        self.whole
    }

    /// Whether no further operation is allowed.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Allows no further operation.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Begins anew, if it did not end: questions between which the call waited were all answered.
    pub(crate) fn refill(&mut self) {
        self.left = self.whole;
    }

    /// The time that operations took.
    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// Runs one operation, which gets the instant at which it must give up.
    pub(crate) async fn spend<T, F>(
        &mut self,
        operation: impl FnOnce(Instant) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let TimeLimit { start, deadline } = self.begin()?;
        let result = operation(deadline).await;
        self.settle(&result, start.elapsed());
        result
    }

    /// Begins one operation, which is to be [settled](Self::settle).
    ///
    /// # Errors
    ///
    /// If no further operation is allowed.
    pub(crate) fn begin(&self) -> Result<TimeLimit, Error> {
        if self.over {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "an earlier operation of this call failed",
            ));
        }
        let start = Instant::now();
        Ok(TimeLimit {
            start,
            deadline: start + self.left,
        })
    }

    /// Takes from it what one operation took.
    pub(crate) fn settle<T>(&mut self, result: &Result<T, Error>, took: Duration) {
        if result.as_ref().is_err_and(Error::is_timeout) {
            let before = self.whole.saturating_sub(self.left);
            self.before = (before >= self.left).then_some(before);
        }
        self.spent += took;
        self.left = self.left.saturating_sub(took);
        if let Err(error) = result {
            self.over |= is_out_of_reach(error) || self.left.is_zero();
        }
    }
}

/// Whether another operation of the same call would be in vain.
pub(crate) fn is_out_of_reach(error: &Error) -> bool {
    error.is_timeout()
        || error.is_unavailable()
        || matches!(error.kind(), ErrorKind::NoRuntime | ErrorKind::Auth)
}
