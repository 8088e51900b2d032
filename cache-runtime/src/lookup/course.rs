//! The course of one call, from its question to what its caller gets: compiled for each type of value, and for no body.
//!
//! The one rule: **it meets a body only as a [`Work`]**, so that an edited body leaves all of this as it was compiled. An
//! error stands in the frame of one poll and in no phase, so that a future is `Send` where its error is not.
//!
//! | [`Phase`] | polls | then |
//! |---|---|---|
//! | [`Called`](Phase::Called) | nothing: a value that is at hand is the answer | [`Asking`](Phase::Asking) |
//! | [`Asking`](Phase::Asking) | all that comes before a body | the answer, or what its [`Step`] says |
//! | [`Running`](Phase::Running) | the body | [`Ending`](Phase::Ending), or its error |
//! | [`Ending`](Phase::Ending) | the store, or a body in the background | the answer |
//! | [`Over`](Phase::Over) | nothing any more | |
//!
//! The frames of a poll stand on the stack under those of every call in a body. So each step is a function of its own, and a
//! value goes through `answer`, for which the outermost frame has the room.

mod rest;
mod terms;
mod work;

use std::{
    future::{Future, Pending},
    mem,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    task::{Context, Poll},
};

use super::{
    Step,
    running::Running,
    slot::{ANSWERED, Held, Values},
};
use crate::value::{returns::Returns, share::ErrorShare};

use rest::Next;
pub(super) use rest::{AnswerOrRest, Rest, ask, ask_anew, end};
use terms::KeptTerms;
pub(super) use terms::acquired;
pub(crate) use terms::{Asks, RunOf, Terms};
use work::Polled;
pub(super) use work::{AnyWork, RunsIn, Work};

/// See the [module](self). `A`, `Z`: the futures that [`ask`] and [`end`] make, in their boxes, so that none is moved.
pub(super) struct Course<O, R, T: Returns<R>, A, Z> {
    /// `None`: it was asked.
    called: Option<O>,
    phase: Phase<O, R, A, Z>,
    /// What was polled in [`Phase::Asking`] and has ended, so that nothing is left in it. Its block on the heap is kept until
    /// the call ends: freed before that, it is broken up by what the call makes next, and the calls after this one find no
    /// such block.
    spent: Option<Pin<Box<A>>>,
    errors: ErrorShare<T::Error>,
    end: End<O, R, Z>,
}

enum Phase<O, R, A, Z> {
    /// With what asks, and whether the body is movable.
    Called(fn(O, bool) -> Pin<Box<A>>, bool),
    Asking(Pin<Box<A>>),
    Running(Box<Rest<O, R>>),
    Ending(Pin<Box<Z>>),
    Over,
}

/// Makes the future of what comes after a body, as [`end`].
type End<O, R, Z> = fn(Box<Rest<O, R>>) -> Pin<Box<Z>>;

/// The next phase, and whether it is polled at once (`Continue`) or with the next poll of the call (`Break`).
type Flow<O, R, A, Z> = ControlFlow<Phase<O, R, A, Z>, Phase<O, R, A, Z>>;

impl<O, R, T: Returns<R>, A, Z> Course<O, R, T, A, Z> {
    pub(super) fn new(
        asks: O,
        errors: ErrorShare<T::Error>,
        movable: bool,
        ask: fn(O, bool) -> Pin<Box<A>>,
        end: End<O, R, Z>,
    ) -> Self {
        Self {
            called: Some(asks),
            phase: Phase::Called(ask, movable),
            spent: None,
            errors,
            end,
        }
    }

    /// Drops a body that runs.
    pub(super) fn leave(&mut self, work: &mut (dyn Work<R, T> + '_)) {
        if let Phase::Running(rest) = &self.phase {
            rest.next.drop_body(work);
        }
    }
}

/// A [`Course`] that begins with a body that runs.
type Begun<O, R, T, Z> = Course<O, R, T, Pending<AnswerOrRest<O, R>>, Z>;

/// Makes one.
pub(super) fn begun<O: Terms<R>, R, T: Returns<R>>(
    terms: O,
    errors: ErrorShare<T::Error>,
    running: Box<Running>,
) -> Begun<O, R, T, impl Future<Output = Box<Rest<O, R>>>> {
    let rest = Rest {
        terms,
        place: Values::empty(),
        next: Next::Body(running),
    };
    Course {
        called: None,
        phase: Phase::Running(Box::new(rest)),
        spent: None,
        errors,
        end: end::<O, R>,
    }
}

impl<O, R, T, A, Z> Course<O, R, T, A, Z>
where
    O: Terms<R>,
    T: Returns<R>,
    A: Future<Output = AnswerOrRest<O, R>>,
    Z: Future<Output = Box<Rest<O, R>>>,
{
    /// Goes on as far as that is possible now.
    pub(super) fn poll(
        &mut self,
        work: &mut (dyn Work<R, T> + '_),
        cx: &mut Context<'_>,
        answer: &mut Poll<T>,
    ) {
        if let Some(called) = &self.called {
            at_hand(called, answer);
            if answer.is_ready() {
                return;
            }
        }
        if let Phase::Called(ask, movable) = self.phase {
            self.ask(ask, movable);
        }
        if let Phase::Asking(asking) = &mut self.phase {
            match poll_asking(asking, cx, answer) {
                Poll::Ready(Some(rest)) => {
                    let next = self.go_on(rest, work, answer);
                    if let Phase::Asking(asking) = mem::replace(&mut self.phase, next) {
                        self.spent = Some(asking);
                    }
                }
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
        loop {
            let flow = match mem::replace(&mut self.phase, Phase::Over) {
                Phase::Running(rest) => self.poll_running(rest, work, cx, answer),
                Phase::Ending(ending) => poll_ending(ending, cx, answer),
                Phase::Over if answer.is_ready() => return,
                Phase::Over => unreachable!("invariant: a future that has ended is not polled"),
                Phase::Called(..) | Phase::Asking(_) => unreachable!("invariant: both have passed"),
            };
            match flow {
                Continue(phase) => self.phase = phase,
                Break(phase) => {
                    self.phase = phase;
                    return;
                }
            }
        }
    }

    fn ask(&mut self, ask: fn(O, bool) -> Pin<Box<A>>, movable: bool) {
        match self.called.take() {
            Some(called) => self.phase = Phase::Asking(ask(called, movable)),
            None => unreachable!("invariant: a call is asked once"),
        }
    }

    /// Does what only this side can.
    fn go_on(
        &self,
        mut rest: Box<Rest<O, R>>,
        work: &mut (dyn Work<R, T> + '_),
        answer: &mut Poll<T>,
    ) -> Phase<O, R, A, Z> {
        let running = match mem::replace(&mut rest.next, Next::Nothing) {
            Next::Step(Step::Body(running)) => running,
            Next::Step(Step::Failed(kept, mut lookup)) => match self.errors.take(&*kept) {
                Some(error) => {
                    lookup.coalesced();
                    *answer = Poll::Ready(T::from_result(Err(error)));
                    return Phase::Over;
                }
                None => lookup.alone(None),
            },
            Next::Step(Step::Background(run, wait)) => {
                let terms = KeptTerms {
                    rules: rest.terms.rules().kept(),
                    as_slot: rest.terms.as_slot(),
                };
                work.begin(RunsIn::Background(RunOf { run, terms }, self.errors));
                return match wait {
                    Some(wait) => {
                        rest.next = Next::Wait(wait);
                        self.end(rest)
                    }
                    None => {
                        answered(rest.place.value(), answer);
                        Phase::Over
                    }
                };
            }
            Next::Step(Step::Answer) | Next::Body(_) | Next::Wait(_) | Next::Nothing => {
                unreachable!("invariant: a step that is left to do")
            }
        };
        self.begin(rest, running, work)
    }

    fn begin(
        &self,
        mut rest: Box<Rest<O, R>>,
        running: Box<Running>,
        work: &mut (dyn Work<R, T> + '_),
    ) -> Phase<O, R, A, Z> {
        work.begin(RunsIn::Call);
        rest.next = Next::Body(running);
        Phase::Running(rest)
    }

    fn poll_running(
        &self,
        rest: Box<Rest<O, R>>,
        work: &mut (dyn Work<R, T> + '_),
        cx: &mut Context<'_>,
        answer: &mut Poll<T>,
    ) -> Flow<O, R, A, Z> {
        let mut polled = Polled {
            rest: Some(rest),
            work,
        };
        match polled.poll(cx) {
            Poll::Pending => Break(Phase::Running(polled.disarm())),
            Poll::Ready(Ok(())) => Continue(self.end(polled.drop_body())),
            Poll::Ready(Err(error)) => {
                failed(&mut polled.drop_body(), self.errors, error, answer);
                Break(Phase::Over)
            }
        }
    }

    fn end(&self, rest: Box<Rest<O, R>>) -> Phase<O, R, A, Z> {
        Phase::Ending((self.end)(rest))
    }
}

/// Answers by the value that is at hand, if there is one.
#[inline(never)]
fn at_hand<R, T: Returns<R>>(terms: &impl Terms<R>, answer: &mut Poll<T>) {
    let mut value = None;
    terms.near(&mut value);
    if value.is_some() {
        answered(&mut value, answer);
    }
}

/// Polls what comes before a body; gives what is left of the call, or `None` where it was answered.
#[inline(never)]
fn poll_asking<O, R, T, A>(
    asking: &mut Pin<Box<A>>,
    cx: &mut Context<'_>,
    answer: &mut Poll<T>,
) -> Poll<Option<Box<Rest<O, R>>>>
where
    T: Returns<R>,
    A: Future<Output = AnswerOrRest<O, R>>,
{
    take_rest(asking.as_mut().poll(cx), answer)
}

#[inline]
fn take_rest<O, R, T: Returns<R>>(
    reached: Poll<AnswerOrRest<O, R>>,
    answer: &mut Poll<T>,
) -> Poll<Option<Box<Rest<O, R>>>> {
    match reached {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(rest)) => Poll::Ready(Some(rest)),
        Poll::Ready(Ok(value)) => {
            *answer = Poll::Ready(T::from_result(Ok(value)));
            Poll::Ready(None)
        }
    }
}

#[inline]
fn answered<R, T: Returns<R>>(value: &mut Option<R>, answer: &mut Poll<T>) {
    match value.take() {
        Some(value) => *answer = Poll::Ready(T::from_result(Ok(value))),
        None => unreachable!("{ANSWERED}"),
    }
}

/// Goes on after a body that failed with `error`. What it was run for goes on without the rest of the call.
#[inline(never)]
fn failed<O: Terms<R>, R, T: Returns<R>>(
    rest: &mut Rest<O, R>,
    errors: ErrorShare<T::Error>,
    error: T::Error,
    answer: &mut Poll<T>,
) {
    let Rest { terms, place, next } = rest;
    let Next::Body(running) = mem::replace(next, Next::Nothing) else {
        unreachable!("invariant: a body that failed")
    };
    let mut held = Held::new(terms.rules(), terms.ttl(), terms.as_slot(), place);
    let is_answered = running.failed(held.slot(), &|| errors.keep(&error));
    match is_answered {
        true => answered(rest.place.value(), answer),
        false => *answer = Poll::Ready(T::from_result(Err(error))),
    }
}

#[inline(never)]
fn poll_ending<O, R, T, A, Z>(
    mut ending: Pin<Box<Z>>,
    cx: &mut Context<'_>,
    answer: &mut Poll<T>,
) -> Flow<O, R, A, Z>
where
    T: Returns<R>,
    Z: Future<Output = Box<Rest<O, R>>>,
{
    match ending.as_mut().poll(cx) {
        Poll::Pending => Break(Phase::Ending(ending)),
        Poll::Ready(mut rest) => {
            answered(rest.place.value(), answer);
            Break(Phase::Over)
        }
    }
}
