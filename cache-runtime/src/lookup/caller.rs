//! What only the side of a call that knows its types can do: compiled for each type of value, and for no body.
//!
//! The one rule: **it decides nothing**: the [course](super::course) of a call says what is done, and knows no types. An
//! error stands in the frame of one poll alone, so that a future is `Send` where its error is not.

use std::task::{Context, Poll};

use super::{
    seam::{AnyWork, BoxCourse, BoxRun, Caller, Ended},
    slot::{ANSWERED, Slot, value_in},
    terms::{Asks, KeptTerms, RunOf, Terms},
};
use crate::value::{
    freshness::Freshness,
    returns::Returns,
    share::{ErrorShare, Kept},
};

/// A body; it runs once at most.
pub(crate) trait Work<R, T: Returns<R>>: AnyWork {
    /// Begins it there, if it can run there.
    fn begin(&mut self, runs_in: RunsIn<R, T>);

    /// Polls a body that has begun in the call.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T>;
}

/// Where a body runs.
pub(crate) enum RunsIn<R, T: Returns<R>> {
    Call,
    Background(RunOf<R>, ErrorShare<T::Error>),
}

/// The one [`Caller`], for one poll of its call.
pub(super) struct TypedCaller<'a, O, R, T: Returns<R>> {
    terms: &'a O,
    errors: ErrorShare<T::Error>,
    work: &'a mut (dyn Work<R, T> + 'a),
    /// The error that the body ended with.
    error: Option<T::Error>,
    /// It stands in the outermost frame alone, because the frames of a poll stand on the stack under those of every call in the
    /// body.
    answer: &'a mut Poll<T>,
}

/// A value of more bytes than this is decoded on the heap, because it takes more stack than an allocation is worth.
const LARGE: usize = 1024;

/// How far a call is.
pub(super) enum Stage<O> {
    /// Nobody has asked for anything; with what makes the course, and whether the body is movable.
    Called(fn(&O, &dyn Caller, bool) -> BoxCourse, bool),
    Underway(BoxCourse),
}

impl<O> Stage<O> {
    /// A call of a function.
    pub(super) fn called<R>(movable: bool) -> Self
    where
        O: Asks<R>,
    {
        Self::Called(
            |asks, caller, movable| asks.question().begin(caller, movable),
            movable,
        )
    }

    /// A call whose body runs in any case.
    pub(super) fn refresh<R>() -> Self
    where
        O: Asks<R>,
    {
        Self::Called(|asks, caller, _| asks.question().begin_anew(caller), false)
    }

    /// Drops a body that runs.
    pub(super) fn leave(&mut self, work: &mut dyn AnyWork) {
        if let Self::Underway(course) = self {
            course.as_mut().leave(work);
        }
    }
}

impl<'a, O: Terms<R>, R: 'static, T: Returns<R>> TypedCaller<'a, O, R, T> {
    pub(super) fn new(
        terms: &'a O,
        errors: ErrorShare<T::Error>,
        work: &'a mut (dyn Work<R, T> + 'a),
        answer: &'a mut Poll<T>,
    ) -> Self {
        Self {
            terms,
            errors,
            work,
            error: None,
            answer,
        }
    }

    /// Goes on with the call as far as that is possible now.
    // Never inlined, so that it is compiled for no body.
    #[inline(never)]
    pub(super) fn go_on(mut self, stage: &mut Stage<O>, cx: &mut Context<'_>) {
        if let Stage::Called(begin, movable) = *stage {
            *stage = Stage::Underway(begin(self.terms, &self, movable));
        }
        if let Stage::Underway(course) = stage {
            course.as_mut().poll(&mut self, cx);
        }
    }

    fn answer_with(&mut self, answer: Result<R, T::Error>) {
        *self.answer = Poll::Ready(T::from_result(answer));
    }
}

impl<O: Terms<R>, R: 'static, T: Returns<R>> Caller for TypedCaller<'_, O, R, T> {
    // Never inlined, so that the slot is on no stack while a call waits.
    #[inline(never)]
    fn read(&mut self, read: &mut dyn FnMut(&mut dyn Slot) -> bool) -> Option<Box<dyn Slot>> {
        if const { size_of::<R>() > LARGE } {
            let mut slot = self.slot();
            if !read(&mut *slot) {
                return Some(slot);
            }
            self.answer(&mut *slot);
            return None;
        }
        let mut held = self.terms.held();
        if !read(held.slot()) {
            return Some(held.keep());
        }
        answer(held.take_value(), self.answer);
        None
    }

    fn freshness(&self) -> &Freshness {
        self.terms.rules().freshness()
    }

    fn slot(&self) -> Box<dyn Slot> {
        self.terms.held().keep()
    }

    fn answer(&mut self, slot: &mut dyn Slot) {
        answer(value_in(slot).take(), self.answer);
    }

    fn begin(&mut self) {
        self.work.begin(RunsIn::Call);
    }

    fn begin_in_background(&mut self, run: BoxRun) {
        let terms = KeptTerms {
            rules: self.terms.rules().kept(),
            as_slot: self.terms.as_slot(),
        };
        let run = RunOf { run, terms };
        self.work.begin(RunsIn::Background(run, self.errors));
    }

    fn poll(&mut self, slot: &mut dyn Slot, cx: &mut Context<'_>) -> Poll<Ended> {
        put_outcome(self.work.poll(cx), slot, &mut self.error)
    }

    fn drop_body(&mut self) {
        self.work.drop_body();
    }

    fn keep_error(&self) -> Option<Kept> {
        self.errors.keep(self.error.as_ref()?)
    }

    fn fail(&mut self) {
        match self.error.take() {
            Some(error) => self.answer_with(Err(error)),
            None => unreachable!("invariant: a body that failed"),
        }
    }

    fn take_error(&mut self, kept: &Kept) -> bool {
        let error = self.errors.take(&**kept);
        let is_its_own = error.is_some();
        if let Some(error) = error {
            self.answer_with(Err(error));
        }
        is_its_own
    }
}

/// Makes the value the answer.
#[inline]
pub(super) fn answer<R, T: Returns<R>>(value: Option<R>, answer: &mut Poll<T>) {
    match value {
        Some(value) => *answer = Poll::Ready(T::from_result(Ok(value))),
        None => unreachable!("{ANSWERED}"),
    }
}

/// Puts what a body returned into its slot, or its error into its place.
#[inline(never)]
fn put_outcome<R: 'static, T: Returns<R>>(
    outcome: Poll<T>,
    slot: &mut dyn Slot,
    error: &mut Option<T::Error>,
) -> Poll<Ended> {
    match outcome {
        Poll::Ready(returned) => Poll::Ready(put(returned.into_result(), slot, error)),
        Poll::Pending => Poll::Pending,
    }
}

fn put<R: 'static, E>(returned: Result<R, E>, slot: &mut dyn Slot, place: &mut Option<E>) -> Ended {
    match returned {
        Ok(value) => {
            *value_in(slot) = Some(value);
            Ended::Returned
        }
        Err(error) => {
            *place = Some(error);
            Ended::Failed
        }
    }
}
