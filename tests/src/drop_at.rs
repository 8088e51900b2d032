//! Drops a future at its n-th poll, so that a test can drop it at each of its awaits.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

/// More polls than any future in these tests needs.
const ENDLESS: usize = 10_000;

/// Polls `future` each time it is woken, at most `n` times, then drops it; `None` if it had not finished.
///
/// # Cancel safety
///
/// As cancel safe as `future`.
pub async fn poll_n_then_drop<F: Future>(future: F, n: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        if polls == n {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == n => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Runs `attempt(n)` with n = 1, 2, 3 … until it returns something, and returns that and the n.
///
/// An attempt sets its scene, gives a future to [`poll_n_then_drop`], checks what a drop has left
/// behind, and returns what `poll_n_then_drop` returned.
///
/// # Panics
///
/// Panics when the future never finishes.
///
/// # Cancel safety
///
/// As cancel safe as `attempt`.
pub async fn at_every_poll<T>(mut attempt: impl AsyncFnMut(usize) -> Option<T>) -> (usize, T) {
    for n in 1..=ENDLESS {
        if let Some(output) = attempt(n).await {
            return (n, output);
        }
    }
    panic!("the future was dropped at {ENDLESS} polls and has not finished once");
}
