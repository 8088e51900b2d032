//! `soft_timeout`: with a stale value at hand nobody waits longer for a body, and the body goes on.

use std::time::Duration;

use cache_runtime::{Cache, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, at_every_poll, poll_n_then_drop, timed, within};
use tokio::task::JoinSet;

use crate::scene::{Counts, FIRST_PAUSE, Scene, TTL, source, until_idle, until_stored};

const LIMIT: Duration = Duration::from_millis(30);

/// Gives up soon.
#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "30ms",
    skip(cache, body),
    cache = cache
)]
async fn hasty(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "30ms",
    skip(cache, body),
    cache = cache
)]
async fn crowd(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// Waits for longer than any test.
#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "1h",
    skip(cache, body),
    cache = cache
)]
async fn patient(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// An infallible body has its window for the sake of the soft timeout.
#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "30ms",
    skip(cache, body),
    cache = cache
)]
async fn sure(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

async fn soon<T>(call: impl Future<Output = T>) -> T {
    within("an answer at the soft timeout", SOON, call).await
}

#[tokio::test]
async fn a_slow_body_is_left_behind_and_stores() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(hasty(cache, &body, 1).await, Ok(1));
        assert_eq!(sure(cache, &body, 1).await, 2);
        scene.clock.advance(TTL);
        body.shut_gate();
        let (value, took) = timed(soon(Box::pin(hasty(cache, &body, 1)))).await;
        assert_eq!(value, Ok(1));
        assert!(took >= LIMIT, "{took:?}");
        body.wait_until_running(1).await;
        // Another one waits for the same run, as long.
        let (value, took) = timed(soon(Box::pin(hasty(cache, &body, 1)))).await;
        assert_eq!((value, body.runs()), (Ok(1), 3));
        assert!(took >= LIMIT, "{took:?}");
        assert_eq!(soon(Box::pin(sure(cache, &body, 1))).await, 2);
        body.open_gate();
        until_stored(&hasty_entry(cache, 1), 3).await;
        until_stored(&sure_entry(cache, 1), 4).await;
        assert_eq!(source(hasty(cache, &body, 1)).await, Source::Hit);
    }
}

#[tokio::test]
async fn a_fast_body_is_the_answer() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(patient(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        let call = within("the body's value", SOON, patient(cache, &body, 1));
        assert_eq!(call.await, Ok(2));
        assert_eq!(source(patient(cache, &body, 1)).await, Source::Hit);
        assert_eq!(body.runs(), 2);
    }
}

#[tokio::test]
async fn a_body_that_fails_or_panics_is_covered_at_once() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(patient(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.fail_next(1);
        let call = within("the stale value", SOON, patient(cache, &body, 1));
        assert_eq!(call.await, Ok(1));
        assert_eq!(source(patient(cache, &body, 1)).await, Source::Stale);
        assert_eq!(body.runs(), 2, "the key rests");
        scene.clock.advance(FIRST_PAUSE);
        body.panic_next(1);
        let call = within("the stale value", SOON, patient(cache, &body, 1));
        assert_eq!(call.await, Ok(1));
        assert_eq!(source(patient(cache, &body, 1)).await, Source::Stale);
        assert_eq!(body.runs(), 3, "the key rests");
        until_idle(cache, &body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_share_one_run_and_its_value() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(patient(cache, &body, 1).await, Ok(1));
        assert_eq!(crowd(cache, &body, 1).await, Ok(2));
        scene.clock.advance(TTL);
        body.shut_gate();
        let callers: JoinSet<_> = (0..50)
            .map(|_| {
                let (cache, body) = (cache.clone(), body.clone());
                async move { patient(&cache, &body, 1).await }
            })
            .collect();
        let waiting = async || cache.stats().waiting == 50;
        cache_tests::eventually("all to wait", SOON, waiting).await;
        body.let_through(3);
        let values = within("the new value", SOON, callers.join_all()).await;
        assert!(values.iter().all(|value| *value == Ok(3)), "{values:?}");
        assert_eq!(body.runs(), 3);

        let before = Counts::of("crowd");
        let callers: JoinSet<_> = (0..50)
            .map(|_| {
                let (cache, body) = (cache.clone(), body.clone());
                async move { crowd(&cache, &body, 1).await }
            })
            .collect();
        let values = within("the stale value", SOON, callers.join_all()).await;
        assert!(values.iter().all(|value| *value == Ok(2)), "{values:?}");
        assert_eq!(Counts::since("crowd", before).stale, 50);
        body.wait_until_begun(4).await;
        body.open_gate();
        until_stored(&crowd_entry(cache, 1), 4).await;
        assert_eq!(body.runs(), 4);
    }
}

#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "1h",
    skip(cache, body),
    cache = cache
)]
async fn joined(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// Whoever began the run has a miss, and the others have that run's value.
#[tokio::test]
async fn who_waits_for_anothers_run_is_coalesced() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(joined(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        let before = Counts::of("joined");
        body.shut_gate();
        let callers: JoinSet<_> = (0..3)
            .map(|_| {
                let (cache, body) = (cache.clone(), body.clone());
                async move { joined(&cache, &body, 1).await }
            })
            .collect();
        let waiting = async || cache.stats().waiting == 3;
        cache_tests::eventually("all to wait", SOON, waiting).await;
        body.open_gate();
        let values = within("the new value", SOON, callers.join_all()).await;
        assert!(values.iter().all(|value| *value == Ok(2)), "{values:?}");
        let counts = Counts {
            misses: 3,
            coalesced: 2,
            runs: 1,
            behind: 1,
            ..Counts::default()
        };
        assert_eq!(Counts::since("joined", before), counts);
        until_idle(cache, &body).await;
    }
}

#[tokio::test]
async fn an_invalidation_meanwhile_takes_the_runs_right_to_store() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        let entry = patient_entry(cache, 1);
        assert_eq!(patient(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        let (own, its) = (cache.clone(), body.clone());
        // It came before the invalidation, so it may have what was then.
        let caller = tokio::spawn(async move { patient(&own, &its, 1).await });
        body.wait_until_running(1).await;
        entry.invalidate().await.expect("a cache");
        let (own, its) = (cache.clone(), body.clone());
        let newcomer = tokio::spawn(async move { patient(&own, &its, 1).await });
        body.wait_until_running(2).await;
        body.let_through(2);
        let value = within("the run's or the stale value", SOON, caller).await;
        assert_eq!(value.expect("no panic"), Ok(2));
        assert_eq!(entry.get().await.expect("a cache"), None);
        body.let_through(3);
        assert_eq!(newcomer.await.expect("no panic"), Ok(3));
        until_stored(&entry, 3).await;
        body.open_gate();
        until_idle(cache, &body).await;
        assert_eq!(source(patient(cache, &body, 1)).await, Source::Hit);
    }
}

#[tokio::test]
async fn the_run_of_a_caller_dropped_at_any_await_goes_on() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let (polls, _) = at_every_poll(async |n| {
            let (id, body) = (n as u64, Body::new());
            assert_eq!(patient(cache, &body, id).await, Ok(1));
            scene.clock.advance(TTL);
            let answer = poll_n_then_drop(patient(cache, &body, id), n).await;
            // What began goes on, and what did not is begun by the next caller.
            let next = within("an answer", SOON, patient(cache, &body, id)).await;
            assert_eq!(next, Ok(2), "after {n} polls");
            until_idle(cache, &body).await;
            assert_eq!((body.runs(), body.dropped()), (2, 0), "after {n} polls");
            answer
        })
        .await;
        assert!(polls > 1, "it waits for the run");
    }
}

/// A flight of a body that its caller runs is waited for no longer.
#[tokio::test]
async fn somebody_elses_body_is_waited_for_as_long() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(hasty(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        let (own, its) = (cache.clone(), body.clone());
        let leader = tokio::spawn(async move {
            let entry = hasty_entry(&own, 1);
            entry.get_or_compute(|| hasty_uncached(&own, &its, 1)).await
        });
        body.wait_until_running(1).await;
        let (value, took) = timed(soon(Box::pin(hasty(cache, &body, 1)))).await;
        assert_eq!((value, body.runs()), (Ok(1), 2));
        assert!(took >= LIMIT, "{took:?}");
        body.open_gate();
        assert_eq!(leader.await.expect("no panic"), Ok(2));
    }
}

#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "1h",
    skip(cache, body),
    cache = cache
)]
async fn overtaken(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// It came before the body began, so no change takes the body's value from it.
#[tokio::test]
async fn who_waits_for_a_body_that_a_change_overtakes_has_its_value() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(overtaken(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        let waits = {
            let (cache, body) = (cache.clone(), body.clone());
            tokio::spawn(async move { overtaken(&cache, &body, 1).await })
        };
        body.wait_until_running(1).await;
        let changed = overtaken_entry(cache, 1).invalidate().await;
        changed.expect("a cache");
        body.open_gate();
        let value = within("the body's value", SOON, waits).await;
        assert_eq!(value.expect("no panic"), Ok(2));
        until_idle(cache, &body).await;
        let stored = overtaken_entry(cache, 1).get().await;
        assert_eq!(stored.expect("a cache"), None);
    }
}
