//! Bodies that run in the background of the call that began them: refreshes, and bodies slower than their call's
//! soft timeout.
//!
//! The one rule: **a run in the background owns all that it uses**, and has a flight, a right to store and a
//! budget of its own like any other run. It is led, waited for and taken over like one.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{
    BoxFuture, Lookup, Slot, Step,
    acquire::Acquisition,
    alarm::alarm,
    body,
    join::take,
    read::Found,
    running::{Body, LedBody, Running},
    slot::{AsSlot, Held},
    wait,
};
use crate::{
    answer::Answer,
    budget::Budget,
    cache::Inner,
    control::Control,
    flight::{Lead, Turn, Waiting},
    policy::Rules,
    refresh::Permit,
    share::ErrorShare,
    site::Site,
    store::lease::LockRequest,
};

/// A run that is about to begin in the background.
pub(crate) struct Run {
    permit: Permit,
    lookup: Box<Lookup>,
    lead: Lead<Answer>,
    reason: Reason,
}

/// Why a body runs in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The value is stale, or soon will be; the call was answered.
    Refresh,
    /// The call waits, but not for ever.
    SoftTimeout,
}

/// A [`Run`] with what knows the type of its value.
pub(crate) struct RunOf<R> {
    run: Box<Run>,
    rules: Arc<dyn Rules<R> + Send + Sync>,
    as_slot: AsSlot<R>,
}

impl<R> RunOf<R> {
    pub(super) fn new(
        run: Box<Run>,
        rules: Arc<dyn Rules<R> + Send + Sync>,
        as_slot: AsSlot<R>,
    ) -> Self {
        Self {
            run,
            rules,
            as_slot,
        }
    }

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
        match catch_unwind(AssertUnwindSafe(|| own(arguments))) {
            Ok(body) => self.begin_owned(Box::pin(body), errors),
            Err(_) => self.run.has_no_body(),
        }
    }

    fn begin_owned<E: 'static>(self, body: OwnedBody<R, E>, errors: ErrorShare<E>)
    where
        R: Send + 'static,
    {
        let Self {
            run,
            rules,
            as_slot,
        } = self;
        let Run {
            permit,
            lookup,
            lead,
            reason,
        } = *run;
        let cache = Arc::clone(&lookup.cache);
        let run = async move {
            let mut held = Held::new(&*rules, as_slot);
            if let Some((begun, watch)) = acquire(lookup, lead, reason, held.slot()).await {
                let run = body::run(begun, &mut held, errors, body);
                // The error is the cache's to keep quiet about: the stale value was the answer.
                let mut run = std::pin::pin!(run);
                if timeout(watch.limit(), run.as_mut())
                    .await
                    .map(drop)
                    .is_err()
                {
                    // Before the flight ends, which happens with the run.
                    watch.gave_up();
                }
            }
        };
        begin(&cache, permit, Box::pin(run));
    }
}

/// A body that owns all that it uses.
type OwnedBody<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

/// Begins a run that knows no types.
fn begin(cache: &Inner, permit: Permit, run: BoxFuture<'static, ()>) {
    cache.background.begin(permit, run);
}

/// The step "acquire" of a run in the background; `None` where its body is not to run.
fn acquire(
    mut lookup: Box<Lookup>,
    mut lead: Lead<Answer>,
    reason: Reason,
    slot: &mut dyn Slot,
) -> BoxFuture<'_, Option<(Running, Watch)>> {
    Box::pin(async move {
        let refresh = reason == Reason::Refresh;
        let wishes = refresh || slot.freshness().cluster && !lead.is_beside();
        let lock_request = wishes.then(LockRequest::new);
        let right = match lookup.acquire(&mut lead, lock_request.as_ref(), slot).await {
            Acquisition::Found(_) => {
                lookup.share_found(lead, slot);
                return None;
            }
            // Who waits looks for itself; one refresh for all processes is enough.
            Acquisition::Locked { left, .. } => {
                lookup.cache.background.leave(&lookup.key, left);
                return None;
            }
            Acquisition::Refused if refresh => {
                lookup.cache.background.failed(&lookup.key);
                return None;
            }
            Acquisition::Refused => None,
            Acquisition::Granted(right) => Some(right),
        };
        lookup.site.counters().behind();
        let watch = Watch {
            site: lookup.site,
            cache: Arc::clone(&lookup.cache),
            key: Arc::clone(&lookup.key),
        };
        let body = Body::Led(LedBody {
            lookup,
            lead,
            right,
            at_hand: None,
            backs_off: slot.freshness().needs_stamp(),
            is_in_background: true,
        });
        Some((Box::new(body).begin(), watch))
    })
}

/// Sees to it that a run in the background ends.
struct Watch {
    site: &'static Site,
    cache: Arc<Inner>,
    key: Arc<str>,
}

impl Watch {
    fn limit(&self) -> Duration {
        self.cache.background_timeout
    }

    /// The run took too long.
    fn gave_up(&self) {
        tracing::warn!(
            function = %self.site.place(),
            cause = "it ran longer than `background_timeout`",
            limit = ?self.limit(),
            "a body in the background took too long and was given up"
        );
        self.cache.background.failed(&self.key);
    }
}

impl Run {
    /// Copying the body's arguments panicked.
    fn has_no_body(&self) {
        let Lookup {
            site, cache, key, ..
        } = &*self.lookup;
        tracing::error!(
            function = %site.place(),
            cause = "a panic, whose message went to the panic hook",
            "an argument's `Clone` panicked, so a body does not run in the background"
        );
        cache.background.failed(key);
    }
}

/// The wait of a call for a body that it has begun in the background.
pub(crate) struct SoftWait {
    lookup: Box<Lookup>,
    waiting: Waiting<Answer>,
    until: Instant,
    /// The stale value that was set aside.
    found: Found,
}

impl SoftWait {
    pub(super) fn new(
        lookup: Box<Lookup>,
        waiting: Waiting<Answer>,
        until: Instant,
        found: Found,
    ) -> Self {
        Self {
            lookup,
            waiting,
            until,
            found,
        }
    }

    /// Puts the answer into the slot: what the body returned, else the stale value.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the body to itself.
    pub(super) fn answer(self: Box<Self>, slot: &mut dyn Slot) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Self {
                mut lookup,
                waiting,
                until,
                found,
            } = *self;
            // This call can begin one body. If it is handed the lead, dropping that passes it to the next who waits.
            match lookup.wait_until(until, waiting, false).await {
                Some(Turn::Answer(answer)) if take(slot, &answer) => {
                    lookup.missed(None);
                    lookup.count_time();
                }
                _ => drop(lookup.fall_back(slot, &found)),
            }
        })
    }
}

impl Lookup {
    /// Begins a refresh, unless somebody computes the key already or too many are under way.
    pub(super) fn refresh_in_background(&self) -> Step {
        self.count_time();
        if self.control.is_only_if_cached() {
            return Step::Answer;
        }
        let Some(permit) = self.cache.background.permit(self.site) else {
            return Step::Answer;
        };
        match self.cache.flights.lead(&self.key) {
            // Another run may have failed since this call's value was judged. It let the key rest before its flight
            // ended, so a call that leads the next one sees that.
            Some(lead) if !self.rests() => {
                Step::Background(Box::new(self.run(permit, lead, Reason::Refresh)), None)
            }
            _ => Step::Answer,
        }
    }

    pub(super) fn run_after_soft_timeout(&self, permit: Permit, lead: Lead<Answer>) -> Run {
        self.run(permit, lead, Reason::SoftTimeout)
    }

    /// Waits for a turn until then.
    pub(super) async fn wait_until(
        &self,
        until: Instant,
        waiting: Waiting<Answer>,
        leads: bool,
    ) -> Option<Turn<Answer>> {
        tokio::select! {
            biased;
            turn = wait::turn(self.site, Arc::clone(&self.cache), waiting, leads) => Some(turn),
            () = alarm(until) => None,
        }
    }

    fn run(&self, permit: Permit, lead: Lead<Answer>, reason: Reason) -> Run {
        Run {
            permit,
            lead,
            reason,
            lookup: Box::new(Self {
                site: self.site,
                budget: Budget::new(self.budget.whole()),
                key: Arc::clone(&self.key),
                ttl: self.ttl,
                seen: self.seen.clone(),
                outdated: true,
                unreadable: false,
                control: Control::none(),
                cache: Arc::clone(&self.cache),
            }),
        }
    }
}
