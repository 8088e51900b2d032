//! The step "store", and the end of a flight whose outcome is not stored.
//!
//! The one rule: **whoever came before the body began is answered at once; who came later, only when the
//! right to store has proved that nothing was invalidated since.**
//!
//! A value that cannot be stored is shared as a clone, where its type has one; else those who wait run their bodies.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Lookup, Outgoing, Slot};
use crate::{
    base::runtime,
    cache::Inner,
    error::Error,
    flight::Lead,
    observe::{
        Scene,
        event::{Event, Refusal},
    },
    site::Site,
    store::{
        Prepared, Right,
        budget::is_out_of_reach,
        redis::lease::{StoreReply, Written},
    },
    value::{
        answer::Answer,
        error::{CodecError, not_decoded, not_encoded},
        freshness::Lifespan,
        header::{Stamp, Stored},
    },
};

impl Lookup {
    /// The step "store".
    pub(super) async fn store(
        &mut self,
        mut lead: Lead<Answer>,
        right: Right,
        slot: &mut dyn Slot,
        lifetime: Option<Lifespan>,
        took: Duration,
    ) {
        let prepared = match lifetime.map(|lifetime| self.prepared(slot, lifetime, took)) {
            Some(Some(prepared)) => Some(prepared),
            Some(None) => {
                self.back_off(slot);
                let answer = slot.share_kept();
                return self.settle(lead, Some(right), answer);
            }
            None if self.outdated => None,
            None => {
                let answer = self.shareable(slot, None);
                return self.settle(lead, Some(right), answer);
            }
        };
        let prepared = prepared.as_ref();
        if self.unreadable
            && let Some(bytes) = prepared.and_then(Prepared::bytes)
        {
            self.read_back(bytes, slot);
        }
        if lead.has_waiters()
            && let Some(answer) = self.answer_of(slot, prepared)
        {
            lead.answer_early(&answer);
        }
        let locked = slot.freshness().cluster;
        let Self { budget, key, .. } = self;
        match right.store(&mut lead, key, prepared, locked, budget).await {
            Ok(StoreReply::Refused) => {
                self.tell(&Event::Refused(Refusal::Revoked));
                lead.start_over(false);
            }
            Ok(stored) => {
                if stored == StoreReply::NoRoom {
                    self.failed(&Error::no_room());
                    self.back_off(slot);
                } else {
                    if let Some(Lifespan { fresh_for, .. }) = lifetime {
                        self.tell(&Event::Stored { fresh_for });
                    }
                    self.end_backoff(slot);
                }
                if lead.has_waiters()
                    && let Some(answer) = self.answer_of(slot, prepared)
                {
                    lead.finish(&answer);
                }
            }
            Err(error) => {
                self.failed(&error);
                lead.start_over(is_out_of_reach(&error));
            }
        }
    }

    /// The value as the store is going to have it; `None` if it cannot be stored.
    fn prepared(&self, slot: &dyn Slot, lifetime: Lifespan, took: Duration) -> Option<Prepared> {
        if self.is_too_large() {
            return None;
        }
        let prepared = prepared(self.site, &self.cache, slot, lifetime, took);
        self.unless_not_encoded(prepared)
    }

    /// What others can have of a value that is prepared for the store, or is not to be stored.
    fn answer_of(&self, slot: &dyn Slot, prepared: Option<&Prepared>) -> Option<Answer> {
        match prepared.and_then(Prepared::shared) {
            Some(shared) => Some(shared.clone()),
            None => self.shareable(slot, prepared.and_then(Prepared::json).as_ref()),
        }
    }

    /// Tells the log if the call's own value cannot be read back either: then the unreadable bytes that stand under the
    /// key are no matter of another release.
    #[cold]
    #[inline(never)]
    fn read_back(&self, bytes: &Bytes, slot: &dyn Slot) {
        let stored = Stored::parse(bytes).map_err(not_decoded);
        let read = stored.and_then(|stored| slot.reads(&stored));
        if let Err(error) = read {
            self.scene().tell(&Event::Unreadable(&error));
        }
    }

    /// What others can have of the value; `None` if that takes JSON, and it has none.
    pub(super) fn shareable(&self, slot: &dyn Slot, json: Option<&Bytes>) -> Option<Answer> {
        if json.is_none() && self.is_too_large() {
            return slot.share_kept();
        }
        let answer = slot.share(json, self.cache.max_value);
        self.unless_not_encoded(answer)
    }

    /// Whether the key's last value was too large to be stored, a moment ago.
    pub(super) fn is_too_large(&self) -> bool {
        self.cache.too_large.holds(&self.key)
    }

    /// `None` for a value that has no JSON to store.
    fn unless_not_encoded<T>(&self, encoded: Result<T, CodecError>) -> Option<T> {
        match encoded {
            Ok(encoded) => Some(encoded),
            Err(error) => {
                let is_too_large = matches!(error, CodecError::TooLarge { .. });
                let error = not_encoded(error);
                let refusal = if is_too_large {
                    self.cache.too_large.add(&self.key);
                    Refusal::TooLarge(&error)
                } else {
                    Refusal::Unsaid(&error)
                };
                self.scene().tell(&Event::Refused(refusal));
                None
            }
        }
    }

    /// Ends a flight whose outcome is not stored. The caller does not wait for the proof that those
    /// who came later need.
    pub(super) fn settle(
        &self,
        mut lead: Lead<Answer>,
        right: Option<Right>,
        answer: Option<Answer>,
    ) {
        let Some(answer) = answer else {
            lead.everybody_alone();
            if let Some(right) = right {
                let deadline = Instant::now() + self.cache.timeout;
                // Nobody asks whether it was given back, because a lease that stays behind expires by itself.
                runtime::begin(async move { drop(right.release(deadline).await) });
            }
            return;
        };
        lead.answer_early(&answer);
        match right {
            // Every other attempt asks the store: one that goes without spares those who wait a second timeout, but
            // callers that follow each other for ever would never have anything stored.
            None => {
                let asked = !lead.unanswered();
                lead.start_over(asked);
            }
            Some(right) => self.prove(lead, right, answer),
        }
    }

    /// Ends a flight that nobody waits for and whose outcome is not stored; a caller that joins it only now leads the
    /// next attempt.
    pub(super) fn end(&self, lead: Lead<Answer>, right: Option<Right>) {
        // As in `settle`.
        let unanswered = right.is_none() && !lead.unanswered();
        if let Some(right) = right {
            self.give_back(right);
        }
        lead.start_over(unanswered);
    }

    /// Gives the right to store back, behind the call.
    fn give_back(&self, right: Right) {
        let deadline = Instant::now() + self.budget.whole();
        let (site, cache) = (self.site, Arc::clone(&self.cache));
        runtime::begin(async move {
            if let Err(error) = right.release(deadline).await {
                cache.scene(site).tell(&Event::Error(&error));
            }
        });
    }

    /// Gives the right to store back, behind the call, and answers those who wait for the proof in that.
    fn prove(&self, mut lead: Lead<Answer>, right: Right, answer: Answer) {
        if !lead.has_waiters() {
            self.give_back(right);
            // The flight ends here, so that nobody waits for this runtime, which nobody may drive any more.
            return;
        }
        // Calls that come meanwhile wait for the proof, so it may take no longer than they would wait for Redis.
        let deadline = Instant::now() + self.budget.whole();
        let (site, cache) = (self.site, Arc::clone(&self.cache));
        match right.close(&mut lead) {
            Some(true) => return lead.finish(&answer),
            Some(false) => return lead.start_over(false),
            None => {}
        }
        // Where the caller has left every runtime since it asked for the lease, the lead is dropped with this: those who wait
        // start over.
        runtime::begin(async move {
            match right.release(deadline).await {
                Ok(true) => lead.finish(&answer),
                Ok(false) => lead.start_over(false),
                Err(error) => {
                    cache.scene(site).tell(&Event::Error(&error));
                    lead.start_over(is_out_of_reach(&error));
                }
            }
        });
    }
}

/// `value` as the cache's store is going to have it.
pub(crate) fn prepared(
    site: &Site,
    cache: &Inner,
    value: &dyn Outgoing,
    lifetime: Lifespan,
    took: Duration,
) -> Result<Prepared, CodecError> {
    let most = cache.max_value;
    let shared = || {
        let shared = value.share(None, most)?;
        let kept = kept_in_process(cache.scene(site), value, &shared, most)?;
        Ok((shared, kept))
    };
    let written = || written(value, cache, lifetime, took);
    cache.store.prepared(lifetime, took, shared, written)
}

/// Writes `value`, with a stamp if its readers need one.
fn written(
    value: &dyn Outgoing,
    cache: &Inner,
    lifetime: Lifespan,
    took: Duration,
) -> Result<Written, CodecError> {
    let clock = &cache.clock;
    let stamp = value.freshness().needs_stamp().then(|| Stamp {
        stored_at: clock.servers().unwrap_or_default(),
        fresh_for: lifetime.fresh_for,
        took,
    });
    Ok(Written {
        bytes: value.encode(stamp.as_ref(), cache.max_value)?,
        lifetime,
        stamped: stamp.is_some() && clock.servers().is_none(),
    })
}

/// What the in-process store keeps of `value`.
///
/// A debug build keeps what its JSON becomes, so that a first run without Redis hides nothing that
/// Redis would show: skipped fields, a lossy `Serialize`, JSON that cannot be read back or is too large.
fn kept_in_process(
    scene: Scene<'_>,
    value: &dyn Outgoing,
    answer: &Answer,
    most: usize,
) -> Result<Answer, CodecError> {
    if !cfg!(debug_assertions) {
        return Ok(answer.clone());
    }
    let (kept, loss) = value.through_json(most)?;
    if let Some(cause) = loss {
        scene.tell(&Event::Lossy(cause));
    }
    Ok(kept)
}
