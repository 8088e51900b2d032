//! Bodies that run in the background of the call that began them: refreshes, and bodies slower than their call's
//! soft timeout.
//!
//! The one rule: **a run in the background owns all that it uses**, and has a flight, a right to store and a
//! budget of its own like any other run. It is led, waited for and taken over like one.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{
    BoxFuture, Lookup, Slot,
    acquire::Acquisition,
    alarm::alarm,
    course,
    read::Found,
    running::{Answers, Running},
    seam::{AnyRun, BoxRun, CallOf},
    slot::take,
    wait,
};
use crate::{
    cache::{Inner, background::RunPermit, scope},
    flight::{Lead, Turn, Waiting},
    observe::{control::Control, event::Event},
    site::Site,
    store::{budget::Budget, redis::lease::LockRequest},
    value::answer::Answer,
};

/// A run that is about to begin in the background.
pub(super) struct Run {
    permit: RunPermit,
    acquiring: Acquiring,
}

/// A run that is about to ask for its right to store.
pub(super) struct Acquiring {
    lookup: Box<Lookup>,
    lead: Lead<Answer>,
    reason: Reason,
}

/// Why a body runs in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The value is stale, or soon will be; the call was answered.
    Refresh,
    /// The call waits, but not for ever.
    SoftTimeout,
}

impl Acquiring {
    /// The step "acquire"; `None` where the body is not to run.
    pub(super) fn acquire(
        self,
        slot: &mut dyn Slot,
    ) -> BoxFuture<'_, Option<(Box<Running>, Watch)>> {
        let Self {
            mut lookup,
            mut lead,
            reason,
        } = self;
        Box::pin(async move {
            let refresh = reason == Reason::Refresh;
            let wishes = refresh || slot.freshness().cluster && !lead.is_beside();
            let lock_request = wishes.then(LockRequest::new);
            let right = match lookup.acquire(&mut lead, lock_request.as_ref(), slot).await {
                Acquisition::Found(_) => {
                    lookup.share_found(lead, slot);
                    return None;
                }
                // One refresh for all processes is enough; calls that wait for this one look for themselves.
                Acquisition::Locked { left, .. } => {
                    lookup.cache.background.defer(&lookup.key, left);
                    return None;
                }
                Acquisition::Refused if refresh => {
                    lookup.cache.background.failed(&lookup.key);
                    return None;
                }
                Acquisition::Refused => None,
                Acquisition::Granted(right) => Some(right),
            };
            let watch = Watch {
                site: lookup.site,
                cache: Arc::clone(&lookup.cache),
                key: Arc::clone(&lookup.key),
            };
            let running = lookup.led(lead, right, slot, Answers::Nobody);
            Some((running, watch))
        })
    }
}

/// Sees to it that a run in the background ends.
pub(super) struct Watch {
    site: &'static Site,
    cache: Arc<Inner>,
    key: Arc<str>,
}

impl Watch {
    /// Waits for `run`, but not for ever.
    async fn wait(self, mut run: BoxFuture<'static, ()>) {
        let limit = self.cache.background_timeout;
        if timeout(limit, run.as_mut()).await.is_ok() {
            return;
        }
        let scene = self.cache.scene(self.site);
        scene.tell(&Event::GivenUp { limit });
        // Before the flight ends, which is with the run: whoever leads next sees that the key backs off.
        self.cache.background.failed(&self.key);
    }
}

impl AnyRun for Run {
    fn begin(self: Box<Self>, mut slot: Box<dyn Slot>, call: CallOf) {
        let Self { permit, acquiring } = *self;
        let cache = Arc::clone(&acquiring.lookup.cache);
        // It begins with `acquiring`, because a future that is dropped before its first poll drops what it has in the order in
        // which it names that: the flight ends before the arguments that `call` has are dropped.
        let run = async move {
            if let Some((running, watch)) = acquiring.acquire(&mut *slot).await {
                watch.wait(call(course::running(running, slot))).await;
            }
        };
        cache
            .background
            .begin(permit, scope::handed_on(Box::pin(run)));
    }

    fn has_no_body(&self) {
        let lookup = &*self.acquiring.lookup;
        lookup.scene().tell(&Event::NotCloned);
        lookup.cache.background.failed(&lookup.key);
    }
}

/// The wait of a call for a body that it has begun in the background.
pub(super) struct SoftWait {
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
    pub(super) fn answer(
        self: Box<Self>,
        mut slot: Box<dyn Slot>,
    ) -> BoxFuture<'static, Box<dyn Slot>> {
        Box::pin(async move {
            let Self {
                mut lookup,
                waiting,
                until,
                found,
            } = *self;
            // This call can begin one body. If it is handed the lead, dropping that passes it to the next who waits.
            match lookup.wait_until(until, waiting, false).await {
                Some(Turn::Answer(answer)) if take(&mut *slot, &answer) => lookup.missed(),
                _ => lookup.fall_back(&mut *slot, &found),
            }
            slot
        })
    }
}

impl Lookup {
    /// Begins a refresh, unless somebody computes the key already or too many are under way.
    pub(super) fn refresh_in_background(&self) -> Option<BoxRun> {
        if self.control.is_only_if_cached() {
            return None;
        }
        let permit = self.cache.background.permit(self.site)?;
        let lead = self.cache.flights.lead(&self.key)?;
        // Another run may have failed since this call's value was judged. It let the key back off before its flight ended, so a
        // call that leads the next one sees that.
        if self.backs_off() {
            return None;
        }
        Some(Box::new(self.run(permit, lead, Reason::Refresh)))
    }

    /// Waits for a turn, but no longer than until then. `leads`: as [`wait::turn`] has it.
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

    /// A run on behalf of this call, with a budget of its own.
    pub(super) fn run(&self, permit: RunPermit, lead: Lead<Answer>, reason: Reason) -> Run {
        let acquiring = Acquiring {
            lead,
            reason,
            lookup: Box::new(Self {
                site: self.site,
                budget: Budget::new(self.budget.whole()),
                key: Arc::clone(&self.key),
                seen: self.seen.clone(),
                outdated: true,
                unreadable: false,
                control: Control::none(),
                cache: Arc::clone(&self.cache),
            }),
        };
        Run { permit, acquiring }
    }
}
