//! How many bodies run behind calls: counted over the process, so each test here is a process of its own.

use cache_runtime::{Cache, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Child, child, eventually, within};

use crate::scene::{Scene, TTL, source, until_idle, until_stored};

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

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

fn in_a_child(test: &str, scenario: impl Future<Output = ()>) {
    if child::role().is_none() {
        let name = format!("limits::{test}");
        return Child::of_test(&name).run().assert_passed();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(scenario);
}

#[test]
fn no_more_bodies_run_behind_calls_than_may() {
    in_a_child("no_more_bodies_run_behind_calls_than_may", async {
        let scene = Scene::with(|builder| builder.background_runs(2)).await;
        for cache in scene.both() {
            let body = Body::new();
            for id in 0..5 {
                assert_eq!(user(cache, &body, id).await, Ok(id + 1));
            }
            assert_eq!(patient(cache, &body, 0).await, Ok(6));
            scene.clock.advance(TTL);
            body.shut_gate();
            for id in 0..5 {
                assert_eq!(user(cache, &body, id).await, Ok(id + 1));
            }
            // Nor is anybody kept waiting for a run that may not begin.
            let call = within("an answer at once", SOON, patient(cache, &body, 0));
            assert_eq!(call.await, Ok(6));
            body.wait_until_begun(8).await;
            assert_eq!((body.runs(), body.running()), (8, 2));
            assert_eq!(cache.stats().background_runs, 2);
            // Those of another cache count, whatever its own limit is.
            let other = Scene::with(|builder| builder.background_runs(3)).await;
            let its = Body::new();
            let more = &other.stores.memory;
            for id in 0..2 {
                assert_eq!(user(more, &its, id).await, Ok(id + 1));
            }
            other.clock.advance(TTL);
            its.shut_gate();
            for id in 0..2 {
                assert_eq!(user(more, &its, id).await, Ok(id + 1));
            }
            its.wait_until_begun(3).await;
            assert_eq!(more.stats().background_runs, 3);
            // A place that is free again is taken.
            body.let_through(7);
            eventually("two places taken", SOON, async || {
                more.stats().background_runs == 2
            })
            .await;
            let left = user(more, &its, 1).await;
            assert_eq!(left, Ok(2));
            its.wait_until_begun(4).await;
            body.open_gate();
            its.open_gate();
            until_idle(more, &its).await;
            until_idle(cache, &body).await;
            eventually("every place to be free", SOON, async || {
                cache.stats().background_runs == 0
            })
            .await;
            assert_eq!((body.most_at_once(), body.runs()), (2, 8));
        }
    });
}

#[test]
fn a_run_that_panics_fails_or_is_ended_frees_its_place() {
    in_a_child(
        "a_run_that_panics_fails_or_is_ended_frees_its_place",
        async {
            let scene = Scene::with(|builder| builder.background_runs(1)).await;
            for cache in scene.both() {
                let body = Body::new();
                for id in 0..4 {
                    assert_eq!(user(cache, &body, id).await, Ok(id + 1));
                }
                scene.clock.advance(TTL);
                body.panic_next(1);
                assert_eq!(user(cache, &body, 0).await, Ok(1));
                body.wait_until_finished(5).await;
                let free = || {
                    eventually("a free place", SOON, async || {
                        cache.stats().background_runs == 0
                    })
                };
                free().await;
                body.fail_next(1);
                assert_eq!(user(cache, &body, 1).await, Ok(2));
                body.wait_until_finished(6).await;
                free().await;
                // One that nobody took: the key is computed already.
                body.shut_gate();
                let entry = user_entry(cache, 2);
                let (own, its) = (cache.clone(), body.clone());
                let foreground = tokio::spawn(async move {
                    let entry = user_entry(&own, 2);
                    entry.get_or_compute(|| user_uncached(&own, &its, 2)).await
                });
                body.wait_until_running(1).await;
                assert_eq!(user(cache, &body, 2).await, Ok(3));
                assert_eq!(cache.stats().background_runs, 0);
                body.open_gate();
                assert_eq!(foreground.await.expect("no panic"), Ok(7));
                until_stored(&entry, 7).await;
                body.shut_gate();
                assert_eq!(user(cache, &body, 3).await, Ok(4));
                body.wait_until_running(1).await;
                assert_eq!(cache.stats().background_runs, 1);
                cache.shutdown().await.expect("nothing is left over");
                free().await;
                assert_eq!(body.dropped(), 1);
            }
        },
    );
}

/// Where tasks cannot be spawned on, or nothing could end them, a body runs for its caller.
#[test]
fn without_timers_a_body_is_not_left_behind() {
    let scene = |enable: bool| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        if enable {
            builder.enable_all();
        }
        builder.build().expect("a runtime")
    };
    let clock = cache_runtime::ManualClock::new();
    let builder = Cache::builder().in_memory().clock(&clock);
    let (cache, body) = (builder.build().expect("a cache"), Body::new());
    scene(false).block_on(async {
        assert_eq!(user(&cache, &body, 1).await, Ok(1));
        clock.advance(TTL);
        assert_eq!(source(user(&cache, &body, 1)).await, Source::Miss);
    });
    assert_eq!((body.runs(), body.running()), (2, 0));
    clock.advance(TTL);
    scene(true).block_on(async {
        assert_eq!(source(user(&cache, &body, 1)).await, Source::Stale);
        until_stored(&user_entry(&cache, 1), 3).await;
    });
}
