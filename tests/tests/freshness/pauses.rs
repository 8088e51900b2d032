//! A key whose source failed is left alone: for how long, and what its stale value is meanwhile.

use std::time::Duration;

use cache_runtime::{Cache, Entry, ManualClock, Outcome, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Stores, eventually};

use crate::scene::{FIRST_PAUSE, MILLI, Scene, TTL, source, until_idle, until_stored};

const SECOND: Duration = Duration::from_secs(1);

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 3600,
    key = "pauses:{id}",
    skip(cache, body),
    cache = cache
)]
async fn behind(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 60, stale_if_error = 3600, skip(cache, body), cache = cache)]
async fn before(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = 60,
    stale_if_error = 3600,
    soft_timeout = "1h",
    skip(cache, body),
    cache = cache
)]
async fn soft(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// One of the functions above, its values stale, its source down.
struct Down<'a, C> {
    scene: &'a Scene,
    cache: &'a Cache,
    body: Body,
    call: C,
}

impl<C: AsyncFn(&Cache, &Body, u64) -> Result<u64, Failed>> Down<'_, C> {
    /// Calls, and waits for the end of what that began: the body's runs by then.
    async fn runs_after_call(&self, id: u64, value: u64) -> u64 {
        assert_eq!((self.call)(self.cache, &self.body, id).await, Ok(value));
        until_idle(self.cache, &self.body).await;
        self.body.runs()
    }

    /// The pauses after failures in a row, each from a call that ran the body.
    async fn assert_pauses(&self, id: u64, value: u64, pauses: &[u32]) {
        let mut runs = self.body.runs();
        for pause in pauses {
            let pause = *pause * SECOND;
            runs += 1;
            assert_eq!(self.runs_after_call(id, value).await, runs, "{pause:?}");
            self.scene.clock.advance(pause - MILLI);
            let meanwhile = self.runs_after_call(id, value).await;
            assert_eq!(meanwhile, runs, "within {pause:?}");
            // It is longer by chance, up to a tenth.
            self.scene.clock.advance(MILLI + pause / 10);
        }
    }
}

async fn assert_pauses_of(
    scene: &Scene,
    cache: &Cache,
    call: impl AsyncFn(&Cache, &Body, u64) -> Result<u64, Failed>,
    entry: impl Fn(&Cache, u64) -> Entry<u64>,
) {
    let down = Down {
        scene,
        cache,
        body: Body::new(),
        call,
    };
    assert_eq!(down.runs_after_call(1, 1).await, 1);
    assert_eq!(down.runs_after_call(2, 2).await, 2);
    scene.clock.advance(TTL);
    down.body.fail();
    down.assert_pauses(1, 1, &[1, 2, 4, 8, 16, 30, 30]).await;
    // Another key has a pause of its own.
    down.assert_pauses(2, 2, &[1]).await;
    // It comes back, and the next outage begins with the first pause.
    down.body.succeed();
    let recovered = down.body.runs() + 1;
    let _ = (down.call)(cache, &down.body, 1).await;
    until_stored(&entry(cache, 1), recovered).await;
    scene.clock.advance(TTL);
    down.body.fail();
    down.assert_pauses(1, recovered, &[1, 2]).await;
    // What is put, or invalidated, is another value, which has not failed yet.
    entry(cache, 1).put(&70).await.expect("a cache");
    scene.clock.advance(TTL);
    down.assert_pauses(1, 70, &[1]).await;
}

#[tokio::test]
async fn pauses_double_from_one_second_to_thirty_behind_calls() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        assert_pauses_of(&scene, cache, behind, behind_entry).await;
    }
}

#[tokio::test]
async fn pauses_double_from_one_second_to_thirty_for_calls_that_wait() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        assert_pauses_of(&scene, cache, before, before_entry).await;
        assert_pauses_of(&scene, cache, soft, soft_entry).await;
    }
}

#[tokio::test]
async fn the_pauses_are_the_caches() {
    let pauses = Duration::from_secs(5)..=Duration::from_secs(6);
    let scene = Scene::with(|builder| builder.refresh_pause(pauses.clone())).await;
    for cache in scene.both() {
        let down = Down {
            scene: &scene,
            cache,
            body: Body::new(),
            call: before,
        };
        assert_eq!(down.runs_after_call(1, 1).await, 1);
        scene.clock.advance(TTL);
        down.body.fail();
        down.assert_pauses(1, 1, &[5, 6, 6]).await;
    }
}

/// However often it is called: at most one run in each pause.
#[tokio::test]
async fn a_source_that_is_down_is_asked_seldom() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(before(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.fail();
        for _ in 0..3000 {
            assert_eq!(source(before(cache, &body, 1)).await, Source::Stale);
            scene.clock.advance(SECOND);
        }
        // 1 + 2 + 4 + 8 + 16, then 30 seconds and up to a tenth each.
        let runs = body.runs() - 1;
        assert!((90..=104).contains(&runs), "{runs}");
    }
}

/// A failed refresh writes nothing: the value gets older, and ends when it would have.
#[tokio::test]
async fn a_stale_value_is_never_written_again_as_fresh() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(behind(cache, &body, 1).await, Ok(1));
        let (written, first) = (of_redis(&scene), behind_entry(cache, 1));
        let first = first.ttl().await.expect("a cache").expect("a value");
        scene.clock.advance(TTL);
        body.fail();
        for failures in 1..=3 {
            assert_eq!(behind(cache, &body, 1).await, Ok(1));
            body.wait_until_finished(1 + failures).await;
            until_idle(cache, &body).await;
            scene.clock.advance(TTL);
        }
        let outcome = Outcome::of(behind(cache, &body, 1)).await;
        assert_eq!((outcome.value, outcome.source), (Ok(1), Source::Stale));
        assert_eq!(outcome.age, Some(4 * TTL));
        assert_eq!(of_redis(&scene), written);
        let left = behind_entry(cache, 1).ttl().await.expect("a cache");
        assert!(left.expect("a value") <= first);
        // And where there is nothing left, the error shows.
        scene.clock.advance(3600 * SECOND);
        assert!(behind(cache, &body, 1).await.is_err());
        until_idle(cache, &body).await;
    }
}

/// All of the value, with its header.
fn of_redis(scene: &Scene) -> String {
    scene.stores.server.cli(&["--no-raw", "GET", "pauses:1"])
}

#[tokio::test]
async fn a_key_at_rest_recovers_with_a_body_that_somebody_waits_for() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(behind(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.fail_next(1);
        assert_eq!(behind(cache, &body, 1).await, Ok(1));
        body.wait_until_finished(2).await;
        until_idle(cache, &body).await;
        let entry = behind_entry(cache, 1);
        let refreshed = entry.refresh(behind_uncached(cache, &body, 1)).await;
        assert_eq!(refreshed, Ok(3));
        scene.clock.advance(TTL);
        assert_eq!(behind(cache, &body, 1).await, Ok(3));
        until_stored(&entry, 4).await;
        scene.clock.advance(FIRST_PAUSE);
        assert_eq!(source(behind(cache, &body, 1)).await, Source::Hit);
    }
}

#[redis_cached(
    ttl = 60,
    refresh_ahead = 0.5,
    key = "changed:{id}",
    skip(cache, body),
    cache = cache
)]
async fn ahead(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// The same key, for somebody to whom rests mean nothing.
#[redis_cached(ttl = 60, key = "changed:{id}", skip(cache, body), cache = cache)]
async fn plain(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Invalidate,
    Put,
    PutWith,
    /// One whose write failed.
    FailedPutWith,
}

/// A key that was changed has another value, of which nobody knows yet whether its source fails.
#[tokio::test]
async fn a_key_at_rest_is_asked_again_when_it_was_changed() {
    use Change::{FailedPutWith, Invalidate, Put, PutWith};
    // Nobody waits for its end.
    let rest = 24 * 3600 * SECOND;
    let scene = Scene::with(|builder| builder.refresh_pause(rest..=rest)).await;
    let elsewhere = Cache::builder()
        .url(scene.stores.server.url())
        .clock(&scene.clock);
    let elsewhere = elsewhere.build().expect("a cache");
    // In Redis, another process says when its value was stored.
    let in_process = async |body: &Body, id| plain(&scene.stores.memory, body, id).await;
    let in_redis = async |body: &Body, id| ahead(&elsewhere, body, id).await;
    for (at, cache) in scene.both().into_iter().enumerate() {
        for (id, change) in (1..).zip([Invalidate, Put, PutWith, FailedPutWith]) {
            let body = Body::new();
            assert_eq!(ahead(cache, &body, id).await, Ok(1));
            scene.clock.advance(TTL / 2);
            body.fail_next(1);
            assert_eq!(ahead(cache, &body, id).await, Ok(1));
            body.wait_until_finished(2).await;
            until_idle(cache, &body).await;
            assert_eq!(ahead(cache, &body, id).await, Ok(1));
            until_idle(cache, &body).await;
            assert_eq!(body.runs(), 2, "{change:?}: it rests");

            let entry = ahead_entry(cache, id);
            match change {
                Invalidate => entry.invalidate().await.expect("a cache"),
                Put => entry.put(&3).await.expect("a cache"),
                PutWith => entry.put_with(async { 3 }).await.1.expect("a cache"),
                FailedPutWith => {
                    let write = async { Err::<u64, _>("of the source") };
                    let (written, told) = entry.put_with(write).await;
                    told.expect("a cache");
                    written.expect_err("what the source said");
                }
            }
            if matches!(change, Invalidate | FailedPutWith) {
                let somebody_else = match at {
                    0 => in_process(&body, id).await,
                    _ => in_redis(&body, id).await,
                };
                assert_eq!(somebody_else, Ok(3), "{change:?}");
            }
            let before = body.runs();
            scene.clock.advance(TTL / 2);
            assert_eq!(ahead(cache, &body, id).await, Ok(3), "{change:?}");
            until_idle(cache, &body).await;
            assert_eq!(body.runs(), before + 1, "{change:?} ends its rest");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_given_up_behind_its_call_has_failed() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| {
        let builder = builder.background_timeout(Duration::from_millis(50));
        builder.clock(&clock)
    })
    .await;
    for cache in stores.both() {
        let body = Body::new();
        assert_eq!(behind(cache, &body, 1).await, Ok(1));
        clock.advance(TTL);
        body.shut_gate();
        assert_eq!(behind(cache, &body, 1).await, Ok(1));
        body.wait_until_begun(2).await;
        eventually("the body to be dropped", SOON, async || body.dropped() == 1).await;
        until_idle(cache, &body).await;
        body.open_gate();
        for _ in 0..3 {
            assert_eq!(behind(cache, &body, 1).await, Ok(1));
            until_idle(cache, &body).await;
            assert_eq!(body.runs(), 2, "the key rests");
        }
    }
}

#[redis_cached(ttl = 60, stale_if_error = 3600, skip(cache, body), cache = cache)]
async fn beside(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[tokio::test]
async fn a_body_that_a_panic_elsewhere_took_along_has_not_failed() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(beside(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        let (its_cache, its_body) = (cache.clone(), body.clone());
        let caller = tokio::spawn(async move {
            let panics = async {
                its_body.wait_until_running(1).await;
                panic!("on purpose, beside the call")
            };
            tokio::join!(beside(&its_cache, &its_body, 1), panics)
        });
        assert!(caller.await.expect_err("a panic").is_panic());
        body.open_gate();
        // The source was not heard.
        assert_eq!(beside(cache, &body, 1).await, Ok(3));
        // One that panics itself has.
        scene.clock.advance(TTL);
        body.panic_next(1);
        let (its_cache, its_body) = (cache.clone(), body.clone());
        let caller = tokio::spawn(async move { beside(&its_cache, &its_body, 1).await });
        assert!(caller.await.expect_err("a panic").is_panic());
        assert_eq!(beside(cache, &body, 1).await, Ok(3), "the key rests");
        assert_eq!(body.runs(), 4);
    }
}
