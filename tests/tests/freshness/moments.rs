//! What holds at exactly the moment at which something ends: it has ended.

use std::time::Duration;

use cache_runtime::{Cache, Entry, StoreStats, redis_cached};
use cache_tests::Body;
use cache_tests::body::Failed;

use crate::scene::{MILLI, Scene, TTL, WINDOW};

macro_rules! function {
    ($name:ident, $($options:tt)*) => {
        #[redis_cached(ttl = 60, $($options)*, skip(cache, body), cache = cache)]
        async fn $name(cache: &Cache, body: &Body) -> Result<u64, Failed> {
            body.run().await
        }
    };
}

function!(ahead, key = "ahead", refresh_ahead = 0.5);
function!(
    revalidating,
    key = "revalidating",
    stale_while_revalidate = 600
);
function!(on_error, key = "on_error", stale_if_error = 600);
function!(
    both_windows,
    key = "both_windows",
    stale_while_revalidate = 60,
    stale_if_error = 600
);

/// `get` gives what a call would be answered without its body, up to the moment at which that changes.
#[tokio::test]
async fn get_finds_a_value_until_exactly_its_end() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        ahead(cache, &body).await.expect("a value");
        revalidating(cache, &body).await.expect("a value");
        on_error(cache, &body).await.expect("a value");
        both_windows(cache, &body).await.expect("a value");
        let ends: [(Duration, &[Entry<u64>]); 3] = [
            (TTL, &[ahead_entry(cache), on_error_entry(cache)]),
            (TTL + TTL, &[both_windows_entry(cache)]),
            (TTL + WINDOW, &[revalidating_entry(cache)]),
        ];
        let mut age = Duration::ZERO;
        for (end, entries) in ends {
            scene.clock.advance(end - MILLI - age);
            for entry in entries {
                let value = entry.get().await.expect("a cache");
                assert!(value.is_some(), "{entry:?} before {end:?}");
            }
            scene.clock.advance(MILLI);
            for entry in entries {
                let value = entry.get().await.expect("a cache");
                assert_eq!(value, None, "{entry:?} at {end:?}");
            }
            age = end;
        }
        assert_eq!(body.runs(), 4);
    }
}

/// What was put without windows ends with its ttl, also for readers who allow older values.
#[tokio::test]
async fn in_process_a_value_is_gone_at_exactly_its_end() {
    let scene = Scene::start().await;
    let cache = &scene.stores.memory;
    let body = Body::new();
    let put = cache.set_ex("revalidating", &7, TTL);
    put.await.expect("a cache");
    let entry = revalidating_entry(cache);
    scene.clock.advance(TTL - MILLI);
    assert_eq!(revalidating(cache, &body).await, Ok(7));
    assert_eq!(entry.ttl().await.expect("a cache"), Some(MILLI));
    scene.clock.advance(MILLI);
    assert_eq!(entry.ttl().await.expect("a cache"), None);
    // Not as a stale value either, which its reader would take for ten minutes more.
    assert_eq!(revalidating(cache, &body).await, Ok(1));
}

#[tokio::test]
async fn in_process_a_value_counts_until_exactly_its_end() {
    let scene = Scene::start().await;
    let cache = &scene.stores.memory;
    let put = cache.set_ex("counted", &7, TTL);
    put.await.expect("a cache");
    let entries = || match cache.stats().store {
        StoreStats::Memory { entries, .. } => entries,
        other => panic!("not in process: {other:?}"),
    };
    scene.clock.advance(TTL - MILLI);
    assert_eq!(entries(), 1);
    scene.clock.advance(MILLI);
    assert_eq!(entries(), 0);
}
