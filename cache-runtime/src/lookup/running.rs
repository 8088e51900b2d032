//! A body that is about to run, that runs, and what comes of it.
//!
//! The one rule: **however a body ends, the flight that it was run for ends, and its right to store with it**: by
//! [`Running::returned`], by [`Running::failed`], or by a drop, also of one that panics.
//!
//! | [`Body`] | is run | its error | its value |
//! |---|---|---|---|
//! | [`Bypassing`](Body::Bypassing) | without the cache | its caller's | its caller's |
//! | [`Alone`](Body::Alone) | beside a flight that it has no part in | its caller's, unless a stale value serves | its caller's |
//! | [`Led`](Body::Led) | for all who wait | theirs too, unless a stale value serves | theirs too, and the store's |

use std::{sync::Arc, task::Context, time::Instant};

use super::{BoxFuture, Lookup, Slot, draw, read::Found, renew::Renewal, scene, within::Led};
use crate::{
    cache::Inner,
    flight::Lead,
    observe::{
        control::Control,
        event::{BodyEnd, Event, Refusal},
    },
    site::Site,
    store::Right,
    value::{answer::Answer, share::Kept},
};

/// A body that is about to run.
pub(crate) enum Body {
    /// Without the cache, which would have been that one.
    Bypassing {
        site: &'static Site,
        cache: Option<Arc<Inner>>,
        control: Control,
    },
    /// Beside a flight; with a stale value that was set aside for its error.
    Alone(Box<Lookup>, Option<Found>),
    /// For a flight.
    Led(LedBody),
}

/// A body that is run for a flight.
pub(crate) struct LedBody {
    pub(super) lookup: Box<Lookup>,
    pub(super) lead: Lead<Answer>,
    pub(super) right: Option<Right>,
    /// A stale value that was set aside for its error.
    pub(super) at_hand: Option<Found>,
    /// Whether the key is left alone for a while after a body that was of no use.
    pub(super) backs_off: bool,
    /// Nobody is answered by it but those who wait for the flight.
    pub(super) is_in_background: bool,
}

impl Body {
    /// Says what happened to this body.
    fn tell(&mut self, event: &Event<'_>) {
        match self {
            Self::Bypassing {
                site,
                cache,
                control,
            } => scene(site, cache.as_deref()).tell_of(control, None, event),
            Self::Alone(lookup, _) | Self::Led(LedBody { lookup, .. }) => lookup.tell(event),
        }
    }

    fn is_in_background(&self) -> bool {
        match self {
            Self::Bypassing { .. } | Self::Alone(..) => false,
            Self::Led(body) => body.is_in_background,
        }
    }

    /// Marks that the body begins: who joins from here on is late.
    pub(crate) fn begin(mut self: Box<Self>) -> Running {
        let mut led = None;
        let mut clock = None;
        let mut renewal = None;
        if let Self::Led(body) = &mut *self {
            body.lead.body_begun();
            led = Some(Led::by(&body.lead));
            clock = Some(body.lookup.cache.clock.now());
            if let Some(granted) = body.right.as_ref().and_then(Right::lease) {
                renewal = Some(Renewal::of(granted));
            }
        }
        let in_background = self.is_in_background();
        self.tell(&Event::BodyBegan { in_background });
        Running {
            body: Some(self),
            began: Instant::now(),
            clock,
            led,
            renewal,
        }
    }
}

impl Lookup {
    /// The body, beside a flight that this call has no part in.
    pub(crate) fn alone(self: Box<Self>, at_hand: Option<Found>) -> Box<Body> {
        Box::new(Body::Alone(self, at_hand))
    }
}

/// A body that runs.
pub(crate) struct Running {
    /// `None`: it has ended.
    body: Option<Box<Body>>,
    began: Instant,
    /// When a body began whose time is kept with its value, by the cache's clock.
    clock: Option<Instant>,
    led: Option<Arc<Led>>,
    renewal: Option<Renewal>,
}

impl Running {
    /// The flight inside which the body is polled and dropped, if it is run for one.
    pub(super) fn led(&self) -> Option<Arc<Led>> {
        self.led.clone()
    }

    /// Polls the body, which says whether it has ended, inside its flight; and keeps the right to store.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut dyn FnMut(&mut Context<'_>) -> bool,
    ) {
        let has_ended = match &self.led {
            Some(led) => led.scope(|| body(cx)),
            None => body(cx),
        };
        if has_ended {
            // What stores or releases takes care of the lock.
            if let Some(renewal) = self.renewal.take() {
                renewal.disarm();
            }
        } else if let Some(renewal) = &mut self.renewal
            && let Some(Body::Led(LedBody {
                right: Some(right), ..
            })) = self.body.as_deref()
            && let Some(granted) = right.lease()
        {
            renewal.poll(granted, cx);
        }
    }

    fn end(&mut self) -> Body {
        let mut body = self.body.take().expect("invariant: a body ends once");
        body.tell(&Event::BodyEnded {
            took: self.began.elapsed(),
            end: BodyEnd::Finished,
        });
        *body
    }

    /// Goes on after a body that failed: whether the stale value, which is in the slot then, is the answer. `keep`: keeps
    /// of the error what others can have.
    pub(super) fn failed(mut self, slot: &mut dyn Slot, keep: &dyn Fn() -> Option<Kept>) -> bool {
        let (mut lookup, at_hand) = match self.end() {
            Body::Bypassing { .. } => return false,
            Body::Alone(lookup, at_hand) => (lookup, at_hand),
            Body::Led(LedBody {
                lookup,
                lead,
                right,
                at_hand,
                backs_off: _,
                is_in_background,
            }) => {
                lookup.rest(slot);
                if lead.has_waiters() {
                    // Kept only for those who wait, because what an error says is nobody else's to keep.
                    lookup.settle(lead, right, keep().map(Answer::Failed));
                } else {
                    lookup.end(lead, right);
                }
                if is_in_background {
                    return false;
                }
                (lookup, at_hand)
            }
        };
        match at_hand {
            Some(found) => {
                lookup.fall_back(slot, &found);
                true
            }
            None => {
                lookup.missed();
                false
            }
        }
    }

    /// Goes on after a body whose value is in the slot, with the step "store"; what it gives is to be awaited.
    pub(super) fn returned<'a>(mut self, slot: &'a mut dyn Slot) -> Option<BoxFuture<'a, ()>> {
        let LedBody {
            mut lookup,
            lead,
            right,
            at_hand: _,
            backs_off: _,
            is_in_background,
        } = match self.end() {
            Body::Bypassing { .. } => return None,
            Body::Alone(mut lookup, _) => {
                lookup.missed();
                return None;
            }
            Body::Led(body) => body,
        };
        let now = lookup.cache.clock.now();
        let took = now.saturating_duration_since(self.clock.unwrap_or(now));
        match (slot.lifetime(lookup.ttl, draw()), right) {
            // What the value is worth is not known, so an older one stays.
            (Err(error), right) => {
                lookup.tell(&Event::Refused(Refusal::Unsaid(&error)));
                lookup.rest(slot);
                let answer = lookup.shareable(slot, None);
                lookup.settle(lead, right, answer);
            }
            (Ok(lifetime), Some(right)) => {
                return Some(Box::pin(async move {
                    lookup.store(lead, right, slot, lifetime, took).await;
                    lookup.end_led(is_in_background);
                }));
            }
            (Ok(_), None) => {
                let answer = lookup.shareable(slot, None);
                lookup.settle(lead, None, answer);
            }
        }
        lookup.end_led(is_in_background);
        None
    }
}

impl Lookup {
    fn end_led(&mut self, is_in_background: bool) {
        if !is_in_background {
            self.missed();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take() else {
            return;
        };
        body.tell(&Event::BodyEnded {
            took: self.began.elapsed(),
            end: BodyEnd::Dropped,
        });
        if let Body::Led(LedBody {
            lookup, backs_off, ..
        }) = &*body
            && *backs_off
            && std::thread::panicking()
        {
            // Before the flight ends, which is with the body: who leads the next attempt sees that the key rests.
            lookup.cache.background.failed(&lookup.key);
        }
        // The lock is let go before those who wait here go on.
        drop(self.renewal.take());
    }
}
