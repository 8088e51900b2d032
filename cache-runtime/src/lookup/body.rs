//! The typed side of the path: the one file that is compiled for each function.
//!
//! The one rule: **an error lives in one `match` here, and is held across no await**, so that a future is `Send` where
//! its error is not. Nothing is decided here: each function carries a value between its caller, its slot and its body.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use super::{
    Question, Step,
    background::RunOf,
    boxed,
    running::Running,
    slot::{AsSlot, Held},
};
use crate::{policy::Rules, share::ErrorShare};

/// Somebody whose calls return `R`.
pub(crate) trait Asks<R> {
    /// What a call asks for.
    fn question(&self) -> Question<'_>;

    /// What the attribute says about its values.
    fn rules(&self) -> &(dyn Rules<R> + Send + Sync);

    /// How a slot for them forgets their type.
    fn as_slot(&self) -> AsSlot<R>;
}

/// A body and its arguments; it runs once at most, in one of two ways.
///
/// The two are closures of this very type and no implementations of a trait: whether a call's future is
/// `Send` would depend on the lifetimes that such a trait is implemented for, and the compiler forgets them
/// before it asks.
pub(crate) struct Work<A, I, B> {
    pub(crate) arguments: A,
    /// Runs the body for its caller: it may borrow.
    pub(crate) inline: I,
    /// Runs the body without its caller, if it can.
    pub(crate) background: Option<B>,
}

/// The type of a [`Work::background`] that is not there.
type Nowhere<R, E> = fn((), RunOf<R>, ErrorShare<E>);

/// A body that only its caller can wait for.
pub(crate) fn inline<R, E, I>(inline: I) -> Work<(), I, Nowhere<R, E>> {
    Work {
        arguments: (),
        inline,
        background: None,
    }
}

/// Answers from the cache, else from the body that `work` is.
///
/// # Cancel safety
///
/// Dropping the future hands the work to a call that waits for it, which runs its own body.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would keep what it takes twice"
)]
pub(crate) fn answer<O, R, A, E, F, I, B>(
    asks: O,
    errors: ErrorShare<E>,
    work: Work<A, I, B>,
) -> impl Future<Output = Result<R, E>>
where
    O: Asks<R>,
    I: FnOnce(A) -> F,
    F: Future<Output = Result<R, E>>,
    B: FnOnce(A, RunOf<R>, ErrorShare<E>),
{
    async move {
        let mut held = Held::new(asks.rules(), asks.as_slot());
        let question = asks.question();
        let movable = work.background.is_some();
        let body = match question.begin(held.slot(), movable).await {
            Step::Answer => return Ok(held.answer()),
            Step::Background(run, wait) => {
                if let Some(begin) = work.background {
                    let run = RunOf::new(run, asks.rules().kept(), asks.as_slot());
                    begin(work.arguments, run, errors);
                }
                if let Some(wait) = wait {
                    wait.answer(held.slot()).await;
                }
                return Ok(held.answer());
            }
            Step::Failed(kept, body) => match errors.take(&*kept) {
                Some(error) => {
                    return match body.is_answered_by_error(held.slot()) {
                        true => Err(error),
                        false => Ok(held.answer()),
                    };
                }
                None => match body.unless_it_falls_back(held.slot()) {
                    Some(body) => body,
                    None => return Ok(held.answer()),
                },
            },
            Step::Body(body) => body,
        };
        let running = body.begin();
        let body = boxed(|| (work.inline)(work.arguments));
        run(running, &mut held, errors, body).await
    }
}

/// Runs `body` now, and stores what it returns in the place of what is stored or computed now.
///
/// # Cancel safety
///
/// Dropping the future stores nothing; a call that waits for it runs its own body.
pub(crate) async fn refresh<R, E, F: Future<Output = Result<R, E>>>(
    asks: impl Asks<R>,
    body: F,
) -> Result<R, E> {
    let mut held = Held::new(asks.rules(), asks.as_slot());
    match asks.question().begin_anew(held.slot()).await {
        Step::Body(begins) => {
            let running = begins.begin();
            run(running, &mut held, ErrorShare::alone(), boxed(|| body)).await
        }
        Step::Answer | Step::Background(..) | Step::Failed(..) => {
            unreachable!("invariant: a body that takes the key over runs")
        }
    }
}

/// Runs a body, and lets the path go on with what came of it.
pub(super) async fn run<R, E, F: Future<Output = Result<R, E>> + ?Sized>(
    mut running: Running,
    held: &mut Held<'_, R>,
    errors: ErrorShare<E>,
    body: Pin<Box<F>>,
) -> Result<R, E> {
    let ended = {
        let (running, held, mut body) = (&mut running, &mut *held, body);
        poll_fn(move |cx| {
            let mut outcome = Poll::Pending;
            running.poll(cx, &mut |cx| {
                outcome = body.as_mut().poll(cx);
                outcome.is_ready()
            });
            match outcome {
                Poll::Ready(Ok(value)) => {
                    held.put(value);
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        })
    };
    match ended.await {
        Ok(()) => {}
        Err(error) => {
            // Made only for those who wait, because what an error says is nobody else's to keep.
            let kept = running.is_awaited().then(|| errors.keep(&error));
            if running.failed(held.slot(), kept) {
                return Ok(held.answer());
            }
            return Err(error);
        }
    }
    if let Some(storing) = running.returned(held.slot()) {
        storing.await;
    }
    Ok(held.answer())
}
