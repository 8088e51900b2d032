//! A body and the future of its call: the one file of the path that is compiled for each function.
//!
//! The one rule: **what depends on a body's type is here, and is little**, because a compiler makes all of it again when
//! somebody edits the body. Nothing is decided here: see the [course](super::course) of a call.
//!
//! The compiler puts what it makes of this file for the functions of a crate together, and all drops of that crate, and makes
//! each of the two again as a whole. So a layer between a call and its body costs more than its own code. What only makes a
//! future is always inlined: it is made again together with the function that calls it, and nowhere else.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use super::{
    BoxFuture,
    caller::{RunsIn, Stage, TypedCaller, Work},
    seam::AnyWork,
    terms::{Asks, RunOf, Terms},
};
use crate::value::{returns::Returns, share::ErrorShare};

/// A body that only its caller can wait for.
pub(crate) struct Inline<I, F> {
    make: Option<I>,
    body: Option<Pin<Box<F>>>,
}

#[inline(always)]
pub(crate) fn inline<F, I: FnOnce() -> F>(make: I) -> Inline<I, F> {
    Inline {
        make: Some(make),
        body: None,
    }
}

impl<R, T, F, I> Work<R, T> for Inline<I, F>
where
    T: Returns<R>,
    F: Future<Output = T>,
    I: FnOnce() -> F,
{
    fn begin(&mut self, runs_in: RunsIn<R, T>) {
        if let (RunsIn::Call, Some(make)) = (runs_in, self.make.take()) {
            self.body = Some(Box::pin(make()));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.body {
            Some(body) => body.as_mut().poll(cx),
            None => unreachable!("invariant: a body that has begun"),
        }
    }
}

impl<I, F> AnyWork for Inline<I, F> {
    fn drop_body(&mut self) {
        self.body = None;
    }
}

/// A body that can run in the background.
///
/// The ways to run it are closures of this very type and no implementations of a trait: whether a call's future is
/// `Send` would depend on the lifetimes that such a trait is implemented for, and the compiler forgets them
/// before it asks.
pub(crate) struct Movable<A, I, B, F> {
    made_of: Option<(A, I, B)>,
    body: Option<Pin<Box<F>>>,
}

/// `inline` may borrow; `background` begins what owns all that it uses.
#[inline(always)]
pub(crate) fn movable<A, I, B, F>(arguments: A, inline: I, background: B) -> Movable<A, I, B, F> {
    Movable {
        made_of: Some((arguments, inline, background)),
        body: None,
    }
}

impl<R, T, A, I, B, F> Work<R, T> for Movable<A, I, B, F>
where
    T: Returns<R>,
    I: FnOnce(A) -> F,
    F: Future<Output = T>,
    B: FnOnce(A, RunOf<R>, ErrorShare<T::Error>),
{
    fn begin(&mut self, runs_in: RunsIn<R, T>) {
        if let Some((arguments, inline, background)) = self.made_of.take() {
            match runs_in {
                RunsIn::Call => self.body = Some(Box::pin(inline(arguments))),
                RunsIn::Background(run, errors) => background(arguments, run, errors),
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.body {
            Some(body) => body.as_mut().poll(cx),
            None => unreachable!("invariant: a body that has begun"),
        }
    }
}

impl<A, I, B, F> AnyWork for Movable<A, I, B, F> {
    fn drop_body(&mut self) {
        self.body = None;
    }
}

/// The future of a call.
struct Answering<O, R, T, W>
where
    T: Returns<R>,
    W: Work<R, T>,
{
    /// Dropped before the arguments of a body that has not begun, because its flight ends with it: a call in the `Drop` of
    /// one of them would wait for it otherwise. A body that runs is dropped before both.
    stage: Stage<O>,
    work: W,
    terms: O,
    errors: ErrorShare<T::Error>,
}

// Nothing in it is pinned but what has a box of its own.
impl<O, R, T: Returns<R>, W: Work<R, T>> Unpin for Answering<O, R, T, W> {}

impl<O, R, T, W> Future for Answering<O, R, T, W>
where
    O: Terms<R>,
    R: 'static,
    T: Returns<R>,
    W: Work<R, T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self {
            stage,
            work,
            terms,
            errors,
        } = self.get_mut();
        let mut answer = Poll::Pending;
        TypedCaller::new(terms, *errors, work, &mut answer).go_on(stage, cx);
        answer
    }
}

impl<O, R, T: Returns<R>, W: Work<R, T>> Drop for Answering<O, R, T, W> {
    fn drop(&mut self) {
        self.stage.leave(&mut self.work);
    }
}

/// Answers from the cache, else from the body that `work` is; `movable`: which can run in the background.
///
/// # Cancel safety
///
/// Dropping the future hands the work to a call that waits for it, which runs its own body.
#[inline(always)]
pub(crate) fn get_or_run<O, R, T, W>(
    asks: O,
    errors: ErrorShare<T::Error>,
    movable: bool,
    work: W,
) -> impl Future<Output = T>
where
    O: Asks<R>,
    R: 'static,
    T: Returns<R>,
    W: Work<R, T>,
{
    Answering {
        stage: Stage::called(movable),
        work,
        terms: asks,
        errors,
    }
}

/// Runs `body` now, and stores what it returns in the place of what is stored or computed now.
///
/// # Cancel safety
///
/// Dropping the future stores nothing; a call that waits for it runs its own body.
pub(crate) fn refresh<O, R, F>(asks: O, body: F) -> impl Future<Output = F::Output>
where
    O: Asks<R>,
    R: 'static,
    F: Future<Output: Returns<R>>,
{
    Answering {
        stage: Stage::refresh(),
        work: inline(|| body),
        terms: asks,
        errors: ErrorShare::alone(),
    }
}

/// A body that owns all that it uses.
type OwnedBody<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<R> RunOf<R> {
    /// Begins the body that `own` makes of the arguments, with owned copies of what they lend.
    pub(crate) fn begin<T, A, G>(
        self,
        own: impl FnOnce(A) -> G,
        arguments: A,
        errors: ErrorShare<T::Error>,
    ) where
        R: Send + 'static,
        T: Returns<R, Error: 'static> + 'static,
        G: Future<Output = T> + Send + 'static,
    {
        // The arguments are copied now, while what they lend is there. A copy is made for the cache's sake, so a panic
        // of the user's `Clone` is no reason for the call to fail; copies half made are dropped.
        match catch_unwind(AssertUnwindSafe(|| own(arguments))) {
            Ok(body) => self.begin_owned(Box::pin(body), errors),
            Err(_) => self.run.has_no_body(),
        }
    }

    fn begin_owned<T>(self, body: OwnedBody<T>, errors: ErrorShare<T::Error>)
    where
        R: Send + 'static,
        T: Returns<R, Error: 'static> + 'static,
    {
        let Self { run, terms } = self;
        let slot = terms.held().keep();
        let call = move |course| -> BoxFuture<'static, ()> {
            let mut work = inline(|| body);
            work.begin(RunsIn::Call);
            let run = Answering {
                stage: Stage::Underway(course),
                work,
                terms,
                errors,
            };
            // The error is the cache's to keep quiet about: the stale value was the answer.
            Box::pin(async { drop(run.await) })
        };
        run.begin(slot, Box::new(call));
    }
}
