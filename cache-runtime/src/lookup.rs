//! The read path, from a call to its answer.
//!
//! The one rule: **the cache may save a call its body, and can do nothing else to it**: whatever
//! fails here, the body runs, and what it returned is returned.
//!
//! | step | what happens | may end in |
//! |---|---|---|
//! | near | the store of this process has a value that is [fresh whatever else holds](first_poll::near()) | the answer |
//! | bypass | no cache, no key, or `NoStore` | [`Step::Body`] |
//! | take over | `NoCache`, or a refresh: what is stored or computed now does not count | [`Step::Body`] |
//! | read | the store has a value that can be read: the [freshness](crate::value::freshness) says whether it is the answer, and whether a body runs in the background | [`Step::Answer`], [`Step::Background`] |
//! | join | somebody computes this key: wait for that, but not for ever, nor for oneself; nobody does: lead | [`Step::Answer`], [`Step::Failed`], [`Step::Body`] |
//! | acquire | the right to store; or a value that was stored meanwhile | [`Step::Answer`], [`Step::Body`] |
//! | body | once, whoever waits; a call of `only_if_cached` is parked where one would be needed | the outcome |
//! | store | under the right to store, whose answer says who else may have the outcome | the outcome |
//!
//! The path is cut at the body. All before it, and all after it, knows no types of the user: the value stands in a
//! [`Slot`], and a [`Step`] says what only the typed side can do, in the one file [`body`]. An error is never in
//! here, but for the copy that callers share.
//!
//! A hit waits in [`Question::begin`] alone, with all that it knows in that one frame. Whatever goes beyond a hit is on
//! the heap, so that calls stay small: cached functions call each other.

mod acquire;
mod alarm;
mod background;
mod body;
mod commit;
mod first_poll;
mod join;
mod read;
mod renew;
mod running;
mod slot;
mod wait;
mod within;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use background::{Run, SoftWait};
pub(crate) use body::{Asks, RunOf, Work, get_or_run, inline, refresh};
pub(crate) use commit::prepared;
pub(crate) use first_poll::{near, near_first};
use read::Found;
pub(crate) use renew::renewing;
use running::Body;
pub(crate) use slot::{AsSlot, Held, Lent, Outgoing, Slot};

use crate::{
    cache::{Cache, Inner, global},
    error::{Error, ErrorKind},
    observe::control::{CacheControl, Control, Report, Source},
    site::{Key, Site},
    store::{Seen, budget::Budget, redis::lease::LeaseKeys},
    value::{
        freshness::{Aged, Circumstances, Freshness, Judgement},
        share::Kept,
    },
};

/// What one call of an annotated function asks the cache for.
pub(crate) struct Question<'a> {
    pub(crate) site: &'static Site,
    pub(crate) key: &'a Key,
    /// Default: the global cache.
    pub(crate) cache: Option<&'a Cache>,
    /// Default: the cache's.
    pub(crate) timeout: Option<Duration>,
    /// Default: the attribute's.
    pub(crate) ttl: Option<Duration>,
}

/// What the path comes to before a body runs: the one thing that is left to do, and needs types.
///
/// A variant that is not a hit's is a box, because a hit carries the room for the largest one.
pub(crate) enum Step {
    /// The answer is in the slot.
    Answer,
    /// A body begins in the background. Then the answer is in the slot; or it is there after that wait.
    Background(Box<Run>, Option<Box<SoftWait>>),
    /// The body runs for its caller.
    Body(Box<Body>),
    /// The body that this call waited for failed with that, and no older value serves. Where it is no error of this
    /// function's, the call's own body runs.
    Failed(Kept, Box<Lookup>),
}

/// A future that knows no user types.
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Question<'_> {
    /// All that happens before a body runs. `movable`: the body can run without its caller.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future hands the work to a call that waits for it, which runs its own body.
    pub(crate) async fn begin(&self, slot: &mut dyn Slot, movable: bool) -> Step {
        let control = Control::of_this_call();
        match control.directive() {
            None => {}
            Some(CacheControl::NoCache) => return Step::Body(self.take_over(control, slot).await),
            Some(CacheControl::NoStore) => return Step::Body(bypass(self.site, control).await),
        }
        let Some((cache, key)) = self.place() else {
            return Step::Body(bypass(self.site, control).await);
        };
        let mut lookup = self.look_up(cache, key, control);
        let found = match lookup.read(slot).await {
            Ok(found) => found,
            Err(error) => {
                lookup.failed(&error);
                None
            }
        };
        let mut at_hand = None;
        if let Some(found) = found {
            match lookup.judge(&found, slot.freshness(), movable) {
                Judgement::Fresh => {
                    lookup.hit(&found);
                    return Step::Answer;
                }
                Judgement::RefreshAhead => {
                    lookup.hit(&found);
                    return lookup.refresh_in_background();
                }
                Judgement::StaleInBackoff => {
                    lookup.stale(&found);
                    return Step::Answer;
                }
                Judgement::StaleWhileRevalidate => {
                    lookup.stale(&found);
                    return lookup.refresh_in_background();
                }
                Judgement::StaleAfter(limit) => {
                    return Box::new(lookup).wait_softly(slot, found, limit).await;
                }
                Judgement::StaleIfError => {
                    slot.set_aside();
                    at_hand = Some(found);
                }
                Judgement::Expired => slot.clear(),
            }
        }
        Box::new(lookup).join(slot, at_hand).await
    }

    /// What happens before the body of a refresh, which runs in any case; its value takes the place of what is stored or
    /// computed now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stores nothing; a call that waits for it runs its own body.
    pub(crate) async fn begin_anew(&self, slot: &mut dyn Slot) -> Box<Body> {
        self.take_over(Control::of_this_call(), slot).await
    }

    fn take_over<'a>(&self, control: Control, slot: &'a mut dyn Slot) -> BoxFuture<'a, Box<Body>> {
        let place = (!control.is_only_if_cached())
            .then(|| self.place())
            .flatten();
        let Some((cache, key)) = place else {
            return bypass(self.site, control);
        };
        Box::new(self.look_up(cache, key, control)).take_over(slot)
    }

    /// Puts what is stored into the slot, if a call would be answered that without its body.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn peek(
        &self,
        (cache, key): (Arc<Inner>, Arc<str>),
        slot: &mut dyn Slot,
    ) -> Result<(), Error> {
        if cache.pending.holds(&key) {
            // As whoever asked for it: it passes the breaker, because here no body can answer in its place.
            let timeout = self.timeout.unwrap_or(cache.timeout);
            cache.invalidate(&key, timeout).await?;
        }
        let mut lookup = self.look_up(cache, key, Control::none());
        let found = lookup.read(slot).await?;
        if found.is_none_or(|found| !slot.freshness().answers(found.aged)) {
            slot.clear();
        }
        Ok(())
    }

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

    fn look_up(&self, cache: Arc<Inner>, key: Arc<str>, control: Control) -> Lookup {
        Lookup {
            site: self.site,
            budget: Budget::new(self.timeout.unwrap_or(cache.timeout)),
            key,
            ttl: self.ttl,
            seen: Seen::Nothing,
            outdated: false,
            unreadable: false,
            control,
            cache,
        }
    }
}

/// The body, without the cache.
fn bypass(site: &'static Site, control: Control) -> BoxFuture<'static, Box<Body>> {
    Box::pin(async move {
        if control.is_only_if_cached() {
            match control.park().await {}
        }
        site.counters().bypassed();
        Box::new(Body::Bypassing(site, control))
    })
}

/// The state of one call on its way.
pub(crate) struct Lookup {
    site: &'static Site,
    cache: Arc<Inner>,
    budget: Budget,
    key: Arc<str>,
    ttl: Option<Duration>,
    seen: Seen,
    /// There is an older value, which must not outlive a body that returned nothing to store.
    outdated: bool,
    /// What is stored is no value of this type.
    unreadable: bool,
    control: Control,
}

impl Lookup {
    fn judge(&self, found: &Found, freshness: &Freshness, movable: bool) -> Judgement {
        // Where no body may run, none has to run behind the call for its value to be an answer.
        let none_may_run = self.control.is_only_if_cached();
        let circumstances = Circumstances {
            backs_off: &|| self.backs_off(),
            movable: &|| none_may_run || movable && self.cache.background.is_possible(),
            draw: &draw,
        };
        freshness.judge(found.aged, &circumstances)
    }

    /// Whether the key is left alone, because its last body failed or somebody else is at it.
    fn backs_off(&self) -> bool {
        self.cache.background.backs_off(&self.key)
    }

    /// Counts and reports an answer from the cache.
    fn hit(&mut self, found: &Found) {
        self.site.counters().hit();
        self.report_found(Source::Hit, found);
    }

    /// Counts and reports an answer that is past its ttl.
    fn stale(&mut self, found: &Found) {
        self.site.counters().stale();
        self.report_found(Source::Stale, found);
    }

    /// Answers with the value that was set aside.
    fn fall_back(&mut self, slot: &mut dyn Slot, found: &Found) {
        slot.fall_back();
        self.stale(found);
    }

    fn report_found(&mut self, source: Source, found: &Found) {
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

    fn keys(&self) -> LeaseKeys {
        LeaseKeys::new(&self.cache.prefix, &self.key)
    }

    fn failed(&self, error: &Error) {
        report(self.site, error);
    }
}

impl Drop for Lookup {
    /// Counts the time that the call spent in the store, however the call ended.
    fn drop(&mut self) {
        self.site.counters().in_store(self.budget.spent());
    }
}

/// Boxes the future that `make` makes `of` something, out of line, so that the temporaries of its construction are not part
/// of the caller's stack frame while it is polled.
///
/// Off the path of a hit, so that calls stay small, and those that stand in bodies of others need little of
/// the stack.
#[inline(never)]
pub(crate) fn boxed<A, F: Future>(make: impl FnOnce(A) -> F, of: A) -> Pin<Box<F>> {
    Box::pin(make(of))
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
