//! No test sleeps "long enough": it waits for what it needs, and a bound tells what never came.
//!
//! Bounds are real time, so they hold where a test has paused tokio's clock.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::background;

/// A bound for things that take milliseconds, generous enough for a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Polls `condition` every few milliseconds until it holds.
///
/// # Panics
///
/// Panics with `what` when the condition does not hold within `limit`.
///
/// # Cancel safety
///
/// Cancel safe as far as `condition` is.
pub async fn eventually(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    within(what, limit, async {
        while !condition().await {
            background::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Awaits `future`, at most for `limit`.
///
/// # Panics
///
/// Panics with `what` when the future is not ready within `limit`.
///
/// # Cancel safety
///
/// As cancel safe as `future`.
pub async fn within<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    match bounded(limit, future).await {
        Some(output) => output,
        None => panic!("waited {limit:?} in vain: {what}"),
    }
}

/// Awaits `future`, and says how long that took.
///
/// # Cancel safety
///
/// As cancel safe as `future`.
pub async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}

/// Awaits `future`; nothing if it is not ready within `limit`.
pub(crate) async fn bounded<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut late = pin!(background::sleep(limit));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| None),
    })
    .await
}
