//! The read path, from a call to its answer.
//!
//! The one rule: **the cache may save a call its body, and can do nothing else to it**: whatever
//! fails here, the body runs, and what it returned is returned.
//!
//! | step | what happens |
//! |---|---|
//! | bypass | no cache, or no key: the body |
//! | read | the store has a value that can be read: the answer |
//! | join | somebody computes this key: wait for that; nobody does: lead |
//! | acquire | the right to store; or a value that was stored meanwhile |
//! | body | once, whoever waits |
//! | store | under the right to store; its answer says who else may have the outcome |
//!
//! An `Err` is never held across an await, so a future stays `Send` where its error is not. A body
//! is boxed before it runs: each function around it would multiply its size otherwise, and cached
//! functions call each other.

mod lead;
mod read;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

pub(crate) use lead::kept_in_process;

use crate::{
    answer::Answer,
    budget::Budget,
    cache::{Cache, Inner},
    error::{Error, ErrorKind},
    flight::{Joined, Turn},
    global,
    policy::Rules,
    probe::ErrorShare,
    site::{Key, Site},
    stats::Counters,
    token::Keys,
};

/// One call of an annotated function, and what its attribute says.
pub(crate) struct Lookup<'a, R> {
    pub(crate) site: &'static Site,
    pub(crate) key: &'a Key,
    pub(crate) rules: &'a (dyn Rules<R> + Send + Sync),
    /// Default: the global cache.
    pub(crate) cache: Option<Cache>,
    /// Default: the cache's.
    pub(crate) timeout: Option<Duration>,
    /// Default: the attribute's.
    pub(crate) ttl: Option<Duration>,
}

impl<R> Lookup<'_, R> {
    /// Answers from the cache, else from `body`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future hands the work to a call that waits for it, which runs its own body.
    pub(crate) async fn run<E, F>(
        self,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        let counters = self.site.counters();
        let Some(mut call) = self.begin() else {
            counters.bypassed();
            return timed(counters, Box::pin(body())).await;
        };
        let outcome = call.run(errors, body).await;
        counters.in_store(call.budget.spent());
        outcome
    }

    /// Runs `body` and stores its outcome, whatever is stored or computed now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stores nothing; a call that waits for it runs its own body.
    pub(crate) async fn refresh<E, F>(
        self,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        let counters = self.site.counters();
        let Some(mut call) = self.begin() else {
            counters.bypassed();
            return timed(counters, Box::pin(body())).await;
        };
        let (lead, right) = call.take_over().await;
        let outcome = call.complete(lead, right, errors, body).await;
        counters.in_store(call.budget.spent());
        outcome
    }
}

impl<'a, R> Lookup<'a, R> {
    /// `None`: there is no cache, or the call has no key in it.
    fn begin(self) -> Option<Call<'a, R>> {
        let cache = self
            .cache
            .or_else(global::installed)
            .filter(|cache| !cache.is_shut_down())?;
        let cache = Arc::clone(cache.inner());
        Some(Call {
            site: self.site,
            budget: Budget::new(self.timeout.unwrap_or(cache.timeout)),
            key: self.key.in_cache(&cache.prefix).ok()?,
            rules: self.rules,
            ttl: self.ttl,
            unreadable: None,
            cache,
        })
    }
}

/// The state of one call on its way.
struct Call<'a, R> {
    site: &'static Site,
    cache: Arc<Inner>,
    budget: Budget,
    key: Arc<str>,
    rules: &'a (dyn Rules<R> + Send + Sync),
    ttl: Option<Duration>,
    /// What stands under the key, and is no value of this function's.
    unreadable: Option<Bytes>,
}

impl<R> Call<'_, R> {
    async fn run<E, F>(&mut self, errors: ErrorShare<E>, body: impl FnOnce() -> F) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        if let Some(value) = self.read().await {
            self.site.counters().hit();
            return Ok(value);
        }
        let turn = match self.cache.flights.join(&self.key) {
            Joined::Lead(lead) => Turn::Lead(lead),
            Joined::Wait(turn) => turn.await.unwrap_or(Turn::Alone),
        };
        match turn {
            Turn::Lead(lead) => return self.lead(lead, errors, body).await,
            Turn::Answer(answer) => {
                if let Some(outcome) = self.take(&answer, &errors) {
                    self.site.counters().miss();
                    self.site.counters().coalesced();
                    return outcome;
                }
                // The leader is another function, with the same key and other types.
            }
            Turn::Alone => {}
        }
        self.site.counters().miss();
        timed(self.site.counters(), Box::pin(body())).await
    }

    fn take<E>(&self, answer: &Answer, errors: &ErrorShare<E>) -> Option<Result<R, E>> {
        match answer {
            Answer::Value(value) => self.rules.take(Some(value)).map(Ok),
            Answer::Nothing => self.rules.take(None).map(Ok),
            Answer::Failed(error) => errors.take(&**error).map(Err),
        }
    }

    fn keys(&self) -> Keys {
        Keys::new(&self.cache.prefix, &self.key)
    }

    fn failed(&self, error: &Error) {
        report(self.site.counters(), error);
    }
}

/// Counts an error that no caller gets to see.
pub(crate) fn report(counters: &Counters, error: &Error) {
    counters.error(error.kind());
    if error.kind() == ErrorKind::NoRuntime {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "calls run without the cache");
        }
    }
    tracing::debug!(%error, "the cache failed, the call goes on");
}

/// Runs a body and counts its time, be it dropped or panicking.
async fn timed<F: Future>(counters: &'static Counters, body: F) -> F::Output {
    struct Run {
        counters: &'static Counters,
        start: Instant,
    }
    impl Drop for Run {
        fn drop(&mut self) {
            self.counters.in_body(self.start.elapsed());
        }
    }
    counters.body_run();
    let _run = Run {
        counters,
        start: Instant::now(),
    };
    body.await
}
