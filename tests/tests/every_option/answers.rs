//! P1, P3 and P4: what a call answers.

use cache_runtime::{Cache, CacheBuilder};
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, eventually, within};

use crate::functions::{Age, FUNCTIONS, Scene, wide};

/// Both stores.
fn builders(server: &RedisServer) -> [CacheBuilder; 2] {
    [
        Cache::builder().in_memory(),
        Cache::builder().url(server.url()).timeout(SOON),
    ]
}

#[tokio::test]
async fn p1_a_call_answers_what_the_body_would() {
    let server = RedisServer::start().await;
    for builder in builders(&server) {
        for scene in Scene::all(|| builder.clone(), Body::new).await {
            for id in 0..8 {
                for _ in 0..3 {
                    let (cache, body) = (scene.cache.clone(), scene.body.clone());
                    let value = (scene.function.wide)(cache, body, id).await;
                    assert_eq!(value, Ok(wide(id)), "{}", scene.name());
                }
            }
            let runs = scene.body.runs();
            let value = scene.call().await.expect("no failure");
            assert!((1..=runs + 1).contains(&value), "{}", scene.name());
        }
    }
}

#[tokio::test]
async fn p3_what_was_computed_is_answered_though_nothing_can_be_stored() {
    let server = RedisServer::builder().maxmemory(1).start().await;
    for function in FUNCTIONS {
        let builder = Cache::builder().url(server.url()).timeout(SOON);
        let scene = Scene::set(function, Age::Cold, builder, Body::new()).await;
        for run in 1..=3 {
            assert_eq!(scene.call().await, Ok(run), "{}", scene.name());
        }
        scene.body.fail_next(1);
        assert!(scene.call().await.is_err(), "{}", scene.name());
        scene.settle().await;
    }
    // There is room for the right to store, and then none for the value.
    let server = RedisServer::start().await;
    for function in FUNCTIONS {
        let builder = Cache::builder().url(server.url()).timeout(SOON);
        let scene = Scene::set(function, Age::Cold, builder, Body::gated()).await;
        let fill = async {
            scene.body.wait_until_running(1).await;
            server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
            scene.body.open_gate();
        };
        let call = within("an answer without room", SOON, scene.call());
        assert_eq!(tokio::join!(call, fill).0, Ok(1), "{}", scene.name());
        scene.settle().await;
        server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(scene.call().await, Ok(2), "{}", scene.name());
        assert_eq!(scene.call().await, Ok(2), "{}", scene.name());
    }
}

#[tokio::test]
async fn p4_nothing_from_before_an_invalidation_is_seen_after_it() {
    let server = RedisServer::start().await;
    for builder in builders(&server) {
        for scene in Scene::all(|| builder.clone(), Body::gated).await {
            let name = scene.name();
            // Somebody's body, in the foreground or behind, may be under way.
            let before = tokio::spawn(scene.call());
            let begins = async { scene.body.wait_until_running(1).await };
            tokio::select! {
                () = begins => {}
                () = eventually("it to be answered", SOON, async || before.is_finished()) => {}
            }
            let begun = scene.body.runs();
            scene.entry().invalidate().await.expect("a cache");
            scene.body.open_gate();
            let value = within(&name, SOON, before).await.expect("no panic");
            value.expect("no failure");
            let after = scene.call().await.expect("no failure");
            assert!(after > begun, "{name}: run {after} after {begun}");
            scene.settle().await;
            let after = scene.call().await.expect("no failure");
            assert!(after > begun, "{name}: run {after} after {begun}");

            scene.body.shut_gate();
            scene.entry().put(&1_000).await.expect("a cache");
            assert_eq!(scene.call().await, Ok(1_000), "{name}");
        }
    }
}
