//! Bodies that hang behind their calls: who waits for them, and how many of one function there may be.

use std::pin::Pin;
use std::time::Duration;

use cache_runtime::{Cache, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Stores, eventually, within};

use crate::SHORT;

const TTL: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(600);

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn hangs(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn many(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn another(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 60, stale_if_error = 600, soft_timeout = "1h", skip(cache, body), cache = cache)]
async fn patient(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = 60,
    stale_if_error = 600,
    soft_timeout = "1h",
    skip(cache, again),
    cache = cache
)]
async fn circular(cache: &Cache, id: u64, again: bool) -> Result<u64, Failed> {
    match again {
        true => Ok(inner(cache, id).await? + 1),
        false => Ok(id),
    }
}

/// A future whose type does not depend on itself.
fn inner(cache: &Cache, id: u64) -> Pin<Box<dyn Future<Output = Result<u64, Failed>> + Send + '_>> {
    Box::pin(circular(cache, id, false))
}

async fn scene(clock: &ManualClock) -> Stores {
    Stores::with(|builder| {
        let builder = builder.run_wait(SHORT).clock(clock);
        builder.background_runs_per_function(2)
    })
    .await
}

#[tokio::test]
async fn a_run_behind_a_call_that_hangs_keeps_later_callers_no_longer_than_the_bound() {
    let clock = ManualClock::new();
    let stores = scene(&clock).await;
    for cache in stores.both() {
        let body = Body::new();
        assert_eq!(hangs(cache, &body, 1).await, Ok(1));
        clock.advance(TTL);
        body.shut_gate();
        assert_eq!(hangs(cache, &body, 1).await, Ok(1));
        body.wait_until_begun(2).await;
        // Past the window nobody has an old value.
        clock.advance(WINDOW);
        let (own, its) = (cache.clone(), body.clone());
        let later = tokio::spawn(async move { hangs(&own, &its, 1).await });
        body.wait_until_begun(3).await;
        body.let_through(3);
        let later = within("the later caller", SOON, later).await;
        assert_eq!(later.expect("no panic"), Ok(3));
        assert_eq!(hangs(cache, &body, 1).await, Ok(3));
        body.open_gate();
        eventually("the run behind to end", SOON, async || body.running() == 0).await;
        assert_eq!(hangs(cache, &body, 1).await, Ok(3));
    }
}

#[tokio::test]
async fn who_waits_with_an_old_value_begins_a_run_beside_one_that_hangs() {
    let clock = ManualClock::new();
    let stores = scene(&clock).await;
    for cache in stores.both() {
        let body = Body::new();
        assert_eq!(patient(cache, &body, 1).await, Ok(1));
        clock.advance(TTL);
        body.shut_gate();
        let call = || {
            let (own, its) = (cache.clone(), body.clone());
            tokio::spawn(async move { patient(&own, &its, 1).await })
        };
        let first = call();
        body.wait_until_begun(2).await;
        let second = call();
        body.wait_until_begun(3).await;
        body.let_through(3);
        for call in [first, second] {
            let outcome = within("the run beside", SOON, call).await;
            assert_eq!(outcome.expect("no panic"), Ok(3));
        }
        body.open_gate();
        eventually("the run behind to end", SOON, async || body.running() == 0).await;
        assert_eq!(patient(cache, &body, 1).await, Ok(3));
    }
}

#[tokio::test]
async fn a_body_behind_its_call_that_asks_for_its_own_key_has_the_old_value() {
    let clock = ManualClock::new();
    let stores = scene(&clock).await;
    for cache in stores.both() {
        assert_eq!(circular(cache, 1, false).await, Ok(1));
        clock.advance(TTL);
        let call = within("no call to wait for itself", SOON, circular(cache, 1, true));
        assert_eq!(call.await, Ok(2));
    }
}

#[tokio::test]
async fn no_more_bodies_of_one_function_run_behind_calls_than_may() {
    let clock = ManualClock::new();
    let stores = scene(&clock).await;
    for cache in stores.both() {
        let (body, other) = (Body::new(), Body::new());
        for id in 0..5 {
            assert_eq!(many(cache, &body, id).await, Ok(id + 1));
        }
        assert_eq!(another(cache, &other, 0).await, Ok(1));
        clock.advance(TTL);
        body.shut_gate();
        for id in 0..5 {
            assert_eq!(many(cache, &body, id).await, Ok(id + 1));
        }
        body.wait_until_begun(7).await;
        // Another function has room.
        assert_eq!(another(cache, &other, 0).await, Ok(1));
        other.wait_until_finished(2).await;
        // A place that is free again is taken.
        body.let_through(6);
        eventually("a third run", SOON, async || {
            for id in 0..5 {
                many(cache, &body, id).await.expect("a value");
            }
            body.runs() == 8
        })
        .await;
        assert_eq!((body.running(), body.most_at_once()), (2, 2));
        body.open_gate();
        eventually("every run to end", SOON, async || body.running() == 0).await;
    }
}
