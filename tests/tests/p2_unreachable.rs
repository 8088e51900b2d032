//! P2 where Redis cannot be reached: the body runs, the call pays at most one timeout, and the same
//! cache answers again when Redis is back.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use cache_runtime::{BreakerState, Cache, ErrorKind, redis_cached};
use cache_tests::{
    Body, Proxy, RedisServer, body::Failed, eventually, redis_state, timed, wait::SOON,
};

/// One timeout is told from two by its size: nothing else that a call does comes near it.
const TIMEOUT: Duration = Duration::from_millis(1500);
const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

fn cache(url: impl Into<String>, timeout: Duration) -> Cache {
    Cache::builder().url(url).timeout(timeout).build().unwrap()
}

/// One call: it returns what its body returned, and pays at most one timeout.
async fn one_body(cache: &Cache, body: &Body, id: u64) {
    let before = body.runs();
    let (returned, took) = timed(user(cache, body, id)).await;
    assert_eq!(returned, Ok(before + 1), "the body's own value");
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "the call took {took:?}");
}

/// The cache answers without a body, and nobody has restarted anything but Redis.
async fn hits_resume(cache: &Cache, body: &Body, id: u64) {
    eventually("a hit", SOON, async || {
        let before = body.runs();
        user(cache, body, id).await.unwrap();
        body.runs() == before
    })
    .await;
}

#[tokio::test]
async fn p2_refused_from_the_start() {
    let server = RedisServer::start().await;
    server.kill();
    let cache = cache(server.url(), TIMEOUT);
    let body = Body::new();
    for _ in 0..3 {
        one_body(&cache, &body, 1).await;
    }
    eventually("an open breaker", SOON, async || {
        redis_state(&cache).breaker == BreakerState::Open
    })
    .await;
    server.restart().await;
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_killed_later() {
    let server = RedisServer::start().await;
    let cache = cache(server.url(), TIMEOUT);
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    assert_eq!(user(&cache, &body, 1).await, Ok(1), "a hit");
    server.kill();
    for _ in 0..3 {
        one_body(&cache, &body, 1).await;
    }
    server.restart().await;
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_killed_and_back_before_anybody_asked() {
    let server = RedisServer::start().await;
    let cache = cache(server.url(), TIMEOUT);
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    server.restart().await;
    one_body(&cache, &body, 1).await;
    assert_eq!(user(&cache, &body, 1).await, Ok(2), "a hit at once");
    assert_eq!(redis_state(&cache).opened, 0);
}

#[tokio::test]
async fn p2_a_black_hole_from_the_start_costs_the_first_call_one_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    proxy.swallow();
    let cache = cache(proxy.url(), TIMEOUT);
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    one_body(&cache, &body, 1).await;
    assert_eq!(redis_state(&cache).breaker, BreakerState::Open);
    proxy.accept();
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_frozen_from_the_start_costs_the_first_calls_one_timeout() {
    for server in [
        RedisServer::start().await,
        RedisServer::builder().tls().start().await,
    ] {
        let mut builder = Cache::builder().url(server.url()).timeout(TIMEOUT);
        if server.url().starts_with("rediss") {
            builder = builder.tls_ca_file(server.ca_path());
        }
        let cache = builder.build().unwrap();
        let body = Body::new();
        server.stop();
        // All of them wait for one connection that nobody makes.
        let calls = (0..16).map(|id| {
            let (cache, body) = (cache.clone(), body.clone());
            tokio::spawn(async move { timed(user(&cache, &body, id)).await })
        });
        for call in calls.collect::<Vec<_>>() {
            let (returned, took) = call.await.unwrap();
            returned.unwrap();
            assert!(took < LESS_THAN_TWO_TIMEOUTS, "the call took {took:?}");
        }
        assert_eq!(body.runs(), 16);
        server.cont();
        hits_resume(&cache, &body, 1).await;
    }
}

#[tokio::test]
async fn p2_callers_who_wait_for_the_first_connection_make_one() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url(), TIMEOUT);
    let body = Body::new();
    let calls = (0..64).map(|id| {
        let (cache, body) = (cache.clone(), body.clone());
        tokio::spawn(async move { user(&cache, &body, id).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(proxy.connections(), 1);
    let state = redis_state(&cache);
    assert_eq!(state.connections, 1);
    assert_eq!(state.connections_tried, 1, "what stats() says of it");
}

/// 10,000 calls once the breaker is open.
async fn ten_thousand_calls(cache: &Cache) {
    let body = Body::new();
    eventually("an open breaker", SOON, async || {
        user(cache, &body, 0).await.unwrap();
        redis_state(cache).breaker == BreakerState::Open
    })
    .await;
    let before = body.runs();
    let start = Instant::now();
    for id in 0..10_000 {
        user(cache, &body, id).await.unwrap();
    }
    let took = start.elapsed();
    assert_eq!(body.runs() - before, 10_000);
    assert!(took < Duration::from_secs(10), "10,000 calls took {took:?}");
}

#[tokio::test]
async fn p2_redis_down_from_the_start_costs_less_than_a_millisecond_a_call() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    proxy.refuse();
    ten_thousand_calls(&cache(proxy.url(), TIMEOUT)).await;
}

#[tokio::test]
async fn p2_a_black_hole_costs_less_than_a_millisecond_a_call() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    proxy.swallow();
    ten_thousand_calls(&cache(proxy.url(), Duration::from_millis(200))).await;
}

#[tokio::test]
async fn p2_a_key_whose_invalidation_failed_costs_nothing_while_the_breaker_is_open() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url(), TIMEOUT);
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    proxy.swallow();
    user_entry(&cache, 1).invalidate().await.unwrap_err();
    eventually("an open breaker", SOON, async || {
        user(&cache, &body, 2).await.unwrap();
        redis_state(&cache).breaker == BreakerState::Open
    })
    .await;
    let (returned, took) = timed(async {
        for _ in 0..10 {
            user(&cache, &body, 1).await?;
        }
        Ok::<_, Failed>(())
    })
    .await;
    returned.unwrap();
    assert!(took < TIMEOUT, "10 calls of that key took {took:?}");
    proxy.accept();
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_an_invalidation_that_cannot_reach_redis_is_an_error_in_time() {
    let server = RedisServer::start().await;
    let cache = cache(server.url(), TIMEOUT);
    let body = Body::new();
    one_body(&cache, &body, 1).await;

    server.stop();
    let (frozen, took) = timed(user_entry(&cache, 1).invalidate()).await;
    assert!(frozen.unwrap_err().is_timeout());
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "it took {took:?}");
    server.cont();

    server.kill();
    let (refused, took) = timed(user_entry(&cache, 1).invalidate()).await;
    assert!(refused.unwrap_err().is_unavailable());
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "it took {took:?}");
    assert_eq!(cache.stats().unfinished_invalidations, 1);

    server.restart().await;
    eventually("the invalidation to be made up for", SOON, async || {
        cache.stats().unfinished_invalidations == 0
    })
    .await;
    user_entry(&cache, 1).invalidate().await.unwrap();
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_an_invalidation_is_tried_again_within_its_timeout() {
    let server = RedisServer::start().await;
    let cache = cache(server.url(), SOON);
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    server.kill();
    let invalidation = tokio::spawn({
        let cache = cache.clone();
        async move { user_entry(&cache, 1).invalidate().await }
    });
    eventually("a connection that was refused", SOON, async || {
        redis_state(&cache).opened > 0
    })
    .await;
    server.restart().await;
    invalidation.await.unwrap().unwrap();
    assert_eq!(cache.stats().unfinished_invalidations, 0);
}

#[tokio::test]
async fn p2_the_typed_operations_say_why_they_fail() {
    let server = RedisServer::start().await;
    server.kill();
    let cache = cache(server.url(), TIMEOUT);
    let failure = cache.get::<u64>("k").await.unwrap_err();
    assert!(
        matches!(failure.kind(), ErrorKind::Connect | ErrorKind::Unavailable),
        "{failure:?}"
    );
    let ttl = Duration::from_secs(60);
    assert!(
        cache
            .set_ex("k", &1, ttl)
            .await
            .unwrap_err()
            .is_unavailable()
    );
    assert!(cache.ping().await.unwrap_err().is_unavailable());
    server.restart().await;
    eventually("a value that is stored", SOON, async || {
        cache.set_ex("k", &1, ttl).await.is_ok()
    })
    .await;
    eventually("a value that is read", SOON, async || {
        matches!(cache.get("k").await, Ok(Some(1)))
    })
    .await;
}

/// As fast as the server restarts: the callers never see an error, and hits resume.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_hundred_restarts_under_load() {
    let server = RedisServer::start().await;
    let cache = cache(server.url(), TIMEOUT);
    let body = Body::new();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (cache, body, stop) = (cache.clone(), body.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut calls, mut slowest) = (0_u64, Duration::ZERO);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let (returned, took) = timed(user(&cache, &body, calls % 4)).await;
                    returned.unwrap();
                    slowest = slowest.max(took);
                    calls += 1;
                    tokio::task::yield_now().await;
                }
                (calls, slowest)
            })
        })
        .collect();
    for _ in 0..100 {
        server.restart().await;
    }
    hits_resume(&cache, &body, 1).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for caller in callers {
        let (calls, slowest) = caller.await.unwrap();
        assert!(calls > 100, "a caller came to {calls} calls");
        assert!(
            slowest < 2 * LESS_THAN_TWO_TIMEOUTS,
            "a call took {slowest:?}"
        );
    }
    eventually("a closed breaker", SOON, async || {
        user(&cache, &body, 1).await.unwrap();
        redis_state(&cache).breaker == BreakerState::Closed
    })
    .await;
}
