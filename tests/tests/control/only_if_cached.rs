//! `only_if_cached` runs no body, begins none behind the call, waits for none, and leaves nothing behind.

use std::time::Duration;

use cache_runtime::{Cache, ManualClock, Outcome, Source, only_if_cached, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, Stores, at_every_poll, eventually, poll_n_then_drop, within};

use crate::scene::{above, assert_idle, below, below_entry, stats};

const TTL: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_cold_key_is_none_and_no_body_runs() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        for _ in 0..3 {
            assert_eq!(only_if_cached(below(cache, &body, 1)).await, None);
            assert_idle(cache);
        }
        assert_eq!(body.runs(), 0);
        assert_eq!(below(cache, &body, 1).await, Ok(1));
        assert_eq!(only_if_cached(below(cache, &body, 1)).await, Some(Ok(1)));
        assert_eq!(body.runs(), 1);
    }
}

#[tokio::test]
async fn it_waits_for_nobody_elses_body() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        let asking = async {
            body.wait_until_running(1).await;
            let asked = only_if_cached(below(cache, &body, 1));
            assert_eq!(within("an answer at once", SOON, asked).await, None);
            assert_eq!((cache.stats().flights, cache.stats().waiting), (1, 0));
            body.open_gate();
        };
        assert_eq!(tokio::join!(below(cache, &body, 1), asking).0, Ok(1));
        assert_eq!(body.runs(), 1);
    }
}

#[tokio::test]
async fn a_call_below_that_would_need_a_body_ends_it_all() {
    for cache in Stores::start().await.both() {
        let (body, lower) = (Body::new(), Body::new());
        below(cache, &lower, 1).await.expect("no failure");
        // `above` itself is cold, whatever is below it.
        assert_eq!(only_if_cached(above(cache, &body, &lower, 1)).await, None);
        // What the future holds is dropped with it.
        let guard = Body::gated();
        let parked = only_if_cached(async {
            let hit = below(cache, &lower, 1).await;
            let cold = tokio::join!(guard.run(), below(cache, &lower, 2));
            (hit, cold)
        });
        assert_eq!(
            within("an answer at once", SOON, Box::pin(parked)).await,
            None
        );
        assert_eq!(guard.dropped(), 1);
        assert_eq!((body.runs(), lower.runs()), (0, 1));
        // A value is one, whatever ran before it in the future.
        let both = only_if_cached(async {
            tokio::task::yield_now().await;
            tokio::join!(below(cache, &lower, 1), async { 7 })
        });
        assert_eq!(both.await, Some((Ok(1), 7)));
        assert_idle(cache);
    }
}

#[tokio::test]
async fn a_call_without_a_cache_is_none() {
    let cache = cache_tests::in_memory();
    let body = Body::new();
    below(&cache, &body, 1).await.expect("no failure");
    cache.shutdown().await.expect("nothing is left over");
    assert_eq!(only_if_cached(below(&cache, &body, 1)).await, None);
    assert_eq!(body.runs(), 1);
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_none_after_the_timeout() {
    let server = RedisServer::start().await;
    let timeout = Duration::from_millis(200);
    let builder = Cache::builder().url(server.url()).timeout(timeout);
    let (cache, body) = (builder.build().expect("a valid URL"), Body::new());
    server.stop();
    for _ in 0..3 {
        let asked = only_if_cached(below(&cache, &body, 1));
        assert_eq!(within("an answer", SOON, asked).await, None);
    }
    assert_eq!((body.runs(), cache.stats().flights), (0, 0));
    server.cont();
}

#[tokio::test]
async fn entries_that_compute_are_calls() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = below_entry(cache, 1);
        let compute = || entry.get_or_compute(|| body.run());
        assert_eq!(only_if_cached(compute()).await, None);
        assert_eq!(only_if_cached(entry.refresh(body.run())).await, None);
        assert_eq!(compute().await, Ok(1));
        assert_eq!(only_if_cached(compute()).await, Some(Ok(1)));
        assert_eq!(only_if_cached(entry.refresh(body.run())).await, None);
        assert_eq!(body.runs(), 1);
    }
}

#[redis_cached(ttl = TTL, stale_while_revalidate = WINDOW, skip(cache, body), cache = cache)]
async fn revalidated(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = TTL, refresh_ahead = 0.5, skip(cache, body), cache = cache)]
async fn ahead(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = TTL, stale_if_error = WINDOW, skip(cache, body), cache = cache)]
async fn covered(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = TTL, stale_if_error = WINDOW, soft_timeout = 1, skip(cache, body), cache = cache
)]
async fn hurried(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[tokio::test]
async fn nothing_is_refreshed_because_of_it() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for cache in stores.both() {
        let body = Body::new();
        revalidated(cache, &body, 1).await.expect("no failure");
        ahead(cache, &body, 1).await.expect("no failure");
        clock.advance(TTL * 3 / 4);
        let asked = Outcome::of(only_if_cached(ahead(cache, &body, 1))).await;
        assert_eq!((asked.value, asked.source), (Some(Ok(2)), Source::Hit));
        clock.advance(TTL / 2);
        let asked = Outcome::of(only_if_cached(revalidated(cache, &body, 1))).await;
        assert_eq!((asked.value, asked.source), (Some(Ok(1)), Source::Stale));
        // A body that belongs to its caller does not make the value less of an answer.
        let entry = revalidated_entry(cache, 1);
        let asked = only_if_cached(entry.get_or_compute(|| body.run())).await;
        assert_eq!(asked, Some(Ok(1)));
        assert_idle(cache);
        assert_eq!(body.runs(), 2);
        // Others' calls do begin it.
        assert_eq!(revalidated(cache, &body, 1).await, Ok(1));
        body.wait_until_begun(3).await;
        clock.advance(2 * WINDOW);
        eventually("it to end", SOON, async || cache.stats().flights == 0).await;
        assert_eq!(only_if_cached(revalidated(cache, &body, 1)).await, None);
    }
    assert_eq!(stats("ahead").background_runs, 0);
}

/// What covers an error is no answer before there is one.
#[tokio::test]
async fn a_value_that_only_covers_errors_is_none_until_there_was_one() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for cache in stores.both() {
        let body = Body::new();
        covered(cache, &body, 1).await.expect("no failure");
        hurried(cache, &body, 1).await.expect("no failure");
        clock.advance(TTL);
        assert_eq!(only_if_cached(covered(cache, &body, 1)).await, None);
        assert_eq!(only_if_cached(hurried(cache, &body, 1)).await, None);
        assert_eq!(body.runs(), 2);
        assert_idle(cache);
        body.fail();
        assert_eq!(covered(cache, &body, 1).await, Ok(1));
        assert_eq!(only_if_cached(covered(cache, &body, 1)).await, Some(Ok(1)));
        assert_eq!(body.runs(), 3);
    }
}

#[tokio::test]
async fn dropped_at_each_of_its_awaits_it_leaves_nothing() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let (_, outcome) = at_every_poll(async |n| {
            let asked = only_if_cached(below(cache, &body, 1));
            let outcome = poll_n_then_drop(asked, n).await;
            eventually("its read to end", SOON, async || cache.stats().reads == 0).await;
            assert_idle(cache);
            outcome
        })
        .await;
        assert_eq!((outcome, body.runs()), (None, 0));
    }
}
