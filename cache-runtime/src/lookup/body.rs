//! The typed side of the path: the one file in which it meets a body, compiled for each function.
//!
//! The one rule: **an error lives in one `match` here, and is held across no await**, so that a future is `Send` where
//! its error is not. Nothing is decided here: each function carries a value between the caller, the slot and the body.

use std::{
    convert::identity,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Question, Step,
    background::Run,
    boxed,
    running::Running,
    slot::{AsSlot, Held},
    within::Led,
};
use crate::value::{policy::Rules, share::ErrorShare};

/// Somebody whose calls return `R`.
pub(crate) trait Asks<R> {
    /// What a call asks for.
    fn question(&self) -> &Question;

    /// For how long its values are fresh. Default: the attribute's.
    fn ttl(&self) -> Option<Duration>;

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

/// Answers from the cache, else from the body that `work` is. `end`: what the caller gets for that outcome.
///
/// # Cancel safety
///
/// Dropping the future hands the work to a call that waits for it, which runs its own body.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would keep what it takes twice"
)]
pub(crate) fn get_or_run<O, R, A, E, F, I, B, T>(
    asks: O,
    errors: ErrorShare<E>,
    work: Work<A, I, B>,
    end: impl Fn(Result<R, E>) -> T,
) -> impl Future<Output = T>
where
    O: Asks<R>,
    I: FnOnce(A) -> F,
    F: Future<Output = Result<R, E>>,
    B: FnOnce(A, RunOf<R>, ErrorShare<E>),
{
    async move {
        let mut held = Held::new(asks.rules(), asks.ttl(), asks.as_slot());
        let question = asks.question();
        let movable = work.background.is_some();
        let running = match question.begin(held.slot(), movable).await {
            Step::Answer => None,
            Step::Background(run, wait) => {
                if let Some(begin) = work.background {
                    let run = RunOf::new(run, asks.rules().kept(), asks.as_slot());
                    begin(work.arguments, run, errors);
                }
                if let Some(wait) = wait {
                    wait.answer(held.slot()).await;
                }
                return ended(&mut held, Ok(()), end);
            }
            Step::Failed(kept, mut lookup) => match errors.take(&*kept) {
                Some(error) => {
                    lookup.coalesced();
                    return ended(&mut held, Err(error), end);
                }
                None => Some(lookup.alone(None)),
            },
            Step::Body(running) => Some(running),
        };
        if let Some(running) = running {
            let body = boxed(work.inline, work.arguments);
            if let Err(error) = run(running, &mut held, errors, body).await {
                return ended(&mut held, Err(error), end);
            }
        }
        ended(&mut held, Ok(()), end)
    }
}

/// What the caller gets. A function, because an unoptimised build makes room for each value on its way out of the slot,
/// and that is not to stand under what a call waits for.
fn ended<R, E, T>(
    held: &mut Held<'_, R>,
    outcome: Result<(), E>,
    end: impl Fn(Result<R, E>) -> T,
) -> T {
    match outcome {
        Ok(()) => end(Ok(held.take_answer())),
        Err(error) => end(Err(error)),
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
    let mut held = Held::new(asks.rules(), asks.ttl(), asks.as_slot());
    let running = asks.question().begin_anew(held.slot()).await;
    let body = boxed(identity, body);
    match run(running, &mut held, ErrorShare::alone(), body).await {
        Ok(()) => ended(&mut held, Ok(()), identity),
        Err(error) => Err(error),
    }
}

/// A [`Run`], with the rules of its value, whose type they know.
pub(crate) struct RunOf<R> {
    run: Box<Run>,
    rules: Arc<dyn Rules<R> + Send + Sync>,
    as_slot: AsSlot<R>,
}

impl<R> RunOf<R> {
    fn new(run: Box<Run>, rules: Arc<dyn Rules<R> + Send + Sync>, as_slot: AsSlot<R>) -> Self {
        Self {
            run,
            rules,
            as_slot,
        }
    }

    /// Begins the body that `own` makes of the arguments, with owned copies of what they lend.
    pub(crate) fn begin<E, A, G>(
        self,
        own: impl FnOnce(A) -> G,
        arguments: A,
        errors: ErrorShare<E>,
    ) where
        R: Send + 'static,
        E: 'static,
        G: Future<Output = Result<R, E>> + Send + 'static,
    {
        // The arguments are copied now, while what they lend is there. A copy is made for the cache's sake, so a panic
        // of the user's `Clone` is no reason for the call to fail; copies half made are dropped.
        match catch_unwind(AssertUnwindSafe(|| own(arguments))) {
            Ok(body) => self.begin_owned(Box::pin(body), errors),
            Err(_) => self.run.has_no_body(),
        }
    }

    fn begin_owned<E: 'static>(self, body: OwnedBody<R, E>, errors: ErrorShare<E>)
    where
        R: Send + 'static,
    {
        let Self {
            run: begins,
            rules,
            as_slot,
        } = self;
        begins.begin(|acquiring| {
            Box::pin(async move {
                let mut held = Held::new(&*rules, None, as_slot);
                let Some((running, watch)) = acquiring.acquire(held.slot()).await else {
                    return;
                };
                let run = run(running, &mut held, errors, body);
                // The error is the cache's to keep quiet about: the stale value was the answer.
                let mut run = std::pin::pin!(run);
                let ended = timeout(watch.limit(), run.as_mut()).await.map(drop);
                if ended.is_err() {
                    // Before the flight ends, which is with the run: whoever leads next sees that the key backs off.
                    watch.gave_up();
                }
            })
        });
    }
}

/// A body that owns all that it uses.
type OwnedBody<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

/// Runs a body, and lets the path go on with what came of it: the answer is in the slot, or an error.
async fn run<R, E, F: Future<Output = Result<R, E>> + ?Sized>(
    mut running: Box<Running>,
    held: &mut Held<'_, R>,
    errors: ErrorShare<E>,
    body: Pin<Box<F>>,
) -> Result<(), E> {
    let ended = {
        let led = running.led();
        let (running, held, mut body) = (
            &mut running,
            &mut *held,
            InFlight {
                led,
                body: Some(body),
            },
        );
        poll_fn(move |cx| {
            let mut outcome = Poll::Pending;
            running.poll(cx, &mut |cx| {
                outcome = match &mut body.body {
                    Some(body) => put_outcome(body.as_mut().poll(cx), held),
                    None => unreachable!("invariant: there until the drop"),
                };
                outcome.is_ready()
            });
            outcome
        })
    };
    match ended.await {
        Ok(()) => {}
        Err(error) => {
            let is_answered = running.failed(held.slot(), &|| errors.keep(&error));
            return if is_answered { Ok(()) } else { Err(error) };
        }
    }
    if let Some(storing) = running.returned(held.slot()) {
        storing.await;
    }
    Ok(())
}

/// A body that is dropped inside its flight, because a call in the `Drop` of one of its locals would wait for it
/// otherwise.
struct InFlight<F: ?Sized> {
    led: Option<Arc<Led>>,
    /// `None`: it was dropped.
    body: Option<Pin<Box<F>>>,
}

impl<F: ?Sized> Drop for InFlight<F> {
    fn drop(&mut self) {
        if let Some(led) = self.led.take() {
            led.scope_end(&mut || self.body = None);
        }
    }
}

/// Puts what a body returned into its slot.
fn put_outcome<R, E>(outcome: Poll<Result<R, E>>, held: &mut Held<'_, R>) -> Poll<Result<(), E>> {
    match outcome {
        Poll::Ready(Ok(value)) => {
            held.put(value);
            Poll::Ready(Ok(()))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Pending => Poll::Pending,
    }
}
