//! What stands in Redis: the header, the ttl, and what others wrote.

use std::time::Duration;

use cache_runtime::redis::AsyncCommands;
use cache_runtime::{Cache, Outcome, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, patient};

use crate::scene::{MILLI, Scene, TTL, WINDOW, source, until_idle, until_stored};

/// Before the JSON: five bytes, and the twenty of a stamp.
const HEADER: usize = 25;

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 300,
    stale_if_error = 600,
    key = "windows:{id}",
    skip(cache, body),
    cache = cache
)]
async fn windows(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = 60,
    refresh_ahead = 0.5,
    key = "windows:{id}",
    skip(cache, body),
    cache = cache
)]
async fn ahead(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// The same key, without any window.
#[redis_cached(ttl = 60, key = "windows:{id}", skip(cache, body), cache = cache)]
async fn plain(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = 60,
    none_ttl = 30,
    stale_while_revalidate = 600,
    key = "none:{id}",
    skip(cache, body),
    cache = cache
)]
async fn none(cache: &Cache, body: &Body, id: u64) -> Result<Option<u64>, Failed> {
    let run = body.run().await?;
    Ok((run % 2 == 0).then_some(run))
}

async fn bytes(server: &RedisServer, key: &str) -> Vec<u8> {
    let mut connection = server.connection().await;
    connection.get(key).await.expect("a value")
}

fn ttl(server: &RedisServer, key: &str) -> Duration {
    let left = server.cli(&["PTTL", key]).parse().expect("a number");
    Duration::from_millis(left)
}

#[track_caller]
fn assert_lives(server: &RedisServer, key: &str, whole: Duration) {
    let left = ttl(server, key);
    assert!(
        left <= whole && left + SOON > whole,
        "{left:?} of {whole:?}"
    );
}

fn number(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(whole)
}

fn servers_time(server: &RedisServer) -> u64 {
    let time = server.cli(&["TIME"]);
    let (seconds, micros) = time.split_once('\n').expect("two numbers");
    let number = |text: &str| text.trim().parse::<u64>().expect("a number");
    number(seconds) * 1000 + number(micros) / 1000
}

/// By the machine's clock, as in production: the server writes its own time into the stamp.
#[tokio::test]
async fn a_stamp_holds_the_servers_time_the_ttl_and_what_the_body_took() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::gated());
    let pause = Duration::from_millis(50);
    let earlier = servers_time(&server);
    let open = async {
        body.wait_until_running(1).await;
        tokio::time::sleep(pause).await;
        body.open_gate();
    };
    let (value, ()) = tokio::join!(windows(&cache, &body, 1), open);
    assert_eq!(value, Ok(1));
    let later = servers_time(&server);
    let stored = bytes(&server, "windows:1").await;
    assert_eq!(&stored[..5], [0xC1, 1, 2, 20, 0]);
    let at = number(&stored[5..13]);
    assert!((earlier..=later).contains(&at), "{earlier} {at} {later}");
    assert_eq!(number(&stored[13..21]), 60_000);
    let took = number(&stored[21..25]);
    assert!((50..later - earlier + 1).contains(&took), "{took}");
    assert_eq!(&stored[HEADER..], b"1");
    assert_lives(&server, "windows:1", TTL + WINDOW);
    // What is put has a stamp as well, and took no time.
    windows_entry(&cache, 1).put(&70).await.expect("a cache");
    let put = bytes(&server, "windows:1").await;
    assert_eq!(&put[..5], [0xC1, 1, 2, 20, 0]);
    assert!((later..=servers_time(&server)).contains(&number(&put[5..13])));
    assert_eq!((number(&put[13..21]), number(&put[21..25])), (60_000, 0));
    assert_eq!(&put[HEADER..], b"70");
    assert_lives(&server, "windows:1", TTL + WINDOW);
    let outcome = Outcome::of(windows(&cache, &body, 1)).await;
    assert_eq!((outcome.value, outcome.source), (Ok(70), Source::Hit));
    assert!(outcome.age.expect("an age") < SOON);
}

#[tokio::test]
async fn a_refresh_renews_stamp_and_ttl() {
    let scene = Scene::start().await;
    let (cache, body, server) = (&scene.stores.redis, Body::new(), &scene.stores.server);
    assert_eq!(windows(cache, &body, 1).await, Ok(1));
    let old = number(&bytes(server, "windows:1").await[5..13]);
    server.cli(&["PEXPIRE", "windows:1", "300000"]);
    scene.clock.advance(TTL);
    assert_eq!(windows(cache, &body, 1).await, Ok(1));
    until_stored(&windows_entry(cache, 1), 2).await;
    let new = number(&bytes(server, "windows:1").await[5..13]);
    assert_eq!(new - old, 60_000);
    assert_lives(server, "windows:1", TTL + WINDOW);
    until_idle(cache, &body).await;
    // Neither token nor lock stays behind.
    assert_eq!(server.cli(&["KEYS", "*"]), "windows:1");
}

#[tokio::test]
async fn without_a_window_the_ttl_ends_the_value() {
    let scene = Scene::start().await;
    let (cache, body, server) = (&scene.stores.redis, Body::new(), &scene.stores.server);
    assert_eq!(ahead(cache, &body, 1).await, Ok(1));
    assert_eq!(&bytes(server, "windows:1").await[..5], [0xC1, 1, 2, 20, 0]);
    assert_lives(server, "windows:1", TTL);
    assert_eq!(plain(cache, &body, 2).await, Ok(2));
    assert_eq!(bytes(server, "windows:2").await, b"2", "plain JSON");
    assert_lives(server, "windows:2", TTL);
}

#[tokio::test]
async fn none_is_stale_and_refreshed_like_a_value() {
    let scene = Scene::start().await;
    let half = TTL / 2;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(none(cache, &body, 1).await, Ok(None));
        scene.clock.advance(half - MILLI);
        assert_eq!(source(none(cache, &body, 1)).await, Source::Hit);
        scene.clock.advance(MILLI);
        let outcome = Outcome::of(none(cache, &body, 1)).await;
        assert_eq!((outcome.value, outcome.source), (Ok(None), Source::Stale));
        until_stored(&none_entry(cache, 1), Some(2)).await;
        // A value has the longer ttl.
        scene.clock.advance(TTL - MILLI);
        assert_eq!(source(none(cache, &body, 1)).await, Source::Hit);
        scene.clock.advance(MILLI);
        assert_eq!(none(cache, &body, 1).await, Ok(Some(2)));
        until_stored(&none_entry(cache, 1), None).await;
        assert_eq!(body.runs(), 3);
        scene.clock.advance(half + WINDOW);
        assert_eq!(none(cache, &body, 1).await, Ok(Some(4)));
    }
    let cache = &scene.stores.redis;
    assert_eq!(none(cache, &Body::new(), 2).await, Ok(None));
    let stored = bytes(&scene.stores.server, "none:2").await;
    assert_eq!(&stored[..5], [0xC1, 1, 3, 20, 0]);
    assert_eq!(number(&stored[13..21]), 30_000);
    assert_eq!(&stored[HEADER..], b"null");
    assert_lives(&scene.stores.server, "none:2", half + WINDOW);
}

/// Another program's, or what an older release of this one stored before its function had windows.
#[tokio::test]
async fn a_value_without_a_stamp_is_fresh_while_it_is_there() {
    let scene = Scene::start().await;
    let (cache, body, server) = (&scene.stores.redis, Body::new(), &scene.stores.server);
    server.cli(&["SET", "windows:1", "70", "PX", "600000"]);
    assert_eq!(plain(cache, &body, 2).await, Ok(1));
    let age = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    for _ in 0..3 {
        for (id, value) in [(1, 70), (2, 1)] {
            let outcome = Outcome::of(windows(cache, &body, id)).await;
            assert_eq!((outcome.value, outcome.source), (Ok(value), Source::Hit));
            assert_eq!(outcome.age, None);
            assert_eq!(source(ahead(cache, &body, id)).await, Source::Hit);
        }
        scene.clock.advance(age);
    }
    assert_eq!(
        (body.runs(), cache.stats().flights),
        (1, 0),
        "nothing begins"
    );
    assert_eq!(
        bytes(server, "windows:1").await,
        b"70",
        "nothing is written"
    );
    // Once it has ended, a value with a stamp takes its place.
    server.cli(&["PEXPIRE", "windows:1", "1"]);
    cache_tests::eventually("its end", SOON, async || {
        server.cli(&["EXISTS", "windows:1"]) == "0"
    })
    .await;
    assert_eq!(windows(cache, &body, 1).await, Ok(2));
    assert_eq!(bytes(server, "windows:1").await[0], 0xC1);
}

/// That an older release stored as a body's `None`.
#[tokio::test]
async fn a_none_without_a_stamp_is_fresh_while_it_is_there() {
    let scene = Scene::start().await;
    let (cache, body) = (&scene.stores.redis, Body::new());
    let mut connection = scene.stores.server.connection().await;
    let none_of_old: &[u8] = b"\xC1\x01\x01\x00\x00null";
    let set = connection.set_ex::<_, _, ()>("none:1", none_of_old, 600);
    set.await.expect("a server");
    scene.clock.advance(TTL * 1000);
    assert_eq!(none(cache, &body, 1).await, Ok(None));
    assert_eq!(body.runs(), 0);
}

/// Each function reads by its own windows what another, or its own earlier self, has written.
#[tokio::test]
async fn a_function_without_windows_reads_a_stamp_until_its_ttl_ends() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(windows(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL - MILLI);
        assert_eq!(source(plain(cache, &body, 1)).await, Source::Hit);
        scene.clock.advance(MILLI);
        assert_eq!(source(ahead(cache, &body, 1)).await, Source::Miss);
        assert_eq!(body.runs(), 2);
        assert_eq!(windows(cache, &body, 1).await, Ok(2), "is fresh again");
        let entry = windows_entry(cache, 1);
        entry.put(&70).await.expect("a cache");
        scene.clock.advance(TTL);
        assert_eq!(entry.get().await.expect("a cache"), Some(70));
        let strict = plain_entry(cache, 1);
        assert_eq!(strict.get().await.expect("a cache"), None);
        body.fail_next(1);
        let failed = plain(cache, &body, 1).await;
        assert_eq!(failed, Err(Failed { run: 3 }));
        assert_eq!(plain(cache, &body, 1).await, Ok(4));
    }
}

/// A stamp of a release that knows more fields is read; one of a form unknown is a miss.
#[tokio::test]
async fn fields_of_a_later_release_are_skipped() {
    let scene = Scene::start().await;
    let (cache, body, server) = (&scene.stores.redis, Body::new(), &scene.stores.server);
    assert_eq!(windows(cache, &body, 1).await, Ok(1));
    let mut stored = bytes(server, "windows:1").await;
    stored[3] += 2;
    stored.splice(HEADER..HEADER, [7, 7]);
    let mut connection = server.connection().await;
    let set = connection.set_ex::<_, _, ()>("windows:1", &stored, 600);
    set.await.expect("a server");
    assert_eq!(source(windows(cache, &body, 1)).await, Source::Hit);
    scene.clock.advance(TTL);
    assert_eq!(windows(cache, &body, 1).await, Ok(1));
    until_stored(&windows_entry(cache, 1), 2).await;
    assert_eq!(bytes(server, "windows:1").await[3], 20);
}
