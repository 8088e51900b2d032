//! What comes before a body, and after it, with what is left of the call in between.
//!
//! The one rule: **a future is made in the box that it stays in**, because a move of it costs every hit.

use std::{future::Future, mem, pin::Pin};

use super::terms::{Asks, Terms};
use crate::lookup::{
    Step,
    background::SoftWait,
    running::Running,
    slot::{Held, Values},
};

/// What is left of a call that the cache did not answer at once.
pub(in crate::lookup) struct Rest<O, R> {
    /// Dropped before the values, because the flight ends with it: a call in the `Drop` of a value would wait for it
    /// otherwise.
    pub(super) next: Next,
    pub(super) place: Values<R>,
    pub(super) terms: O,
}

/// What is to be done next.
pub(super) enum Next {
    Step(Step),
    /// The body runs, or has put its value into the place.
    Body(Box<Running>),
    Wait(Box<SoftWait>),
    Nothing,
}

/// The answer, or what is left of the call.
pub(in crate::lookup) type AnswerOrRest<O, R> = Result<R, Box<Rest<O, R>>>;

/// What comes before a body.
///
/// # Cancel safety
///
/// Dropping the future hands the work to a call that waits for it, which runs its own body.
#[inline(never)]
pub(in crate::lookup) fn ask<O: Asks<R>, R>(
    asks: O,
    movable: bool,
) -> Pin<Box<impl Future<Output = AnswerOrRest<O, R>>>> {
    Box::pin(async move {
        let mut place = Values::empty();
        let step = {
            let mut held = Held::new(asks.rules(), asks.ttl(), asks.as_slot(), &mut place);
            asks.question().begin(held.slot(), movable).await
        };
        answer_or_rest(asks, &mut place, step)
    })
}

/// The same where the body runs in any case.
///
/// # Cancel safety
///
/// Dropping the future stores nothing; a call that waits for it runs its own body.
#[inline(never)]
pub(in crate::lookup) fn ask_anew<O: Asks<R>, R>(
    asks: O,
    _: bool,
) -> Pin<Box<impl Future<Output = AnswerOrRest<O, R>>>> {
    Box::pin(async move {
        let mut place = Values::empty();
        let running = {
            let mut held = Held::new(asks.rules(), asks.ttl(), asks.as_slot(), &mut place);
            asks.question().begin_anew(held.slot()).await
        };
        answer_or_rest(asks, &mut place, Step::Body(running))
    })
}

/// A function, because an unoptimised build makes room for each value on its way out of its place, and that is not to
/// stand under what a call waits for.
#[inline]
fn answer_or_rest<O, R>(terms: O, place: &mut Values<R>, step: Step) -> AnswerOrRest<O, R> {
    match step {
        Step::Answer => Ok(place.take_answer()),
        step => Err(Box::new(Rest {
            terms,
            place: place.take(),
            next: Next::Step(step),
        })),
    }
}

/// What comes after a body, or beside one; it leaves the answer in its place.
#[inline(never)]
pub(in crate::lookup) fn end<O: Terms<R>, R>(
    mut rest: Box<Rest<O, R>>,
) -> Pin<Box<impl Future<Output = Box<Rest<O, R>>>>> {
    Box::pin(async move {
        let Rest { terms, place, next } = &mut *rest;
        let mut held = Held::new(terms.rules(), terms.ttl(), terms.as_slot(), place);
        match mem::replace(next, Next::Nothing) {
            Next::Body(running) => {
                if let Some(storing) = running.returned(held.slot()) {
                    storing.await;
                }
            }
            Next::Wait(wait) => wait.answer(held.slot()).await,
            Next::Step(_) | Next::Nothing => {}
        }
        rest
    })
}
