//! The course of one call, from its question to what its caller gets: compiled once, because it knows no types of the user.
//!
//! The one rule: **it knows its call as a [`Caller`], and the value as a [`Slot`]**. The caller is lent to it at each poll, and
//! so is the slot of a hit; a call that goes beyond a hit has a slot on the heap.
//!
//! | [`Phase`] | polls | then |
//! |---|---|---|
//! | [`Reading`](Phase::Reading) | the store | the answer, or [`Deciding`](Phase::Deciding) |
//! | [`Deciding`](Phase::Deciding) | all else that comes before a body | the answer, or what its [`Step`] says |
//! | [`Running`](Phase::Running) | the body | [`Ending`](Phase::Ending), or its error |
//! | [`Ending`](Phase::Ending) | the store, or a body in the background | the answer |
//! | [`Over`](Phase::Over) | nothing any more | |
//!
//! The frames of a poll stand on the stack under those of every call in a body. So each step is a function of its own that is
//! never inlined, and is gone when the body is polled.

use std::{
    future::{Future, Pending, pending},
    mem,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    BoxFuture, Decided, Lookup, Step,
    decision::Decision,
    read::Asked,
    running::{AfterBody, Running},
    seam::{AnyCourse, AnyWork, BoxCourse, Caller, Ended},
    slot::Slot,
};

pin_project! {
    /// See the [module](self). The future that reads is a part of it, so that a hit allocates once. With that it has 1,032 bytes
    /// at most, because glibc's allocator keeps no larger piece at hand for a thread, and goes a long way for one.
    struct Course<F> {
        #[pin]
        reading: F,
        // Who reads; `None` once that is over.
        reader: Option<Lookup>,
        phase: Phase,
        // Whether the body can run without its caller.
        movable: bool,
    }
}

enum Phase {
    Reading,
    Deciding(BoxFuture<'static, Decided>),
    /// The flight ends before the slot is dropped: a call in the `Drop` of a value would wait for it otherwise.
    Running(Box<Running>, Box<dyn Slot>),
    Ending(BoxFuture<'static, Box<dyn Slot>>),
    Over,
}

/// The next phase, and whether it is polled at once (`Continue`) or with the next poll of the call (`Break`).
type Flow = ControlFlow<Phase, Phase>;

/// A course that begins with a read. `movable`: the body can run without its caller.
pub(super) fn reading(lookup: Lookup, movable: bool) -> BoxCourse {
    Box::pin(Course {
        reading: lookup.ask(),
        reader: Some(lookup),
        phase: Phase::Reading,
        movable,
    })
}

/// A course that begins with more than a read.
pub(super) fn deciding(decided: BoxFuture<'static, Decided>) -> BoxCourse {
    begin_with(Phase::Deciding(decided))
}

/// A course that begins with a body that runs.
pub(super) fn running(running: Box<Running>, slot: Box<dyn Slot>) -> BoxCourse {
    begin_with(Phase::Running(running, slot))
}

fn begin_with(phase: Phase) -> BoxCourse {
    let reading: Pending<Asked> = pending();
    Box::pin(Course {
        reading,
        reader: None,
        phase,
        movable: false,
    })
}

impl<F> AnyCourse for Course<F>
where
    F: Future<Output = Asked> + Send,
{
    fn poll(self: Pin<&mut Self>, caller: &mut dyn Caller, cx: &mut Context<'_>) {
        let this = self.project();
        // Apart from the other phases, which are taken out to be polled, because a hit has no other phase.
        if let Phase::Reading = this.phase {
            match poll_reading(this.reading, this.reader, *this.movable, caller, cx) {
                Poll::Pending => return,
                Poll::Ready(phase) => *this.phase = phase,
            }
            if let Phase::Over = this.phase {
                return;
            }
        }
        loop {
            let flow = match mem::replace(this.phase, Phase::Over) {
                Phase::Deciding(mut deciding) => match deciding.as_mut().poll(cx) {
                    Poll::Pending => Break(Phase::Deciding(deciding)),
                    Poll::Ready((step, slot)) => Continue(after_step(step, slot, caller)),
                },
                Phase::Running(running, slot) => poll_running(running, slot, caller, cx),
                Phase::Ending(mut ending) => match ending.as_mut().poll(cx) {
                    Poll::Pending => Break(Phase::Ending(ending)),
                    Poll::Ready(mut slot) => Continue(answered(&mut *slot, caller)),
                },
                Phase::Reading => unreachable!("invariant: a course reads at first or not at all"),
                Phase::Over => unreachable!("invariant: a future that has ended is not polled"),
            };
            match flow {
                Continue(Phase::Over) => return,
                Continue(phase) => *this.phase = phase,
                Break(phase) => {
                    *this.phase = phase;
                    return;
                }
            }
        }
    }

    fn leave(self: Pin<&mut Self>, work: &mut dyn AnyWork) {
        if let Phase::Running(running, _) = self.project().phase {
            running.drop_body(&mut || work.drop_body());
        }
    }
}

/// Polls the read.
#[inline(never)]
fn poll_reading(
    reading: Pin<&mut impl Future<Output = Asked>>,
    reader: &mut Option<Lookup>,
    movable: bool,
    caller: &mut dyn Caller,
    cx: &mut Context<'_>,
) -> Poll<Phase> {
    let asked = ready!(reading.poll(cx));
    Poll::Ready(after_read(reader, asked, movable, caller))
}

/// Goes on after the store was read: the one step of a hit. `reader`: who read.
fn after_read(
    reader: &mut Option<Lookup>,
    asked: Asked,
    movable: bool,
    caller: &mut dyn Caller,
) -> Phase {
    let lookup = reader.as_mut().expect(IS_READING);
    let mut standing = lookup.note(asked);
    let mut decided = Ok(Decision::Join(None));
    let slot = caller.read(&mut |slot| {
        if let Some(standing) = standing.take() {
            decided = lookup.decide_at_once(standing, slot, movable);
        }
        matches!(decided, Ok(Decision::Answer(_)))
    });
    if let Some(slot) = slot {
        let lookup = Box::new(reader.take().expect(IS_READING));
        return Phase::Deciding(lookup.decide_later(decided, slot, movable));
    }
    if let Ok(Decision::Answer(Some(run))) = decided {
        caller.begin_in_background(run);
    }
    // Dropped here, and not with the course, because it tells how long the call took.
    *reader = None;
    Phase::Over
}

const IS_READING: &str = "invariant: a course that reads has somebody who reads";

/// Does what only the caller's side can.
#[inline(never)]
fn after_step(step: Step, mut slot: Box<dyn Slot>, caller: &mut dyn Caller) -> Phase {
    let running = match step {
        Step::Answer => return answered(&mut *slot, caller),
        Step::Background(run, wait) => {
            caller.begin_in_background(run);
            return match wait {
                Some(wait) => Phase::Ending(wait.answer(slot)),
                None => answered(&mut *slot, caller),
            };
        }
        Step::Failed(kept, mut lookup) => {
            if caller.take_error(&kept) {
                lookup.coalesced();
                return Phase::Over;
            }
            lookup.alone(None)
        }
        Step::Body(running) => running,
    };
    caller.begin();
    Phase::Running(running, slot)
}

/// Polls the body.
fn poll_running(
    running: Box<Running>,
    mut slot: Box<dyn Slot>,
    caller: &mut dyn Caller,
    cx: &mut Context<'_>,
) -> Flow {
    let mut body = Body {
        running: Some(running),
        caller,
    };
    let ended = match body.poll(&mut *slot, cx) {
        Poll::Pending => return Break(Phase::Running(body.disarm(), slot)),
        Poll::Ready(ended) => ended,
    };
    Continue(after_body(body.end(), ended, slot, caller))
}

/// Goes on after a body that has ended.
#[inline(never)]
fn after_body(
    running: Box<Running>,
    ended: Ended,
    mut slot: Box<dyn Slot>,
    caller: &mut dyn Caller,
) -> Phase {
    match ended {
        Ended::Returned => match running.returned(slot) {
            AfterBody::Answered(mut slot) => answered(&mut *slot, caller),
            AfterBody::Storing(storing) => Phase::Ending(storing),
        },
        Ended::Failed => match running.failed(&mut *slot, &|| caller.keep_error()) {
            true => answered(&mut *slot, caller),
            false => {
                caller.fail();
                Phase::Over
            }
        },
    }
}

fn answered(slot: &mut dyn Slot, caller: &mut dyn Caller) -> Phase {
    caller.answer(slot);
    Phase::Over
}

/// A body that is polled. Where that panics the body is dropped before what it runs for, which then ends with it.
struct Body<'a> {
    /// `None`: disarmed.
    running: Option<Box<Running>>,
    caller: &'a mut dyn Caller,
}

impl Body<'_> {
    fn poll(&mut self, slot: &mut dyn Slot, cx: &mut Context<'_>) -> Poll<Ended> {
        let Self { running, caller } = self;
        let running = running.as_mut().expect(IS_ARMED);
        let mut ended = Poll::Pending;
        running.poll(cx, &mut |cx| {
            ended = caller.poll(slot, cx);
            ended.is_ready()
        });
        ended
    }

    fn disarm(mut self) -> Box<Running> {
        self.running.take().expect(IS_ARMED)
    }

    /// Drops the body.
    fn end(mut self) -> Box<Running> {
        self.drop_it();
        self.disarm()
    }

    fn drop_it(&mut self) {
        let Self { running, caller } = self;
        if let Some(running) = running {
            running.drop_body(&mut || caller.drop_body());
        }
    }
}

const IS_ARMED: &str = "invariant: it is disarmed once";

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.drop_it();
    }
}
