//! A body's value that cannot be stored is the answer all the same. Its key rests, for the next one may be no better.

use std::time::Duration;

use cache_runtime::{Cache, Outcome, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, eventually};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::scene::{FIRST_PAUSE, Scene, TTL};

#[redis_cached(
    ttl = |value: &u64| if *value == 2 { panic!("on purpose") } else { TTL },
    stale_if_error = 3600,
    skip(cache, body),
    cache = cache
)]
async fn priceless(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[tokio::test]
async fn a_key_rests_when_nobody_knows_how_long_its_value_lives() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(priceless(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        assert_eq!(priceless(cache, &body, 1).await, Ok(2));
        for _ in 0..3 {
            assert_eq!(priceless(cache, &body, 1).await, Ok(1));
        }
        assert_eq!(body.runs(), 2);
        scene.clock.advance(FIRST_PAUSE);
        assert_eq!(priceless(cache, &body, 1).await, Ok(3));
    }
}

/// The second value of these types has no JSON.
fn serialize<S: Serializer>(value: u64, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        2 => Err(S::Error::custom("on purpose")),
        value => serializer.serialize_u64(value),
    }
}

#[derive(Clone, Deserialize)]
struct Shareable(u64);

impl Serialize for Shareable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

/// Without a `Clone`, others could only have its JSON.
#[derive(Deserialize)]
struct Alone(u64);

impl Serialize for Alone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

#[redis_cached(ttl = 60, stale_if_error = 3600, skip(cache, body), cache = cache)]
async fn shareable(cache: &Cache, body: &Body, id: u64) -> Result<Shareable, Failed> {
    let _ = id;
    body.run().await.map(Shareable)
}

#[redis_cached(ttl = 60, stale_if_error = 3600, skip(cache, body), cache = cache)]
async fn alone(cache: &Cache, body: &Body, id: u64) -> Result<Alone, Failed> {
    let _ = id;
    body.run().await.map(Alone)
}

async fn assert_rests(
    scene: &Scene,
    cache: &Cache,
    call: impl AsyncFn(&Cache, &Body) -> Result<u64, Failed>,
) {
    let body = Body::new();
    assert_eq!(call(cache, &body).await, Ok(1));
    scene.clock.advance(TTL);
    assert_eq!(call(cache, &body).await, Ok(2));
    // The older one is not taken away for it.
    for _ in 0..3 {
        assert_eq!(call(cache, &body).await, Ok(1));
    }
    assert_eq!(body.runs(), 2);
    // Rights to store that nobody needs any more are not left to expire, which takes half a minute.
    let limit = Duration::from_secs(15);
    eventually("the right to store is given back", limit, async || {
        scene.stores.server.cli(&["KEYS", "*%t:*"]).is_empty()
    })
    .await;
    scene.clock.advance(FIRST_PAUSE);
    assert_eq!(call(cache, &body).await, Ok(3));
    assert_eq!(call(cache, &body).await, Ok(3));
    assert_eq!(body.runs(), 3);
}

#[tokio::test]
async fn a_key_rests_when_its_value_cannot_be_written() {
    let scene = Scene::start().await;
    let of_shareable =
        async |cache: &Cache, body: &Body| shareable(cache, body, 1).await.map(|value| value.0);
    let of_alone =
        async |cache: &Cache, body: &Body| alone(cache, body, 1).await.map(|value| value.0);
    for cache in scene.both() {
        assert_rests(&scene, cache, of_alone).await;
    }
    assert_rests(&scene, &scene.stores.redis, of_shareable).await;
    // A build for production keeps it in process without its JSON.
    if cfg!(debug_assertions) {
        assert_rests(&scene, &scene.stores.memory, of_shareable).await;
    }
}

#[redis_cached(ttl = 60, stale_if_error = 3600, skip(cache, body), cache = cache)]
async fn too_much(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// Nothing was invalidated, so who came while the body ran has its value too.
#[tokio::test]
async fn a_key_rests_when_redis_has_no_room_for_its_value() {
    let scene = Scene::start().await;
    let (cache, body) = (&scene.stores.redis, Body::new());
    assert_eq!(too_much(cache, &body, 1).await, Ok(1));
    scene.clock.advance(TTL);
    body.shut_gate();
    let call = || {
        let (cache, body) = (cache.clone(), body.clone());
        tokio::spawn(async move { Outcome::of(too_much(&cache, &body, 1)).await })
    };
    let leader = call();
    body.wait_until_running(1).await;
    let late = call();
    eventually("the other to wait", SOON, async || {
        cache.stats().waiting == 1
    })
    .await;
    let memory = |limit| {
        let set = ["CONFIG", "SET", "maxmemory", limit];
        assert_eq!(scene.stores.server.cli(&set), "OK");
    };
    memory("1");
    body.open_gate();
    for call in [leader, late] {
        let outcome = call.await.expect("no panic");
        assert_eq!(outcome.value, Ok(2));
        assert_eq!((outcome.age, outcome.ttl), (None, None), "not stored");
    }
    for _ in 0..3 {
        assert_eq!(too_much(cache, &body, 1).await, Ok(1));
    }
    assert_eq!(body.runs(), 2);
    memory("0");
    scene.clock.advance(FIRST_PAUSE);
    assert_eq!(too_much(cache, &body, 1).await, Ok(3));
    assert_eq!(too_much(cache, &body, 1).await, Ok(3));
    assert_eq!(body.runs(), 3);
}
