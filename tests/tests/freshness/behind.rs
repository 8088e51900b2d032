//! Runs behind calls that were answered stale: who waits for them, what ends them, and whether their value is stored.

use std::sync::Mutex;
use std::time::Duration;

use cache_runtime::{Cache, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Logs, Stores, at_every_poll, eventually, poll_n_then_drop, within};
use tokio::task::JoinSet;

use crate::scene::{Counts, FIRST_PAUSE, Scene, TTL, WINDOW, source, until_idle, until_stored};

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn crowded(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = "50ms", stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn brief(cache: &Cache, body: &Body) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn told(cache: &Cache, body: &Body) -> anyhow::Result<u64> {
    Ok(body.run().await?)
}

#[redis_cached(
    ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache,
    share_errors = |error| std::io::Error::from(error.kind())
)]
async fn copied(cache: &Cache, body: &Body) -> std::io::Result<u64> {
    body.run().await.map_err(std::io::Error::other)
}

/// A body whose first value is stale, and whose later runs block.
async fn blocked(scene: &Scene, cache: &Cache, id: u64) -> Body {
    let body = Body::new();
    assert_eq!(user(cache, &body, id).await, Ok(1));
    scene.clock.advance(TTL);
    body.shut_gate();
    body
}

#[tokio::test]
async fn a_stale_value_is_answered_at_once_while_the_body_runs() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        for _ in 0..3 {
            let call = within("an answer at once", SOON, user(cache, &body, 1));
            assert_eq!(call.await, Ok(1));
            body.wait_until_begun(2).await;
        }
        assert_eq!((body.runs(), body.running()), (2, 1));
        body.open_gate();
        until_stored(&user_entry(cache, 1), 2).await;
        assert_eq!(source(user(cache, &body, 1)).await, Source::Hit);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_stale_callers_start_one_run() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        for id in 0..5 {
            assert_eq!(crowded(cache, &body, id).await, Ok(id + 1));
        }
        scene.clock.advance(TTL);
        body.shut_gate();
        let before = Counts::of("crowded");
        let callers: JoinSet<_> = (0..250)
            .map(|caller| {
                let (cache, body) = (cache.clone(), body.clone());
                async move { (caller % 5, crowded(&cache, &body, caller % 5).await) }
            })
            .collect();
        for (id, value) in within("the stale value", SOON, callers.join_all()).await {
            assert_eq!(value, Ok(id + 1));
        }
        body.wait_until_begun(10).await;
        let counts = Counts::since("crowded", before);
        assert_eq!((counts.stale, counts.misses, counts.hits), (250, 0, 0));
        assert_eq!((counts.runs, counts.behind), (5, 5), "one for each key");
        body.open_gate();
        until_idle(cache, &body).await;
        assert_eq!(body.runs(), 10);
    }
}

#[tokio::test]
async fn a_body_that_somebody_waits_for_is_refresh_enough() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        // Not movable, so it runs in the flight of its caller.
        let (own, its) = (cache.clone(), body.clone());
        let foreground = tokio::spawn(async move {
            let entry = user_entry(&own, 1);
            entry.get_or_compute(|| user_uncached(&own, &its, 1)).await
        });
        body.wait_until_running(1).await;
        for _ in 0..3 {
            assert_eq!(user(cache, &body, 1).await, Ok(1));
        }
        assert_eq!((body.runs(), cache.stats().flights), (2, 1));
        body.open_gate();
        assert_eq!(foreground.await.expect("no panic"), Ok(2));
        assert_eq!(user(cache, &body, 1).await, Ok(2));
        assert_eq!(body.runs(), 2);
    }
}

#[tokio::test]
async fn a_run_behind_is_enough_for_those_who_wait() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        assert_eq!(user(cache, &body, 1).await, Ok(1));
        body.wait_until_running(1).await;
        let (own, its) = (cache.clone(), body.clone());
        let foreground = tokio::spawn(async move {
            let entry = user_entry(&own, 1);
            entry.get_or_compute(|| user_uncached(&own, &its, 1)).await
        });
        eventually("it to wait", SOON, async || cache.stats().waiting == 1).await;
        body.open_gate();
        assert_eq!(foreground.await.expect("no panic"), Ok(2));
        assert_eq!(body.runs(), 2);
    }
}

/// They came when its window was over, so there is nothing else to answer them with.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_error_behind_a_call_reaches_those_who_wait() {
    const CALLERS: usize = 50;
    let scene = Scene::start().await;
    macro_rules! errors_of {
        ($function:ident, $cache:expr) => {{
            let body = Body::new();
            assert_eq!($function($cache, &body).await.expect("a first run"), 1);
            scene.clock.advance(TTL);
            body.shut_gate();
            body.fail_next(1);
            assert_eq!($function($cache, &body).await.expect("a stale value"), 1);
            body.wait_until_running(1).await;
            scene.clock.advance(WINDOW);
            let call = || {
                let (cache, body) = ($cache.clone(), body.clone());
                async move { $function(&cache, &body).await }
            };
            let callers: JoinSet<_> = (0..CALLERS).map(|_| call()).collect();
            eventually("them to wait", SOON, async || {
                $cache.stats().waiting == CALLERS
            })
            .await;
            body.open_gate();
            let outcomes = within("every caller to be answered", SOON, callers.join_all()).await;
            assert_eq!(body.runs(), 2, "one run for all");
            outcomes
        }};
    }
    for cache in scene.both() {
        for outcome in errors_of!(told, cache) {
            let error = outcome.expect_err("the run behind failed");
            assert_eq!(error.to_string(), Failed { run: 2 }.to_string());
        }
        for outcome in errors_of!(copied, cache) {
            let error = outcome.expect_err("the run behind failed");
            assert_eq!(error.kind(), std::io::ErrorKind::Other);
        }
    }
}

#[tokio::test]
async fn a_caller_dropped_at_any_await_leaves_nothing_half_done() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let _last = at_every_poll(async |n| {
            let (id, body) = (n as u64, Body::new());
            assert_eq!(user(cache, &body, id).await, Ok(1));
            scene.clock.advance(TTL);
            let answered = poll_n_then_drop(user(cache, &body, id), n).await;
            if answered.is_none() {
                // Nothing began, or what began ends; the next caller sees to it.
                assert_eq!(user(cache, &body, id).await.map(|run| run <= 2), Ok(true));
            }
            // The caller is gone, the run is not.
            until_stored(&user_entry(cache, id), 2).await;
            until_idle(cache, &body).await;
            assert_eq!((body.runs(), body.dropped()), (2, 0), "after {n} polls");
            answered
        })
        .await;
    }
}

#[tokio::test]
async fn a_run_outlives_the_task_that_began_it() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        let (own, its) = (cache.clone(), body.clone());
        let caller = tokio::spawn(async move {
            let value = user(&own, &its, 1).await;
            its.wait_until_running(1).await;
            assert_eq!(value, Ok(1));
            std::future::pending::<()>().await;
        });
        body.wait_until_running(1).await;
        caller.abort();
        assert!(caller.await.expect_err("aborted").is_cancelled());
        body.open_gate();
        until_stored(&user_entry(cache, 1), 2).await;
        assert_eq!((body.runs(), body.dropped()), (2, 0));
    }
}

#[tokio::test]
async fn a_panic_behind_a_call_reaches_nobody_and_lets_the_key_rest() {
    let scene = Scene::start().await;
    let (logs, _guard) = Logs::of_this_thread();
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        let other = Body::new();
        assert_eq!(user(cache, &other, 2).await, Ok(1));
        scene.clock.advance(TTL);
        body.panic_next(1);
        assert_eq!(user(cache, &body, 1).await, Ok(1));
        body.wait_until_running(1).await;
        body.open_gate();
        // Another key's run goes on.
        assert_eq!(user(cache, &other, 2).await, Ok(1));
        until_stored(&user_entry(cache, 2), 2).await;
        until_idle(cache, &body).await;
        for _ in 0..3 {
            assert_eq!(user(cache, &body, 1).await, Ok(1));
        }
        assert_eq!(body.runs(), 2, "the key rests");
        scene.clock.advance(FIRST_PAUSE);
        // In Redis, the lock of the run that panicked ends by itself.
        eventually("the next run", SOON * 2, async || {
            user(cache, &body, 1).await.expect("a value");
            scene.clock.advance(FIRST_PAUSE / 10);
            body.runs() == 3
        })
        .await;
        until_stored(&user_entry(cache, 1), 3).await;
    }
    let told = logs.lines_with("a body panicked in the background");
    assert_eq!(told.len(), 2, "{}", logs.text());
    for line in told {
        assert!(line.contains("function=user ("), "{line}");
        assert!(line.contains("cause="), "{line}");
    }
    assert!(!logs.text().contains("as it was told"), "{}", logs.text());
}

#[tokio::test]
async fn who_waits_for_a_run_that_panics_runs_its_own_body() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        body.panic_next(1);
        assert_eq!(user(cache, &body, 1).await, Ok(1));
        body.wait_until_running(1).await;
        let (own, its) = (cache.clone(), body.clone());
        let waiter = tokio::spawn(async move {
            let entry = user_entry(&own, 1);
            entry.get_or_compute(|| user_uncached(&own, &its, 1)).await
        });
        eventually("it to wait", SOON, async || cache.stats().waiting == 1).await;
        body.open_gate();
        let value = within("its own body's value", SOON, waiter).await;
        assert_eq!(value.expect("no panic"), Ok(3));
    }
}

#[tokio::test]
async fn shutdown_ends_a_run_and_drops_its_body() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        assert_eq!(user(cache, &body, 1).await, Ok(1));
        body.wait_until_running(1).await;
        cache.shutdown().await.expect("nothing is left over");
        eventually("the body to be dropped", SOON, async || body.dropped() == 1).await;
        assert_eq!((body.running(), cache.stats().flights), (0, 0));
        // From here on there is no cache, and no run behind a call.
        body.open_gate();
        assert_eq!(source(user(cache, &body, 1)).await, Source::Bypass);
        assert_eq!(body.runs(), 3);
    }
}

#[tokio::test]
async fn a_body_that_hangs_behind_its_call_is_given_up_and_its_key_is_free() {
    let stores = Stores::with(|builder| {
        builder
            .background_timeout(Duration::from_millis(100))
            .refresh_pause(Duration::from_millis(1)..=Duration::from_millis(1))
    })
    .await;
    for cache in stores.both() {
        let body = Body::new();
        assert_eq!(brief(cache, &body).await, Ok(1));
        let stale = async || source(brief(cache, &body)).await == Source::Stale;
        body.shut_gate();
        eventually("a stale value", SOON, async || Box::pin(stale()).await).await;
        body.wait_until_begun(2).await;
        eventually("the body to be dropped", SOON, async || body.dropped() >= 1).await;
        // Later ones begin, in this process, for whoever asks.
        body.open_gate();
        let hit = async || source(brief(cache, &body)).await == Source::Hit;
        eventually("a fresh value", SOON, async || Box::pin(hit()).await).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_run_that_shutdown_ends_runs_its_own_body() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        assert_eq!(user(cache, &body, 1).await, Ok(1));
        body.wait_until_running(1).await;
        let (own, its) = (cache.clone(), body.clone());
        let waiter = tokio::spawn(async move {
            let entry = user_entry(&own, 1);
            entry.get_or_compute(|| user_uncached(&own, &its, 1)).await
        });
        eventually("it to wait", SOON, async || cache.stats().waiting == 1).await;
        body.let_through(3);
        cache.shutdown().await.expect("nothing is left over");
        let value = within("its own body's value", SOON, waiter).await;
        assert_eq!(value.expect("no panic"), Ok(3));
        assert_eq!(body.dropped(), 1);
    }
}

/// The run's caller came before the invalidation; what is stored was not to be.
#[tokio::test]
async fn what_a_run_began_before_an_invalidation_is_never_stored() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        let entry = user_entry(cache, 1);
        assert_eq!(user(cache, &body, 1).await, Ok(1));
        body.wait_until_running(1).await;
        entry.invalidate().await.expect("a cache");
        assert_eq!(entry.get().await.expect("a cache"), None, "no stale value");
        // A new flight, beside the old run.
        let (own, its) = (cache.clone(), body.clone());
        let newcomer = tokio::spawn(async move { user(&own, &its, 1).await });
        body.wait_until_running(2).await;
        body.let_through(2);
        body.wait_until_finished(2).await;
        settle(cache).await;
        assert_eq!(entry.get().await.expect("a cache"), None);
        body.open_gate();
        assert_eq!(newcomer.await.expect("no panic"), Ok(3));
        settle(cache).await;
        assert_eq!(entry.get().await.expect("a cache"), Some(3));
    }
}

/// After it, what was sent before was executed, and what was woken before was polled.
async fn settle(cache: &Cache) {
    for _ in 0..20 {
        tokio::task::yield_now().await;
        cache.ping().await.expect("a cache");
    }
}

#[tokio::test]
async fn what_is_put_during_a_run_stays() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = blocked(&scene, cache, 1).await;
        let entry = user_entry(cache, 1);
        assert_eq!(user(cache, &body, 1).await, Ok(1));
        body.wait_until_running(1).await;
        entry.put(&70).await.expect("a cache");
        body.open_gate();
        body.wait_until_finished(2).await;
        settle(cache).await;
        assert_eq!(source(user(cache, &body, 1)).await, Source::Hit);
        assert_eq!(entry.get().await.expect("a cache"), Some(70));
        // And is as old as it is.
        scene.clock.advance(TTL);
        assert_eq!(user(cache, &body, 1).await, Ok(70));
        until_stored(&entry, 3).await;
    }
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 600,
    stale_if_error = 600,
    cache_if = |run| *run != 3,
    skip(cache, body),
    cache = cache
)]
async fn perhaps(cache: &Cache, body: &Body, id: u64) -> Result<Option<u64>, Failed> {
    let _ = id;
    Ok(Some(body.run().await?).filter(|run| *run != 2))
}

#[tokio::test]
async fn a_refresh_that_returns_nothing_to_store_takes_the_stale_value_away() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        // The runs are 1: a value, 2: `None`, 3: what `cache_if` refuses; then values again.
        for (id, first, behind) in [(1, 2, true), (2, 3, true), (3, 2, false), (4, 3, false)] {
            let body = Body::new();
            let entry = perhaps_entry(cache, id);
            while body.runs() < first - 1 {
                entry.invalidate().await.expect("a cache");
                perhaps(cache, &body, id).await.expect("a value");
            }
            entry.put(&Some(70)).await.expect("a cache");
            scene.clock.advance(TTL);
            let nothing = (first == 3).then_some(3);
            if behind {
                assert_eq!(perhaps(cache, &body, id).await, Ok(Some(70)));
            } else {
                let call = entry.get_or_compute(|| perhaps_uncached(cache, &body, id));
                assert_eq!(call.await, Ok(nothing));
            }
            eventually("nothing to be stored", SOON, async || {
                entry.ttl().await.expect("a cache").is_none()
            })
            .await;
            assert_eq!(body.runs(), first);
            assert_eq!(source(perhaps(cache, &body, id)).await, Source::Miss);
        }
    }
}

/// The cache of the function below, which takes none: its body would have a handle on it.
static CACHE: Mutex<Option<Cache>> = Mutex::new(None);

fn the_cache() -> Cache {
    let cache = CACHE.lock().expect("no panic").clone();
    cache.expect("the test set it")
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(body), cache = &the_cache())]
async fn without_a_handle(body: &Body) -> Result<u64, Failed> {
    body.run().await
}

/// Who drops a cache's last handle wants nothing of it any more.
#[tokio::test]
async fn a_run_behind_ends_with_the_last_handle_on_its_cache() {
    let scene = Scene::start().await;
    for builder in [
        Cache::builder().in_memory(),
        Cache::builder().url(scene.stores.server.url()),
    ] {
        let cache = builder.clock(&scene.clock).build().expect("a cache");
        *CACHE.lock().expect("no panic") = Some(cache.clone());
        let body = Body::new();
        assert_eq!(without_a_handle(&body).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        assert_eq!(without_a_handle(&body).await, Ok(1));
        body.wait_until_begun(2).await;
        drop(cache);
        assert_eq!((body.running(), body.dropped()), (1, 0));
        let last = CACHE.lock().expect("no panic").take();
        drop(last);
        body.wait_until_idle().await;
        assert_eq!(body.dropped(), 1);
    }
}
