//! Bodies that run behind the call that began them: refreshes, and bodies slower than their call's
//! soft timeout.
//!
//! The one rule: **what runs behind owns all that it uses**, and has a flight, a right to store and a
//! budget of its own like any other run. It is led, waited for and taken over like one.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{Call, acquire::Acquisition, alarm::alarm, boxed, read::Seen, wait, within};
use crate::{
    answer::Answer,
    budget::Budget,
    cache::Inner,
    control::Control,
    flight::{Joined, Lead, Turn},
    policy::Rules,
    refresh::Permit,
    share::ErrorShare,
    site::Site,
    token::Wish,
};

/// A body and its arguments; it runs once at most, in one of two ways.
///
/// The two are closures of this very type and no implementations of a trait: whether a call's future is
/// `Send` would depend on the lifetimes that such a trait is implemented for, and the compiler forgets them
/// before it asks.
pub(crate) struct Work<A, H, B> {
    pub(crate) arguments: A,
    /// Runs the body for its caller: it may borrow.
    pub(crate) here: H,
    /// Runs the body without its caller, if it can.
    pub(crate) behind: Option<B>,
}

/// The type of a [`Work::behind`] that is not there.
type Nowhere<R, E> = fn((), Behind<R>, ErrorShare<E>);

/// A body that only its caller can wait for.
pub(crate) fn here<R, E, H>(here: H) -> Work<(), H, Nowhere<R, E>> {
    Work {
        arguments: (),
        here,
        behind: None,
    }
}

impl<A, H, B> Work<A, H, B> {
    /// Runs the body for its caller.
    pub(super) fn here<F>(self) -> F
    where
        H: FnOnce(A) -> F,
    {
        (self.here)(self.arguments)
    }
}

/// A run that is about to begin behind a call.
pub(crate) struct Behind<R> {
    permit: Permit,
    lead: Lead<Answer>,
    origin: Origin,
    rules: Arc<dyn Rules<R> + Send + Sync>,
}

/// What a run takes with it of the call that began it.
struct Origin {
    site: &'static Site,
    cache: Arc<Inner>,
    key: Arc<str>,
    timeout: Duration,
    ttl: Option<Duration>,
    seen: Seen,
    reason: Reason,
}

/// Why a body runs behind its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The value is stale, or soon will be; the call was answered.
    Refresh,
    /// The call waits, but not for ever.
    SoftTimeout,
}

impl<R> Behind<R> {
    /// Begins the body that `own` makes of the arguments, with owned copies of what they lend.
    pub(crate) fn begin<E, A, G>(
        self,
        own: impl FnOnce(A) -> G,
        arguments: A,
        errors: ErrorShare<E>,
    ) where
        R: Send + 'static,
        E: 'static,
        G: Future<Output = Result<R, E>> + Send + 'static,
    {
        // Copied now, while what is lent is there. It is for the cache's sake, so a panic of the user's
        // `Clone` is no reason for the call to fail; what it leaves half done is dropped.
        let Ok(body) = catch_unwind(AssertUnwindSafe(|| own(arguments))) else {
            let Origin {
                site, cache, key, ..
            } = &self.origin;
            tracing::error!(
                function = %site.place(),
                cause = "a panic, whose message went to the panic hook",
                "an argument's `Clone` panicked, so a body does not run in the background"
            );
            cache.background.failed(key);
            return;
        };
        let Self {
            permit,
            lead,
            origin,
            rules,
        } = self;
        let cache = Arc::clone(&origin.cache);
        let run = origin.run(rules, lead, errors, Box::pin(body));
        cache.background.begin(permit, run);
    }
}

impl<R> Call<'_, R> {
    /// Begins a refresh, unless somebody computes the key already or too many are under way.
    pub(super) fn refresh_behind<A, E, H, B>(&self, errors: ErrorShare<E>, work: Work<A, H, B>)
    where
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        let Some(behind) = work.behind else {
            return;
        };
        if self.control.is_only_if_cached() {
            return;
        }
        let Some(permit) = self.cache.background.permit(self.site) else {
            return;
        };
        if let Some(lead) = self.cache.flights.lead(&self.key)
            && !self.rests_by_now()
        {
            let run = self.behind(permit, lead, Reason::Refresh);
            behind(work.arguments, run, errors);
        }
    }

    /// Runs the body behind, and waits for it, or for whoever runs it already, for `limit`: `None` where
    /// that gave nothing.
    pub(super) async fn run_behind<A, E, H, B>(
        &mut self,
        limit: Duration,
        errors: ErrorShare<E>,
        work: Work<A, H, B>,
    ) -> Option<R>
    where
        B: FnOnce(A, Behind<R>, ErrorShare<E>),
    {
        if self.control.is_only_if_cached() {
            match self.control.park().await {}
        }
        let until = Instant::now() + limit;
        let mut own = work.behind.map(|behind| (work.arguments, behind));
        let mut joined = self.cache.flights.join(&self.key);
        let answer = loop {
            let waiting = match joined {
                Joined::Wait(own) if within::is_own(&own) => {
                    self.site.warn_of_own_key();
                    return None;
                }
                Joined::Wait(waiting) => waiting,
                Joined::Lead(_) if self.rests_by_now() => return None,
                Joined::Lead(lead) => {
                    // A second one goes to the next who waits.
                    let (arguments, behind) = own.take()?;
                    let permit = self.cache.background.permit(self.site)?;
                    let waiting = lead.wait_too();
                    let run = self.behind(permit, lead, Reason::SoftTimeout);
                    behind(arguments, run, errors);
                    waiting
                }
            };
            let cache = Arc::clone(&self.cache);
            let turn = boxed(|| wait::turn(self.site, cache, waiting, own.is_some()));
            let turn = tokio::select! {
                biased;
                turn = turn => turn,
                () = alarm(until) => return None,
            };
            match turn {
                Turn::Answer(answer) => break answer,
                // The attempt of another is over, and may just have stored what this call waits for.
                Turn::Lead(lead) => joined = Joined::Lead(lead),
                Turn::Alone => return None,
            }
        };
        let value = self.take(&answer, &errors)?.ok()?;
        self.missed(None);
        Some(value)
    }

    /// Another run may have failed since this call's value was judged. It let the key rest before its flight
    /// ended, so who leads the next one sees it.
    fn rests_by_now(&self) -> bool {
        self.cache.background.rests(&self.key)
    }

    fn behind(&self, permit: Permit, lead: Lead<Answer>, reason: Reason) -> Behind<R> {
        Behind {
            permit,
            lead,
            origin: Origin {
                site: self.site,
                cache: Arc::clone(&self.cache),
                key: Arc::clone(&self.key),
                timeout: self.budget.whole(),
                ttl: self.ttl,
                seen: self.seen.clone(),
                reason,
            },
            rules: self.rules.kept(),
        }
    }
}

impl Origin {
    async fn run<R, E>(
        self,
        rules: Arc<dyn Rules<R> + Send + Sync>,
        mut lead: Lead<Answer>,
        errors: ErrorShare<E>,
        body: Pin<Box<dyn Future<Output = Result<R, E>> + Send>>,
    ) {
        let Self {
            site,
            cache,
            key,
            timeout: patience,
            ttl,
            seen,
            reason,
        } = self;
        let mut call = Call {
            site,
            budget: Budget::new(patience),
            key,
            rules: &*rules,
            ttl,
            seen,
            outdated: true,
            unreadable: false,
            control: Control::none(),
            cache,
        };
        let refresh = reason == Reason::Refresh;
        let wishes = refresh || rules.freshness().cluster && !lead.is_beside();
        let wish = wishes.then(Wish::new);
        let right = match call.acquire(&mut lead, wish.as_ref()).await {
            Acquisition::Found(found) => return call.share_found(lead, &found.value),
            // Who waits looks for itself; one refresh for all processes is enough.
            Acquisition::Locked { left, .. } => {
                return call.cache.background.leave(&call.key, left);
            }
            Acquisition::Refused if refresh => return call.cache.background.failed(&call.key),
            Acquisition::Refused => None,
            Acquisition::Granted(right) => Some(right),
        };
        site.counters().behind();
        let (limit, background) = (
            call.cache.background_timeout,
            Arc::clone(&call.cache.background),
        );
        let key = Arc::clone(&call.key);
        {
            let mut run = pin!(call.complete(lead, right, errors, || body));
            // The error is the cache's to keep quiet about: the stale value was the answer.
            if timeout(limit, run.as_mut()).await.map(drop).is_err() {
                tracing::warn!(
                    function = %site.place(),
                    cause = "it ran longer than `background_timeout`",
                    ?limit,
                    "a body in the background took too long and was given up"
                );
                // Before the flight ends, which happens with the run.
                background.failed(&key);
            }
        }
        site.counters().in_store(call.budget.spent());
    }
}
