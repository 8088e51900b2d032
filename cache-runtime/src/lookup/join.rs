//! The step "join": the turn of a call for which the store had no answer.
//!
//! The one rule: **a call waits for nobody whom it could wait for in vain**: not for the body that it stands in, and for
//! no other longer than its patience.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Lookup, Slot, Step,
    background::{Reason, SoftWait},
    read::Found,
    slot::take,
    wait, within,
};
use crate::{
    flight::{Joined, Turn},
    observe::event::Event,
    value::answer::Answer,
};

impl Lookup {
    /// The steps from "join" on. `at_hand`: a stale value that was set aside, for where the body fails.
    pub(super) async fn join(
        mut self: Box<Self>,
        slot: &mut dyn Slot,
        at_hand: Option<Found>,
    ) -> Step {
        if self.control.is_only_if_cached() {
            match self.control.park().await {}
        }
        let turn = match self.cache.flights.join(&self.key) {
            Joined::Lead(lead) => Turn::Lead(lead),
            Joined::Wait(own) if within::is_own(&own) => {
                drop(own);
                self.tell(&Event::OwnKey);
                return Step::Body(self.alone(at_hand));
            }
            Joined::Wait(waiting) => {
                wait::turn(self.site, Arc::clone(&self.cache), waiting, true).await
            }
        };
        match (turn, at_hand) {
            // The body before this call's failed a moment ago, and this call's would fail as well.
            (Turn::Lead(_), Some(found)) if self.backs_off() => {
                self.fall_back(slot, &found);
                Step::Answer
            }
            (Turn::Lead(lead), at_hand) => self.lead(lead, false, slot, at_hand).await,
            // The leader failed, and its error can be shared or not.
            (Turn::Answer(Answer::Failed(_)) | Turn::Alone, Some(found)) => {
                self.fall_back(slot, &found);
                Step::Answer
            }
            (Turn::Answer(Answer::Failed(error)), None) => Step::Failed(error, self),
            (Turn::Alone, None) => Step::Body(self.alone(None)),
            (Turn::Answer(answer), at_hand) => {
                if take(slot, &answer) {
                    self.coalesced();
                    return Step::Answer;
                }
                // The leader is a call with this key of another function, whose values are of another type.
                Step::Body(self.alone(at_hand))
            }
        }
    }

    /// Has the body run in the background, and waits for it, or for whoever runs it already, for `limit`. `found`: the
    /// stale value in the slot, which is the answer where that gives nothing.
    pub(super) async fn wait_softly(
        mut self: Box<Self>,
        slot: &mut dyn Slot,
        found: Found,
        limit: Duration,
    ) -> Step {
        if self.control.is_only_if_cached() {
            match self.control.park().await {}
        }
        slot.set_aside();
        let until = Instant::now() + limit;
        let mut joined = self.cache.flights.join(&self.key);
        loop {
            match joined {
                Joined::Wait(own) if within::is_own(&own) => {
                    self.tell(&Event::OwnKey);
                    break;
                }
                Joined::Wait(waiting) => {
                    match self.wait_until(until, waiting, true).await {
                        Some(Turn::Answer(answer)) if take(slot, &answer) => {
                            self.coalesced();
                            return Step::Answer;
                        }
                        // The attempt of another is over, and may just have stored the value that this call waits for.
                        Some(Turn::Lead(lead)) => joined = Joined::Lead(lead),
                        Some(Turn::Answer(_) | Turn::Alone) | None => break,
                    }
                }
                // Another run may have failed since this call's value was judged.
                Joined::Lead(_) if self.backs_off() => break,
                Joined::Lead(lead) => {
                    let Some(permit) = self.cache.background.permit(self.site) else {
                        break;
                    };
                    let waiting = lead.wait_too();
                    let run = self.run(permit, lead, Reason::SoftTimeout);
                    let wait = SoftWait::new(self, waiting, until, found);
                    return Step::Background(Box::new(run), Some(Box::new(wait)));
                }
            }
        }
        self.fall_back(slot, &found);
        Step::Answer
    }
}
