//! The body of a course, and the poll of it.
//!
//! The one rule: **a body that has begun is dropped inside the flight that it runs for**, so that a call in the `Drop` of one of
//! its locals does not wait for it.

use std::task::{Context, Poll};

use super::{
    rest::{Next, Rest},
    terms::RunOf,
};
use crate::{
    lookup::slot::Values,
    value::{returns::Returns, share::ErrorShare},
};

/// A body; it runs once at most.
pub(crate) trait Work<R, T: Returns<R>>: AnyWork {
    /// Begins it there, if it can run there.
    fn begin(&mut self, runs_in: RunsIn<R, T>);

    /// Polls a body that has begun in the call.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T>;
}

/// A [`Work`] of values of any type.
pub(crate) trait AnyWork {
    /// Drops a body that has begun in the call.
    fn drop_body(&mut self);
}

/// Where a body runs.
pub(crate) enum RunsIn<R, T: Returns<R>> {
    Call,
    Background(RunOf<R>, ErrorShare<T::Error>),
}

/// A body that is polled. Where that panics the body is dropped before what it runs for, which then ends with it.
pub(super) struct Polled<'a, O, R, T: Returns<R>> {
    /// `None`: disarmed.
    pub(super) rest: Option<Box<Rest<O, R>>>,
    pub(super) work: &'a mut (dyn Work<R, T> + 'a),
}

impl<O, R, T: Returns<R>> Polled<'_, O, R, T> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        let Some(Rest {
            place,
            next: Next::Body(running),
            ..
        }) = self.rest.as_deref_mut()
        else {
            unreachable!("invariant: a body that runs")
        };
        let mut outcome = Poll::Pending;
        let work = &mut *self.work;
        running.poll(cx, &mut |cx| {
            outcome = put_outcome(work.poll(cx), place);
            outcome.is_ready()
        });
        outcome
    }

    pub(super) fn disarm(&mut self) -> Box<Rest<O, R>> {
        self.rest.take().expect("invariant: it is disarmed once")
    }

    /// Drops the body; gives what is left of the call.
    pub(super) fn drop_body(&mut self) -> Box<Rest<O, R>> {
        if let Some(rest) = &self.rest {
            rest.next.drop_body(self.work);
        }
        self.disarm()
    }
}

impl<O, R, T: Returns<R>> Drop for Polled<'_, O, R, T> {
    fn drop(&mut self) {
        if let Some(rest) = &self.rest {
            rest.next.drop_body(self.work);
        }
    }
}

impl Next {
    /// Drops a body that runs, inside its flight: a call in the `Drop` of one of its locals would wait for it otherwise.
    pub(super) fn drop_body(&self, work: &mut dyn AnyWork) {
        if let Self::Body(running) = self {
            match running.led() {
                Some(flight) => flight.scope_end(&mut || work.drop_body()),
                None => work.drop_body(),
            }
        }
    }
}

/// Puts what a body returned into its place.
#[inline(never)]
fn put_outcome<R, T: Returns<R>>(
    outcome: Poll<T>,
    place: &mut Values<R>,
) -> Poll<Result<(), T::Error>> {
    match outcome {
        Poll::Ready(returned) => Poll::Ready(put(returned.into_result(), place)),
        Poll::Pending => Poll::Pending,
    }
}

fn put<R, E>(returned: Result<R, E>, place: &mut Values<R>) -> Result<(), E> {
    match returned {
        Ok(value) => {
            place.put(value);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
