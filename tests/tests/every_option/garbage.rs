//! P10: whatever stands under a value's key, its token's or its lock's, a call answers, and in time there is a value.

use std::time::Duration;

use cache_runtime::Cache;
use cache_runtime::redis::{AsyncCommands, Value, cmd};
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, eventually, within};

use crate::functions::{Age, FUNCTIONS, Scene};

/// How long a call with `coalesce = "cluster"` waits for a lock that nobody holds.
const WAIT: Duration = Duration::from_millis(50);

/// What another program may have left, with `KEY` for the key.
const GARBAGE: [&[&str]; 8] = [
    &["SET", "KEY", ""],
    &["SET", "KEY", "no json"],
    &["SET", "KEY", "{\"id\":"],
    &["SET", "KEY", "-"],
    &["SET", "KEY", "[[[["],
    &["RPUSH", "KEY", "a"],
    &["HSET", "KEY", "a", "b"],
    &["SADD", "KEY", "a"],
];

fn keys_of(scene: &Scene) -> [String; 3] {
    let key = scene.entry().key().expect("a key");
    [
        key.to_string(),
        format!("%t:{{{key}}}"),
        format!("%l:{{{key}}}"),
    ]
}

async fn check(server: &RedisServer, function: &'static crate::functions::Function, age: Age) {
    let mut connection = server.connection().await;
    let builder = Cache::builder()
        .url(server.url())
        .timeout(SOON)
        .cluster_wait(WAIT);
    let scene = Scene::set(function, age, builder, Body::new()).await;
    let keys = keys_of(&scene);
    for (n, key) in keys.iter().enumerate() {
        for garbage in GARBAGE {
            let name = format!("{}: {garbage:?} under {key}", scene.name());
            let mut command = cmd(garbage[0]);
            for word in &garbage[1..] {
                command.arg(if *word == "KEY" { key } else { *word });
            }
            let () = connection.del(key).await.expect("DEL");
            if age == Age::Cold {
                // So that the call asks for the right to store, and for the lock.
                let () = connection.del(&keys[0]).await.expect("DEL");
            }
            let _: Value = command.query_async(&mut connection).await.expect("garbage");
            for _ in 0..2 {
                let outcome = within(&name, SOON, scene.call()).await;
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            scene.settle().await;
            if n == 0 {
                eventually(&name, SOON, async || {
                    scene.call().await.expect("no failure");
                    scene.entry().get().await.expect("a cache").is_some()
                })
                .await;
            }
            // An invalidation mends it all.
            scene.entry().invalidate().await.expect("a cache");
            let run = scene.call().await.expect("no failure");
            assert_eq!(scene.call().await, Ok(run), "{name}");
            scene.settle().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p10_garbage_under_any_of_its_keys_is_no_error() {
    let server = RedisServer::start().await;
    for function in FUNCTIONS {
        for age in [Age::Cold, Age::Young, Age::Old, Age::Stale] {
            check(&server, function, age).await;
        }
    }
}

/// The keys are where this looks for them.
#[tokio::test]
async fn the_keys_are_those_of_a_run() {
    let server = RedisServer::start().await;
    let mut connection = server.connection().await;
    let builder = Cache::builder().url(server.url()).timeout(SOON);
    let function = FUNCTIONS.iter().find(|one| one.name == "cluster");
    let function = function.expect("it is one of them");
    let scene = Scene::set(function, Age::Cold, builder, Body::gated()).await;
    let call = tokio::spawn(scene.call());
    scene.body.wait_until_running(1).await;
    for key in &keys_of(&scene)[1..] {
        let there: bool = connection.exists(key).await.expect("EXISTS");
        assert!(there, "{key}");
    }
    scene.body.open_gate();
    assert_eq!(call.await.expect("no panic"), Ok(1));
}
