//! Bodies, and futures dropped at a poll.

use cache_tests::body::Failed;
use cache_tests::{Body, at_every_poll, poll_n_then_drop};

#[tokio::test]
async fn a_body_counts_its_runs_and_how_many_run_at_once() {
    let body = Body::gated();
    let mut runs = Vec::new();
    for _ in 0..3 {
        let body = body.clone();
        runs.push(tokio::spawn(async move { body.run().await }));
    }
    body.wait_until_running(3).await;
    assert_eq!(
        (body.runs(), body.running(), body.most_at_once()),
        (3, 3, 3)
    );
    body.let_through(2);
    body.wait_until_finished(1).await;
    body.open_gate();
    let mut numbers = Vec::new();
    for run in runs {
        numbers.push(run.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
    body.wait_until_idle().await;
    assert_eq!(
        (
            body.runs(),
            body.running(),
            body.most_at_once(),
            body.finished()
        ),
        (3, 0, 3, 3)
    );
    assert_eq!(body.returning("x").await.unwrap(), "x");
    assert_eq!(body.most_at_once(), 3);
}

#[tokio::test]
async fn a_shut_gate_lets_only_the_run_through_that_was_named() {
    let body = Body::gated();
    body.let_through(2);
    let first = tokio::spawn({
        let body = body.clone();
        async move { body.run().await }
    });
    body.wait_until_running(1).await;
    assert_eq!(body.run().await.unwrap(), 2);
    assert_eq!(body.running(), 1);
    body.let_through(1);
    assert_eq!(first.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_body_fails_and_panics_on_command() {
    let body = Body::new();
    body.fail_next(2);
    assert_eq!(body.run().await, Err(Failed { run: 1 }));
    assert_eq!(body.run().await, Err(Failed { run: 2 }));
    assert_eq!(body.run().await, Ok(3));
    body.panic_next(1);
    let panicked = tokio::spawn({
        let body = body.clone();
        async move { body.run().await }
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!((body.running(), body.finished(), body.dropped()), (0, 4, 0));
    body.fail();
    assert_eq!(body.run().await, Err(Failed { run: 5 }));
    body.succeed();
    assert_eq!(body.run().await, Ok(6));
}

#[tokio::test]
async fn a_blocked_run_can_still_be_told_to_fail() {
    let body = Body::gated();
    let run = tokio::spawn({
        let body = body.clone();
        async move { body.run().await }
    });
    body.wait_until_running(1).await;
    body.fail_next(1);
    body.open_gate();
    assert_eq!(run.await.unwrap(), Err(Failed { run: 1 }));
}

#[tokio::test]
async fn a_dropped_run_is_counted_as_dropped() {
    let body = Body::gated();
    assert_eq!(poll_n_then_drop(body.run(), 1).await, None);
    assert_eq!(
        (body.runs(), body.running(), body.finished(), body.dropped()),
        (1, 0, 0, 1)
    );
}

/// Sets its flag when it is dropped.
struct Flag<'a>(&'a std::cell::Cell<bool>);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[tokio::test]
async fn a_future_is_dropped_at_exactly_its_nth_poll() {
    for n in 0..5 {
        let (polls, dropped) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
        let future = async {
            let _flag = Flag(&dropped);
            for _ in 0..3 {
                polls.set(polls.get() + 1);
                tokio::task::yield_now().await;
            }
            polls.set(polls.get() + 1);
        };
        // Three awaits need four polls.
        let finished = poll_n_then_drop(future, n).await.is_some();
        assert_eq!((finished, polls.get()), (n >= 4, n.min(4)), "n = {n}");
        assert_eq!(
            dropped.get(),
            n > 0,
            "a future that was never polled has made nothing"
        );
    }
}

#[tokio::test]
async fn every_poll_is_tried_until_the_future_finishes() {
    let mut tried = Vec::new();
    let (n, output) = at_every_poll(async |n| {
        tried.push(n);
        let future = async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            "done"
        };
        poll_n_then_drop(future, n).await
    })
    .await;
    assert_eq!((n, output), (3, "done"));
    assert_eq!(tried, [1, 2, 3]);
}
