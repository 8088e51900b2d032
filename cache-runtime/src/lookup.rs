//! The read path, from a call to its answer.
//!
//! The one rule: **the cache may save a call its body, and can do nothing else to it**: whatever
//! fails here, the body runs, and what it returned is returned.
//!
//! | step | what happens |
//! |---|---|
//! | near | the store of this process has a value that is [fresh whatever else holds](first_poll::near()): that |
//! | bypass | no cache, no key, or `NoStore`: the body |
//! | read | the store has a value that can be read: the [policy](crate::policy) says whether it is the answer, and whether a body runs behind it |
//! | join | somebody computes this key: wait for that, but not for ever, nor for oneself; nobody does: lead |
//! | acquire | the right to store; or a value that was stored meanwhile |
//! | body | once, whoever waits |
//! | store | under the right to store; its answer says who else may have the outcome |
//!
//! A stale value serves only the call whose own read brought it. An `Err` is never held across an await,
//! so a future stays `Send` where its error is not. A body is boxed before it runs: each function around
//! it would multiply its size otherwise, and cached functions call each other.

mod acquire;
mod alarm;
mod background;
mod commit;
mod first_poll;
mod read;
mod renew;
mod wait;
mod within;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) use acquire::Granted;
pub(crate) use background::{Behind, Work, here};
pub(crate) use commit::{Written, kept_in_process, written};
pub(crate) use first_poll::{near, near_first};
pub(crate) use read::age;
use read::{Found, Seen};
pub(crate) use renew::renewing;

use crate::{
    answer::Answer,
    budget::Budget,
    cache::{Cache, Inner},
    control::{CacheControl, Control, Report, Source},
    error::{Error, ErrorKind},
    flight::{Joined, Turn},
    global,
    policy::{Aged, Circumstances, Judgement, Rules},
    share::ErrorShare,
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
    pub(crate) cache: Option<&'a Cache>,
    /// Default: the cache's.
    pub(crate) timeout: Option<Duration>,
    /// Default: the attribute's.
    pub(crate) ttl: Option<Duration>,
}

impl<R> Lookup<'_, R> {
    /// Answers from the cache, else from the body that `work` is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future hands the work to a call that waits for it, which runs its own body.
    pub(crate) async fn run<A, E, F, H, B>(
        self,
        errors: ErrorShare<E>,
        work: Work<A, H, B>,
    ) -> Result<R, E>
    where
        H: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        let control = Control::of_this_call();
        match control.directive() {
            None => {}
            Some(CacheControl::NoCache) => {
                return boxed(|| self.renew(control, errors, work)).await;
            }
            Some(CacheControl::NoStore) => return boxed(|| self.bypass(control, work)).await,
        }
        let Some(place) = self.place() else {
            return boxed(|| self.bypass(control, work)).await;
        };
        let mut call = self.begin(place, control);
        let outcome = call.run(errors, work).await;
        call.site.counters().in_store(call.budget.spent());
        outcome
    }

    /// Runs `work` and stores its outcome, whatever is stored or computed now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stores nothing; a call that waits for it runs its own body.
    pub(crate) async fn refresh<A, E, F, H, B>(
        self,
        errors: ErrorShare<E>,
        work: Work<A, H, B>,
    ) -> Result<R, E>
    where
        H: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        let control = Control::of_this_call();
        self.renew(control, errors, work).await
    }

    async fn renew<A, E, F, H, B>(
        self,
        control: Control,
        errors: ErrorShare<E>,
        work: Work<A, H, B>,
    ) -> Result<R, E>
    where
        H: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        if control.is_only_if_cached() {
            match control.park().await {}
        }
        let Some(place) = self.place() else {
            return boxed(|| self.bypass(control, work)).await;
        };
        let mut call = self.begin(place, control);
        let (lead, right) = call.take_over().await;
        let (outcome, ttl) = call
            .complete(lead, right, errors, || boxed(|| work.here()))
            .await;
        call.site.counters().in_store(call.budget.spent());
        call.answer_or(outcome, None, ttl)
    }

    /// Runs the body, without the cache.
    async fn bypass<A, E, F, H, B>(self, mut control: Control, work: Work<A, H, B>) -> Result<R, E>
    where
        H: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        if control.is_only_if_cached() {
            match control.park().await {}
        }
        self.site.counters().bypassed();
        let outcome = timed(self.site.counters(), boxed(|| work.here())).await;
        // Only now, so that no call in the body is taken for this one, nor a later one.
        control.report(Report::bypass());
        outcome
    }
}

impl<'a, R> Lookup<'a, R> {
    /// The cache, and the whole key in it; `None` if there is no cache, or the call has no key.
    fn place(&self) -> Option<(Arc<Inner>, Arc<str>)> {
        let open = |cache: &Cache| (!cache.is_shut_down()).then(|| Arc::clone(cache.inner()));
        let cache = match self.cache {
            Some(cache) => open(cache),
            None => {
                global::with_installed(open).or_else(|| global::installed().as_ref().and_then(open))
            }
        }?;
        let key = self.key.in_cache(&cache.prefix).ok()?;
        Some((cache, key))
    }

    fn begin(self, (cache, key): (Arc<Inner>, Arc<str>), control: Control) -> Call<'a, R> {
        Call {
            site: self.site,
            budget: Budget::new(self.timeout.unwrap_or(cache.timeout)),
            key,
            rules: self.rules,
            ttl: self.ttl,
            seen: Seen::Nothing,
            outdated: false,
            unreadable: false,
            control,
            cache,
        }
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
    seen: Seen,
    /// There is an older value, which must not outlive a body that returned nothing to store.
    outdated: bool,
    /// What is stored is no value of this type.
    unreadable: bool,
    control: Control,
}

impl<R> Call<'_, R> {
    async fn run<A, E, F, H, B>(
        &mut self,
        errors: ErrorShare<E>,
        work: Work<A, H, B>,
    ) -> Result<R, E>
    where
        H: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        let mut at_hand = None;
        if let Some(found) = self.read().await {
            match self.judge(&found, work.behind.is_some()) {
                Judgement::Fresh => return Ok(self.hit(found)),
                Judgement::RefreshAhead => {
                    self.refresh_behind(errors, work);
                    return Ok(self.hit(found));
                }
                Judgement::StaleAtRest => return Ok(self.stale(found)),
                Judgement::StaleWhileRevalidate => {
                    self.refresh_behind(errors, work);
                    return Ok(self.stale(found));
                }
                Judgement::StaleAfter(limit) => {
                    let outcome = boxed(|| self.run_behind(limit, errors, work)).await;
                    return Ok(match outcome {
                        Some(value) => value,
                        None => self.stale(found),
                    });
                }
                Judgement::StaleIfError => at_hand = Some(found),
                Judgement::Expired => {}
            }
        }
        if self.control.is_only_if_cached() {
            match self.control.park().await {}
        }
        boxed(|| self.compute(errors, work, at_hand)).await
    }

    /// The steps from "join" on. `at_hand`: a stale value that serves where the body fails.
    async fn compute<A, E, F, H, B>(
        &mut self,
        errors: ErrorShare<E>,
        work: Work<A, H, B>,
        at_hand: Option<Found<R>>,
    ) -> Result<R, E>
    where
        H: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        let turn = match self.cache.flights.join(&self.key) {
            Joined::Lead(lead) => Turn::Lead(lead),
            Joined::Wait(own) if within::is_own(&own) => {
                drop(own);
                self.site.warn_of_own_key();
                let outcome = timed(self.site.counters(), boxed(|| work.here())).await;
                return self.answer_or(outcome, at_hand, None);
            }
            Joined::Wait(waiting) => {
                let cache = Arc::clone(&self.cache);
                boxed(|| wait::turn(self.site, cache, waiting, true)).await
            }
        };
        let rests = || self.cache.background.rests(&self.key);
        match (turn, at_hand) {
            // What the one before came to is what this call would come to.
            (Turn::Lead(_), Some(found)) if rests() => return Ok(self.stale(found)),
            (Turn::Lead(lead), at_hand) => {
                return boxed(|| self.lead(lead, errors, work, at_hand)).await;
            }
            (Turn::Answer(answer), at_hand) => {
                if let Some(outcome) = self.take(&answer, &errors) {
                    if outcome.is_ok() || at_hand.is_none() {
                        self.site.counters().coalesced();
                    }
                    return self.answer_or(outcome, at_hand, None);
                }
                // The leader has the same key and other types, or another body.
                if let (Answer::Failed(_), Some(found)) = (answer, at_hand) {
                    return Ok(self.stale(found));
                }
            }
            // The leader failed in a way that cannot be shared.
            (Turn::Alone, Some(found)) => return Ok(self.stale(found)),
            (Turn::Alone, None) => {}
        }
        self.missed(None);
        timed(self.site.counters(), boxed(|| work.here())).await
    }

    /// A body's outcome, or the stale value in the place of its error. `ttl`: for how long it was stored.
    fn answer_or<E>(
        &mut self,
        outcome: Result<R, E>,
        at_hand: Option<Found<R>>,
        ttl: Option<Duration>,
    ) -> Result<R, E> {
        match (outcome, at_hand) {
            (Err(_), Some(found)) => Ok(self.stale(found)),
            (outcome, _) => {
                self.missed(ttl);
                outcome
            }
        }
    }

    fn take<E>(&self, answer: &Answer, errors: &ErrorShare<E>) -> Option<Result<R, E>> {
        match answer {
            Answer::Value(value) => self.rules.take(Some(value)).map(Ok),
            Answer::Nothing => self.rules.take(None).map(Ok),
            Answer::Failed(error) => errors.take(&**error).map(Err),
        }
    }

    fn judge(&self, found: &Found<R>, movable: bool) -> Judgement {
        // Where no body may run, none has to run behind the call for its value to be an answer.
        let none_may_run = self.control.is_only_if_cached();
        let circumstances = Circumstances {
            at_rest: &|| self.cache.background.rests(&self.key),
            movable: &|| none_may_run || movable && self.cache.background.is_possible(),
            draw: &draw,
        };
        self.rules.freshness().judge(found.aged, &circumstances)
    }

    /// Counts and reports an answer from the cache.
    fn hit(&mut self, found: Found<R>) -> R {
        self.site.counters().hit();
        self.answered(Source::Hit, &found);
        found.value
    }

    /// The same of an answer past its ttl.
    fn stale(&mut self, found: Found<R>) -> R {
        self.site.counters().stale();
        self.answered(Source::Stale, &found);
        found.value
    }

    fn answered(&mut self, source: Source, found: &Found<R>) {
        if self.control.reports() {
            let left = |aged: Aged| aged.fresh_for.saturating_sub(aged.age);
            self.control.report(Report {
                source,
                tier: Some(found.tier),
                age: found.aged.map(|aged| aged.age),
                ttl: found.aged.map(left).or(found.left),
                key: Some(Arc::clone(&self.key)),
            });
        }
    }

    /// Counts and reports a call that a body answers. `ttl`: for how long that was stored.
    fn missed(&mut self, ttl: Option<Duration>) {
        self.site.counters().miss();
        if self.control.reports() {
            self.control.report(Report {
                source: Source::Miss,
                tier: None,
                age: ttl.map(|_| Duration::ZERO),
                ttl,
                key: Some(Arc::clone(&self.key)),
            });
        }
    }

    fn keys(&self) -> Keys {
        Keys::new(&self.cache.prefix, &self.key)
    }

    fn failed(&self, error: &Error) {
        report(self.site, error);
    }
}

/// A future on the heap, made in a frame of its own: what is made and moved there is gone when it is polled.
///
/// Off the path of a hit, so that calls stay small, and those that stand in bodies of others need little of
/// the stack.
#[inline(never)]
pub(crate) fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

/// A random number in (0, 1].
pub(crate) fn draw() -> f64 {
    1.0 - fastrand::f64()
}

/// Counts an error that no caller gets to see.
pub(crate) fn report(site: &Site, error: &Error) {
    site.counters().error(error.kind());
    if error.kind() == ErrorKind::NoRuntime {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(function = %site.place(), cause = error.told(), "calls run without the cache");
        }
    }
    if let Some(remedy) = error.remedy() {
        site.warn_refused(error, remedy);
    }
    tracing::debug!(function = %site.place(), cause = error.told(), "the cache failed, the call goes on");
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
