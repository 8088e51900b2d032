//! The step that decides what becomes of a value that was read.
//!
//! The one rule: **what is known is decided at once**, because that is how a hit is answered; only where Redis is to be asked
//! for more does a call wait before it decides.

use std::{sync::Arc, time::Duration};

use super::{
    BoxFuture, Decided, Lookup, Slot, Step, draw,
    read::{Found, Taken},
    seam::BoxRun,
};
use crate::{
    store::{Standing, redis::link::Link},
    value::{
        freshness::{Circumstances, Freshness, Judgement},
        header::Stamp,
    },
};

/// What to do.
pub(super) enum Decision {
    /// Answer with the value in the slot; with a body that begins in the background, if one does.
    Answer(Option<BoxRun>),
    /// Wait for the body, but no longer than this while the stale value in the slot serves.
    WaitSoftly(Found, Duration),
    /// Compute, or wait for whoever does; with a stale value that was set aside for where the body fails.
    Join(Option<Found>),
}

/// What Redis is to be asked for before that is known.
pub(super) enum Unknown {
    /// How old the value is.
    Age(Arc<Link>, Stamp),
    /// How much longer the value is there, for a report.
    Left(Found),
}

impl Lookup {
    /// Puts what was read into the slot, and says what to do with it.
    pub(super) fn decide_at_once(
        &mut self,
        standing: Standing,
        slot: &mut dyn Slot,
        movable: bool,
    ) -> Result<Decision, Unknown> {
        match self.take_at_once(standing, slot) {
            Taken::Nothing => Ok(Decision::Join(None)),
            Taken::Undated(link, stamp) => Err(Unknown::Age(link, stamp)),
            Taken::Found(found) if found.aged.is_none() && self.control.reports() => {
                Err(Unknown::Left(found))
            }
            Taken::Found(found) => Ok(self.decide(found, slot, movable)),
        }
    }

    /// All that comes before a body, where the key must be deleted before it is read.
    pub(super) fn read_later(
        mut self: Box<Self>,
        mut slot: Box<dyn Slot>,
        movable: bool,
    ) -> BoxFuture<'static, Decided> {
        Box::pin(async move {
            let read = self.standing().await;
            let decided = match self.unless_failed(read) {
                Some(standing) => self.decide_at_once(standing, &mut *slot, movable),
                None => Ok(Decision::Join(None)),
            };
            self.decide_later(decided, slot, movable).await
        })
    }

    /// What comes before a body, where that is more than a hit.
    pub(super) fn decide_later(
        mut self: Box<Self>,
        decided: Result<Decision, Unknown>,
        mut slot: Box<dyn Slot>,
        movable: bool,
    ) -> BoxFuture<'static, Decided> {
        Box::pin(async move {
            let decision = match decided {
                Ok(decision) => decision,
                Err(unknown) => {
                    let found = match unknown {
                        Unknown::Age(link, stamp) => self.dated(&link, stamp).await,
                        Unknown::Left(found) => self.with_left(found).await,
                    };
                    self.decide(found, &mut *slot, movable)
                }
            };
            let step = match decision {
                Decision::Answer(None) => Step::Answer,
                Decision::Answer(Some(run)) => Step::Background(run, None),
                Decision::WaitSoftly(found, limit) => {
                    self.wait_softly(&mut *slot, found, limit).await
                }
                Decision::Join(at_hand) => self.join(&mut *slot, at_hand).await,
            };
            (step, slot)
        })
    }

    /// What to do with the value that was read.
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

    /// What to do with the value in the slot.
    fn decide(&mut self, found: Found, slot: &mut dyn Slot, movable: bool) -> Decision {
        match self.judge(&found, slot.freshness(), movable) {
            Judgement::Fresh => {
                self.hit(&found);
                Decision::Answer(None)
            }
            Judgement::RefreshAhead => {
                self.hit(&found);
                Decision::Answer(self.refresh_in_background())
            }
            Judgement::StaleInBackoff => {
                self.stale(&found);
                Decision::Answer(None)
            }
            Judgement::StaleWhileRevalidate => {
                self.stale(&found);
                Decision::Answer(self.refresh_in_background())
            }
            Judgement::StaleAfter(limit) => Decision::WaitSoftly(found, limit),
            Judgement::StaleIfError => {
                slot.set_aside();
                Decision::Join(Some(found))
            }
            Judgement::Expired => {
                slot.clear();
                Decision::Join(None)
            }
        }
    }
}
