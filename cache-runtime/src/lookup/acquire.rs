//! The step "acquire", by the one call that leads a flight.
//!
//! The one rule: **nothing is stored, and nobody who came while the body ran is answered, without
//! the proof that nothing was invalidated since the body began.** That proof is the [`Right`], which is acquired here.

use std::time::{Duration, Instant};

use tokio::task::yield_now;

use super::{
    BoxFuture, Decided, Lookup, Slot, Step, read::Found, running::Answers, seam::Caller, wait,
};
use crate::{
    flight::{Joined, Lead},
    observe::event::Event,
    store::{
        Acquired, Right,
        redis::lease::{LockRequest, LockedElsewhere},
    },
    value::answer::Answer,
};

/// What came of asking for the right to store.
pub(super) enum Acquisition {
    /// Somebody stored a value meanwhile, which is in the slot.
    Found(Found),
    Granted(Right),
    /// Another process computes the value, and lets its lock go after this long unless it renews it.
    Locked {
        elsewhere: LockedElsewhere,
        left: Duration,
    },
    /// The body runs, and nothing is stored.
    Refused,
}

impl Lookup {
    /// The step "acquire", for all who wait. `reads`: the question is the call's read as well. `at_hand`: a stale value
    /// that was set aside, which serves where the body fails, or another process is at it.
    pub(super) async fn lead(
        mut self: Box<Self>,
        mut lead: Lead<Answer>,
        reads: bool,
        slot: &mut dyn Slot,
        at_hand: Option<Found>,
    ) -> Step {
        if lead.unanswered() {
            self.budget.end();
        }
        // No lock for a value that is not going to be stored, because other processes would wait for it in
        // vain; nor beside another lead, because this call has waited long enough.
        let together = slot.freshness().cluster && !self.is_too_large() && !lead.is_beside();
        let mut lock_request = together.then(LockRequest::new);
        let patience = Instant::now() + self.cache.cluster_wait;
        let mut attempt = 0;
        let right = loop {
            match self.acquire(&mut lead, lock_request.as_ref(), slot).await {
                Acquisition::Found(found) => {
                    self.share_found(lead, slot);
                    self.hit(&found);
                    return Step::Answer;
                }
                Acquisition::Granted(right) => {
                    self.scene().misses().missed();
                    break Some(right);
                }
                Acquisition::Refused => {
                    self.scene().misses().end_row();
                    break None;
                }
                Acquisition::Locked { elsewhere, left } => {
                    if let Some(found) = at_hand {
                        // The end of the lead is no loss for those who wait: they have a value of their own, or lead on.
                        self.cache.background.defer(&self.key, left);
                        self.fall_back(slot, &found);
                        return Step::Answer;
                    }
                    let until = patience.min(Instant::now() + left);
                    let changed = elsewhere.changed(attempt, until);
                    wait::for_another(&mut lead, self.cache.run_wait, changed).await;
                    self.budget.refill();
                    attempt += 1;
                    // A call that has waited long enough computes beside the holder, and may store as well.
                    lock_request = lock_request
                        .filter(|_| Instant::now() < patience)
                        .map(LockRequest::after_waiting);
                }
            }
        };
        if reads && self.cache.store.reading() > 0 {
            // A GET of a call that came at the same moment is answered by now, too. That call joins before the body begins, so
            // that it needs no proof of the outcome, and no run of its own where the body fails at once. Where nobody reads, the
            // way to the scheduler and back would make a miss a tenth dearer.
            yield_now().await;
        }
        Step::Body(self.led(lead, right, slot, Answers::Caller(at_hand)))
    }

    /// Gives the lead of the key to a call that is to ask for the right to store before it has read: the question is its
    /// read, and spares it a round trip where nothing is stored. `None` unless the calls of the function have found nothing
    /// lately, and nobody computes the key; and where more is wanted than a fresh value or a body: an older value, the lock, no
    /// body at all, or a report.
    pub(super) fn lead_at_once(&self, caller: &dyn Caller) -> Option<Lead<Answer>> {
        if !self.scene().misses().is_one_likely() || !self.cache.store.is_shared() {
            return None;
        }
        let freshness = caller.freshness();
        let is_plain = !freshness.needs_stamp() && !freshness.cluster;
        let may_lead = is_plain && !self.control.is_only_if_cached() && !self.control.reports();
        may_lead.then(|| self.cache.flights.lead(&self.key))?
    }

    /// The step "read" of a call that leads at once, and all that comes before its body.
    pub(super) fn read_as_leader(
        self: Box<Self>,
        lead: Lead<Answer>,
        mut slot: Box<dyn Slot>,
    ) -> BoxFuture<'static, Decided> {
        Box::pin(async move {
            let step = self.lead(lead, true, &mut *slot, None).await;
            (step, slot)
        })
    }

    /// Takes the key over from whoever computes it: a flight of its own, and a lease of its own.
    pub(super) fn take_over(
        mut self: Box<Self>,
        slot: Box<dyn Slot>,
    ) -> BoxFuture<'static, Decided> {
        Box::pin(async move {
            self.outdated = true;
            let mut lead = loop {
                self.cache.flights.detach(&self.key, || ());
                if let Joined::Lead(lead) = self.cache.flights.join(&self.key) {
                    break lead;
                }
            };
            let Self {
                cache, budget, key, ..
            } = &mut *self;
            let place = (&*cache.prefix, &*key);
            let right = match cache.store.seize(&mut lead, place, budget).await {
                Ok(right) => Some(right),
                Err(error) => {
                    self.failed(&error);
                    None
                }
            };
            let running = self.led(lead, right, &*slot, Answers::Caller(None));
            (Step::Body(running), slot)
        })
    }

    /// The step "acquire". `lock_request`: to be the only one in all processes.
    pub(super) async fn acquire(
        &mut self,
        lead: &mut Lead<Answer>,
        lock_request: Option<&LockRequest>,
        slot: &mut dyn Slot,
    ) -> Acquisition {
        if self.budget.is_over() {
            return Acquisition::Refused;
        }
        // What is found may be shared with callers who came after an invalidation failed.
        let finished = match self.finish_invalidation() {
            Some(finished) => finished.await,
            None => Ok(()),
        };
        if let Err(error) = finished {
            self.failed(&error);
            return Acquisition::Refused;
        }
        // Asked a second time where the value that was found is of no use.
        for _ in 0..2 {
            let Self {
                cache,
                budget,
                key,
                seen,
                ..
            } = self;
            let place = (&*cache.prefix, &*key);
            let acquired = cache
                .store
                .acquire(lead, place, lock_request, seen, budget)
                .await;
            match acquired {
                Ok(Acquired::Right(right)) => return Acquisition::Granted(right),
                Ok(Acquired::Locked { elsewhere, left }) => {
                    return Acquisition::Locked { elsewhere, left };
                }
                Ok(Acquired::Value(standing)) => {
                    let found = self.take(standing, slot).await;
                    if let Some(found) = found
                        && found.is_fresh()
                    {
                        return Acquisition::Found(found);
                    }
                    slot.clear();
                }
                Err(error) => {
                    self.failed(&error);
                    if let Some(took) = self.budget.too_short_after() {
                        let timeout = self.budget.whole();
                        self.scene().tell(&Event::Distant { took, timeout });
                    }
                    break;
                }
            }
        }
        Acquisition::Refused
    }

    /// Ends a flight for which the store has a value after all, which is in the slot.
    pub(super) fn share_found(&self, lead: Lead<Answer>, slot: &dyn Slot) {
        if lead.has_waiters()
            && let Some(answer) = self.shareable(slot, None)
        {
            lead.finish(&answer);
        }
        // A lead that is dropped makes those who still wait look for themselves.
    }

    /// The key's body, or what it returned, is of no use: it is left alone for a while.
    pub(super) fn back_off(&self, slot: &dyn Slot) {
        if slot.freshness().needs_stamp() {
            self.cache.background.failed(&self.key);
        }
    }

    /// The key's body is of use again.
    pub(super) fn end_backoff(&self, slot: &dyn Slot) {
        if slot.freshness().needs_stamp() {
            self.cache.background.end_backoff(&self.key);
        }
    }
}
