//! P3: a computed value is returned even if it cannot be encoded, stored or shared.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{Cache, ErrorKind, redis_cached};
use cache_tests::proxy::script;
use cache_tests::{Body, Proxy, RedisServer, body::Failed, eventually, timed, wait::SOON};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};

const TIMEOUT: Duration = Duration::from_millis(1500);
const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

fn cache(url: impl Into<String>) -> Cache {
    Cache::builder().url(url).timeout(TIMEOUT).build().unwrap()
}

/// A call whose body runs when `meanwhile` has happened: it returns what its body returned, in time.
async fn with_body_around(cache: &Cache, body: &Body, id: u64, meanwhile: impl AsyncFnOnce()) {
    body.shut_gate();
    let before = body.runs();
    let calling = tokio::spawn({
        let (cache, body) = (cache.clone(), body.clone());
        async move { user(&cache, &body, id).await }
    });
    body.wait_until_begun(before + 1).await;
    meanwhile().await;
    body.open_gate();
    let (returned, took) = timed(calling).await;
    assert_eq!(returned.unwrap(), Ok(before + 1));
    assert!(
        took < LESS_THAN_TWO_TIMEOUTS,
        "the rest of the call took {took:?}"
    );
}

async fn hits_resume(cache: &Cache, body: &Body, id: u64) {
    eventually("a hit", SOON, async || {
        let before = body.runs();
        user(cache, body, id).await.unwrap();
        body.runs() == before
    })
    .await;
}

#[tokio::test]
async fn p3_computed_value_survives_failed_store() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    user(&cache, &body, 1000).await.unwrap();

    // The server is full when the value is there.
    with_body_around(&cache, &body, 1, async || {
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    })
    .await;
    assert_eq!(server.cli(&["EXISTS", "user:1"]), "0");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    hits_resume(&cache, &body, 1).await;

    // Somebody emptied it, and with it the right to store.
    with_body_around(&cache, &body, 2, async || server.empty().await).await;
    assert_eq!(server.cli(&["EXISTS", "user:2"]), "0");
    hits_resume(&cache, &body, 2).await;

    // The reply to the STORE is cut.
    for bytes in 0..4 {
        let id = 10 + bytes as u64;
        let mut cut = None;
        with_body_around(&cache, &body, id, async || {
            cut = Some(proxy.cut_in_reply_to(script(), bytes));
        })
        .await;
        cut.unwrap().happened().await;
        let before = body.runs();
        user(&cache, &body, id).await.unwrap();
        assert_eq!(
            body.runs(),
            before,
            "what was stored under the cut reply is a hit"
        );
    }

    // The connection is reset before the STORE gets there, and again.
    let mut held = Vec::new();
    with_body_around(&cache, &body, 3, async || {
        for _ in 0..2 {
            held.push(proxy.hold(script()));
        }
        for held in held.drain(..) {
            tokio::spawn(async move {
                held.arrived().await;
                held.reset();
            });
        }
    })
    .await;
    hits_resume(&cache, &body, 3).await;

    // The server hangs.
    with_body_around(&cache, &body, 4, async || server.stop()).await;
    server.cont();
    hits_resume(&cache, &body, 4).await;

    // The server is gone.
    with_body_around(&cache, &body, 5, async || server.kill()).await;
    server.restart().await;
    hits_resume(&cache, &body, 5).await;
}

/// Those who came while the body ran, and wait for the proof that never comes.
#[tokio::test]
async fn p3_waiters_get_a_value_when_the_store_fails() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    let body = Body::gated();
    let call = || {
        let (cache, body) = (cache.clone(), body.clone());
        tokio::spawn(async move { user(&cache, &body, 1).await })
    };
    let leader = call();
    body.wait_until_begun(1).await;
    let late: Vec<_> = (0..20).map(|_| call()).collect();
    cache.ping().await.unwrap();
    cache.ping().await.unwrap();
    server.kill();
    body.open_gate();
    assert_eq!(leader.await.unwrap(), Ok(1));
    for call in late {
        call.await.unwrap().unwrap();
    }
}

/// What `Serialize` does.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
enum Refusal {
    Fails,
    Panics,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Shareable(u64, Refusal);

/// Neither `Clone` nor `Serialize` in practice: nobody can share it.
#[derive(Debug, PartialEq, Deserialize)]
struct Alone(u64, Refusal);

fn refuse<S: Serializer>(refusal: Refusal) -> Result<S::Ok, S::Error> {
    match refusal {
        Refusal::Fails => Err(S::Error::custom("a value that cannot be encoded")),
        Refusal::Panics => panic!("`Serialize` panics as it was told"),
    }
}

impl Serialize for Shareable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        refuse::<S>(self.1)
    }
}

impl Serialize for Alone {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        refuse::<S>(self.1)
    }
}

#[redis_cached(ttl = 300, key = "shareable:{id}", skip(cache, body, refusal), cache = cache)]
async fn shareable(
    cache: &Cache,
    body: &Body,
    refusal: Refusal,
    id: u64,
) -> Result<Shareable, Failed> {
    Ok(Shareable(body.run().await?, refusal))
}

#[redis_cached(ttl = 300, key = "alone:{id}", skip(cache, body, refusal), cache = cache)]
async fn alone(cache: &Cache, body: &Body, refusal: Refusal, id: u64) -> Result<Alone, Failed> {
    Ok(Alone(body.run().await?, refusal))
}

fn errors_of(function: &str, kind: ErrorKind) -> u64 {
    let sites = cache_runtime::sites();
    let site = sites.iter().find(|site| site.function == function);
    site.map_or(0, |site| site.stats.errors.of(kind))
}

#[tokio::test]
async fn p3_a_value_that_cannot_be_encoded_is_returned() {
    let server = RedisServer::start().await;
    for refusal in [Refusal::Fails, Refusal::Panics] {
        let body = Body::new();
        let cache = cache(server.url());
        for run in 1..4 {
            let returned = shareable(&cache, &body, refusal, 1).await;
            assert_eq!(returned, Ok(Shareable(run, refusal)));
        }
        let body = Body::new();
        for run in 1..4 {
            let returned = alone(&cache, &body, refusal, 1).await;
            assert_eq!(returned, Ok(Alone(run, refusal)));
        }
        assert_eq!(server.cli(&["EXISTS", "shareable:1", "alone:1"]), "0");
    }
    assert!(errors_of("shareable", ErrorKind::Encode) >= 6);
    assert!(errors_of("alone", ErrorKind::Encode) >= 6);
}

#[tokio::test]
async fn p3_a_value_that_cannot_be_encoded_is_returned_without_redis() {
    for refusal in [Refusal::Fails, Refusal::Panics] {
        let cache = Cache::builder().in_memory().build().unwrap();
        let body = Body::new();
        assert_eq!(
            shareable(&cache, &body, refusal, 1).await,
            Ok(Shareable(1, refusal))
        );
        for run in 2..4 {
            let returned = alone(&cache, &body, refusal, 1).await;
            assert_eq!(returned, Ok(Alone(run, refusal)));
        }
    }
}

#[tokio::test]
async fn p3_waiters_of_a_value_that_cannot_be_encoded_get_one() {
    let server = RedisServer::start().await;
    for cache in [
        cache(server.url()),
        Cache::builder().in_memory().build().unwrap(),
    ] {
        for refusal in [Refusal::Fails, Refusal::Panics] {
            // A value that is `Clone` is shared all the same, and was computed once or twice.
            let body = Body::gated();
            let call = || {
                let (cache, body) = (cache.clone(), body.clone());
                tokio::spawn(async move { shareable(&cache, &body, refusal, 2).await })
            };
            let mut calls = vec![call()];
            body.wait_until_begun(1).await;
            calls.extend((0..20).map(|_| call()));
            tokio::task::yield_now().await;
            body.open_gate();
            for call in calls {
                call.await.unwrap().unwrap();
            }

            // Nobody can share this one: each waiter runs for itself, side by side.
            let body = Body::gated();
            let call = || {
                let (cache, body) = (cache.clone(), body.clone());
                tokio::spawn(async move { alone(&cache, &body, refusal, 2).await })
            };
            let mut calls = vec![call()];
            body.wait_until_begun(1).await;
            calls.extend((0..20).map(|_| call()));
            // All of them wait before the leader is done.
            for _ in 0..3 {
                cache.ping().await.unwrap();
                tokio::task::yield_now().await;
            }
            body.let_through(1);
            calls.remove(0).await.unwrap().unwrap();
            body.wait_until_running(20).await;
            body.open_gate();
            let mut values = Vec::new();
            for call in calls {
                values.push(call.await.unwrap().unwrap().0);
            }
            values.sort_unstable();
            assert_eq!(values, (2..22).collect::<Vec<_>>(), "each its own");
        }
    }
}
