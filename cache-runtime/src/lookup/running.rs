//! A body that runs, and what comes of it.
//!
//! The one rule: **however a body ends, the flight that it was run for ends, and its right to store with it**: by
//! [`Running::returned`], by [`Running::failed`], or by a drop, also of one that panics.
//!
//! | [`Body`] | is run | its error | its value |
//! |---|---|---|---|
//! | [`Bypassing`](Body::Bypassing) | without the cache | its caller's | its caller's |
//! | [`Alone`](Body::Alone) | beside a flight that it has no part in | its caller's, unless a stale value serves | its caller's |
//! | [`Led`](Body::Led) | for all who wait | theirs too, unless a stale value serves | theirs too, and the store's |
//!
//! Whoever leads a flight goes through three phases. Each phase takes what the one before had, as a value, and is left by
//! a drop as well, because a call may go away at any await.
//!
//! | phase | is | has | dropped, it |
//! |---|---|---|---|
//! | the right to store is asked for | a [`Lead`] beside a [`Lookup`] | the duty to answer | makes one who waits lead |
//! | the body runs | a [`LedBody`] | the right as well, and what renews it | lets the lock go before that |
//! | the outcome is handed out | [`Lookup::store`], [`Lookup::settle`] or [`Lookup::end`] | lead and right | makes one who waits lead |

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

/// A body that runs.
pub(super) struct Running {
    time: BodyTime,
    body: Body,
}

/// Whom a body is run for, with what it takes to go on when it has ended.
#[expect(
    clippy::large_enum_variant,
    reason = "it stands in the one box of its `Running`"
)]
enum Body {
    /// Without the cache.
    Bypassing(Control),
    /// Beside a flight; with a stale value that was set aside for its error.
    Alone(Box<Lookup>, Option<Found>),
    /// For a flight.
    Led(LedBody),
}

/// A body that is run for a flight.
struct LedBody {
    /// Where the right is a lease. Before the lead, because fields are dropped in their order: the lock is let go before
    /// those who wait here go on.
    renewal: Option<Renewal>,
    /// The flight inside which the body is polled and dropped.
    led: Arc<Led>,
    /// By the cache's clock, for the time that is kept with the value.
    began: Instant,
    lookup: Box<Lookup>,
    lead: Lead<Answer>,
    /// `None`: it was not granted, so nothing is going to be stored.
    right: Option<Right>,
    /// Whether the key is left alone for a while if the body panics.
    backs_off: bool,
    answers: Answers,
}

/// Whom a body's outcome answers, besides those who wait for its flight.
pub(super) enum Answers {
    /// The caller that it is run for, with a stale value that was set aside for its error.
    Caller(Option<Found>),
    /// A body in the background answers nobody else.
    Nobody,
}

/// Says that a body begins, and when it ends, however that is.
struct BodyTime {
    site: &'static Site,
    /// The cache that the call would have used, where its body runs without.
    cache: Option<Arc<Inner>>,
    began: Instant,
    has_finished: bool,
}

impl BodyTime {
    fn begin(site: &'static Site, cache: Option<Arc<Inner>>, in_background: bool) -> Self {
        scene(site, cache.as_deref()).tell(&Event::BodyBegan { in_background });
        Self {
            site,
            cache,
            began: Instant::now(),
            has_finished: false,
        }
    }

    fn finish(mut self, control: &mut Control) {
        self.has_finished = true;
        let scene = scene(self.site, self.cache.as_deref());
        scene.tell_of(control, None, &self.ended(BodyEnd::Finished));
    }

    fn ended(&self, end: BodyEnd) -> Event<'static> {
        Event::BodyEnded {
            took: self.began.elapsed(),
            end,
        }
    }
}

impl Drop for BodyTime {
    fn drop(&mut self) {
        if !self.has_finished {
            scene(self.site, self.cache.as_deref()).tell(&self.ended(BodyEnd::Dropped));
        }
    }
}

/// Lets the key of a call back off if the poll of its body panics. The drop of a body says nothing of it, even where its caller
/// panics.
struct BackOffOnPanic<'a>(Option<&'a Lookup>);

impl BackOffOnPanic<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for BackOffOnPanic<'_> {
    fn drop(&mut self) {
        if let Some(Lookup { cache, key, .. }) = self.0 {
            cache.background.failed(key);
        }
    }
}

impl Lookup {
    /// The body begins, for a flight: callers that join from here on are late.
    pub(super) fn led(
        self: Box<Self>,
        mut lead: Lead<Answer>,
        right: Option<Right>,
        slot: &dyn Slot,
        answers: Answers,
    ) -> Box<Running> {
        lead.body_begun();
        let in_background = matches!(answers, Answers::Nobody);
        let cache = Some(Arc::clone(&self.cache));
        let time = BodyTime::begin(self.site, cache, in_background);
        let led = LedBody {
            led: Led::by(&lead),
            began: self.cache.clock.now(),
            renewal: right.as_ref().and_then(Right::lease).map(Renewal::of),
            backs_off: slot.freshness().needs_stamp(),
            lookup: self,
            lead,
            right,
            answers,
        };
        Box::new(Running {
            time,
            body: Body::Led(led),
        })
    }

    /// The body begins, beside a flight that this call has no part in.
    pub(super) fn alone(self: Box<Self>, at_hand: Option<Found>) -> Box<Running> {
        Box::new(Running {
            time: BodyTime::begin(self.site, Some(Arc::clone(&self.cache)), false),
            body: Body::Alone(self, at_hand),
        })
    }
}

impl Running {
    /// The body begins, without the cache, which would have been that one.
    pub(super) fn bypassing(
        site: &'static Site,
        cache: Option<Arc<Inner>>,
        control: Control,
    ) -> Box<Self> {
        Box::new(Self {
            time: BodyTime::begin(site, cache, false),
            body: Body::Bypassing(control),
        })
    }

    /// Drops the body by `drop_it`, inside its flight: a call in the `Drop` of one of its locals would wait for it otherwise.
    pub(super) fn drop_body(&self, drop_it: &mut dyn FnMut()) {
        match &self.body {
            Body::Led(body) => body.led.scope_end(drop_it),
            Body::Bypassing(_) | Body::Alone(..) => drop_it(),
        }
    }

    /// Polls the body, which says whether it has ended, inside its flight; and keeps the right to store.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut dyn FnMut(&mut Context<'_>) -> bool,
    ) {
        let Body::Led(LedBody {
            renewal,
            led,
            lookup,
            right,
            backs_off,
            ..
        }) = &mut self.body
        else {
            body(cx);
            return;
        };
        let lease = right.as_ref().and_then(Right::lease);
        let guard = BackOffOnPanic(backs_off.then_some(&**lookup));
        let has_ended = led.scope(|| body(cx));
        guard.disarm();
        if has_ended {
            // What stores or releases takes care of the lock.
            if let Some(renewal) = renewal.take() {
                renewal.disarm();
            }
        } else if let (Some(renewal), Some(lease)) = (renewal, lease) {
            renewal.poll(lease, cx);
        }
    }

    /// What is left of a body that has ended.
    fn end(self: Box<Self>) -> Body {
        let Self { time, mut body } = *self;
        time.finish(match &mut body {
            Body::Bypassing(control) => control,
            Body::Alone(lookup, _) | Body::Led(LedBody { lookup, .. }) => &mut lookup.control,
        });
        body
    }

    /// Goes on after a body that failed: whether the stale value, which is in the slot then, is the answer. `keep`: keeps
    /// of the error what others can have.
    pub(super) fn failed(
        self: Box<Self>,
        slot: &mut dyn Slot,
        keep: &dyn Fn() -> Option<Kept>,
    ) -> bool {
        let (mut lookup, at_hand) = match self.end() {
            Body::Bypassing(_) => return false,
            Body::Alone(lookup, at_hand) => (lookup, at_hand),
            Body::Led(LedBody {
                lookup,
                lead,
                right,
                answers,
                ..
            }) => {
                lookup.back_off(slot);
                if lead.has_waiters() {
                    // Kept only for those who wait, because what an error says is nobody else's to keep.
                    lookup.settle(lead, right, keep().map(Answer::Failed));
                } else {
                    lookup.end(lead, right);
                }
                match answers {
                    Answers::Caller(at_hand) => (lookup, at_hand),
                    Answers::Nobody => return false,
                }
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

    /// Goes on after a body whose value is in the slot, with the step "store".
    pub(super) fn returned(self: Box<Self>, mut slot: Box<dyn Slot>) -> AfterBody {
        let LedBody {
            began,
            mut lookup,
            lead,
            right,
            answers,
            ..
        } = match self.end() {
            Body::Bypassing(_) => return AfterBody::Answered(slot),
            Body::Alone(mut lookup, _) => {
                lookup.missed();
                return AfterBody::Answered(slot);
            }
            Body::Led(body) => body,
        };
        let took = lookup.cache.clock.now().saturating_duration_since(began);
        match (slot.lifetime(draw()), right) {
            // What the value is worth is not known, so an older one stays.
            (Err(error), right) => {
                lookup.tell(&Event::Refused(Refusal::Unsaid(&error)));
                lookup.back_off(&*slot);
                let answer = lookup.shareable(&*slot, None);
                lookup.settle(lead, right, answer);
            }
            (Ok(lifetime), Some(right)) => {
                return AfterBody::Storing(Box::pin(async move {
                    lookup.store(lead, right, &mut *slot, lifetime, took).await;
                    lookup.end_led(&answers);
                    slot
                }));
            }
            (Ok(_), None) => {
                let answer = lookup.shareable(&*slot, None);
                lookup.settle(lead, None, answer);
            }
        }
        lookup.end_led(&answers);
        AfterBody::Answered(slot)
    }
}

/// What comes after a body that returned a value, which stays in its slot.
pub(super) enum AfterBody {
    Answered(Box<dyn Slot>),
    Storing(BoxFuture<'static, Box<dyn Slot>>),
}

impl Lookup {
    fn end_led(&mut self, answers: &Answers) {
        if let Answers::Caller(_) = answers {
            self.missed();
        }
    }
}
