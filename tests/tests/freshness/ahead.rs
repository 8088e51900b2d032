//! `refresh_ahead` by XFetch, and `jitter`: what is left to chance, and its bounds.

use std::time::Duration;

use cache_runtime::{Cache, ManualClock, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, eventually};

use crate::scene::{MILLI, Scene, TTL, source, until_idle, until_stored};

/// The body takes this long, and so long did it seem to XFetch.
#[redis_cached(
    ttl = 60,
    refresh_ahead = "xfetch",
    skip(cache, clock, body, took),
    cache = cache
)]
async fn xfetch(
    cache: &Cache,
    clock: &ManualClock,
    body: &Body,
    took: Duration,
    id: u64,
) -> Result<u64, Failed> {
    let _ = id;
    clock.advance(took);
    body.run().await
}

#[redis_cached(ttl = 60, refresh_ahead = 0.5, skip(cache, body), cache = cache)]
async fn fraction(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 1000, jitter = 0.5, skip(cache), cache = cache)]
async fn jittered(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 1000, none_ttl = 1000, jitter = 0.5, skip(cache), cache = cache)]
async fn none_jittered(cache: &Cache, id: u64) -> Option<u64> {
    let _ = id;
    None
}

#[redis_cached(
    ttl = 1000,
    jitter = 0.5,
    stale_while_revalidate = 500,
    skip(cache),
    cache = cache
)]
async fn jittered_with_a_window(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn xfetch_begins_in_the_second_half_the_sooner_the_longer_the_body_takes() {
    let scene = Scene::start().await;
    let clock = &scene.clock;
    for cache in scene.both() {
        // Ten times the ttl: past the half, one call in twenty would not begin.
        let (body, took) = (Body::new(), TTL * 10);
        assert_eq!(xfetch(cache, clock, &body, took, 1).await, Ok(1));
        clock.advance(TTL / 2 - MILLI);
        for _ in 0..200 {
            let call = xfetch(cache, clock, &body, Duration::ZERO, 1);
            assert_eq!(source(call).await, Source::Hit);
        }
        assert_eq!((body.runs(), cache.stats().flights), (1, 0), "not before");
        clock.advance(MILLI);
        body.shut_gate();
        eventually("a run to begin", SOON, async || {
            let still = Box::pin(xfetch(cache, clock, &body, Duration::ZERO, 1)).await;
            assert_eq!(still, Ok(1));
            body.runs() == 2
        })
        .await;
        body.open_gate();
        until_stored(&xfetch_entry(cache, 1), 2).await;
        // A body that takes no time has all the time until the end.
        let (body, took) = (Body::new(), Duration::ZERO);
        assert_eq!(xfetch(cache, clock, &body, took, 2).await, Ok(1));
        clock.advance(TTL - MILLI);
        for _ in 0..200 {
            assert_eq!(xfetch(cache, clock, &body, took, 2).await, Ok(1));
        }
        assert_eq!((body.runs(), cache.stats().flights), (1, 0));
    }
}

#[tokio::test]
async fn many_callers_ahead_of_the_end_start_one_run() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(fraction(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL / 2);
        body.shut_gate();
        for _ in 0..50 {
            assert_eq!(fraction(cache, &body, 1).await, Ok(1));
        }
        body.wait_until_begun(2).await;
        assert_eq!(body.runs(), 2);
        // The value ends; who comes now waits for the run that began ahead.
        scene.clock.advance(TTL / 2);
        let (own, its) = (cache.clone(), body.clone());
        let waiter = tokio::spawn(async move { fraction(&own, &its, 1).await });
        eventually("it to wait", SOON, async || cache.stats().waiting == 1).await;
        body.open_gate();
        assert_eq!(waiter.await.expect("no panic"), Ok(2));
        until_idle(cache, &body).await;
        assert_eq!(body.runs(), 2);
    }
}

/// Of 200 draws none is below half the ttl or above it, and both ends are near some.
#[tokio::test]
async fn jitter_spreads_the_ends_and_only_shortens() {
    let scene = Scene::start().await;
    let second = Duration::from_secs(1);
    for cache in scene.both() {
        let mut all = vec![];
        for id in 0..200 {
            assert_eq!(jittered(cache, id).await, id);
            assert_eq!(none_jittered(cache, id).await, None);
            assert_eq!(jittered_with_a_window(cache, id).await, id);
            let left = jittered_entry(cache, id).ttl().await.expect("a cache");
            let of_none = none_jittered_entry(cache, id).ttl().await.expect("a cache");
            let windowed = jittered_with_a_window_entry(cache, id).ttl().await;
            let windowed = windowed.expect("a cache").expect("a value");
            all.push([
                left.expect("a value"),
                of_none.expect("a value"),
                windowed - 500 * second,
            ]);
        }
        for kind in 0..3 {
            let mut kind: Vec<_> = all.iter().map(|lives| lives[kind]).collect();
            kind.sort();
            // A slow machine takes something off, too.
            assert!(kind[0] >= 500 * second - SOON, "{:?}", kind[0]);
            assert!(kind[0] <= 650 * second, "{:?}", kind[0]);
            assert!(kind[199] <= 1000 * second, "{:?}", kind[199]);
            assert!(kind[199] >= 850 * second, "{:?}", kind[199]);
        }
    }
}

/// No body computed it, so it took no time, and there is no reason to begin early.
#[tokio::test]
async fn what_was_put_is_not_refreshed_ahead_by_xfetch() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let (clock, body) = (&scene.clock, Body::new());
        for (id, with_write) in [(101, false), (102, true)] {
            let entry = xfetch_entry(cache, id);
            if with_write {
                entry.put_with(async { 7 }).await.1.expect("a cache");
            } else {
                entry.put(&7).await.expect("a cache");
            }
            clock.advance(TTL - MILLI);
            for _ in 0..50 {
                let call = Box::pin(xfetch(cache, clock, &body, Duration::ZERO, id));
                assert_eq!(call.await, Ok(7));
                until_idle(cache, &body).await;
            }
            assert_eq!(body.runs(), 0);
        }
    }
}
