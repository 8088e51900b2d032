//! P2, the breaker: what opens it and what does not, who finds out that Redis is back, and how calls
//! return to it.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{BreakerState, Cache, redis_cached};
use cache_tests::proxy::{about, named, script};
use cache_tests::{
    Body, Proxy, RedisServer, body::Failed, eventually, poll_n_then_drop, redis_state, wait::SOON,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

const TIMEOUT: Duration = Duration::from_millis(1000);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 300, key = "brief:{id}", skip(cache, body), cache = cache, timeout = Duration::from_millis(30))]
async fn brief(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

fn cache(url: impl Into<String>) -> Cache {
    Cache::builder().url(url).timeout(TIMEOUT).build().unwrap()
}

fn spawn(cache: &Cache, body: &Body, id: u64) -> JoinHandle<Result<u64, Failed>> {
    let (cache, body) = (cache.clone(), body.clone());
    tokio::spawn(async move { user(&cache, &body, id).await })
}

async fn all(calls: Vec<JoinHandle<Result<u64, Failed>>>) {
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

async fn until(cache: &Cache, state: BreakerState) {
    eventually("the breaker to change", SOON, async || {
        redis_state(cache).breaker == state
    })
    .await;
}

/// A cache whose breaker is open because its connection, and every new one, swallows.
async fn opened_by_a_black_hole(proxy: &Proxy) -> Cache {
    let cache = cache(proxy.url());
    let body = Body::new();
    user(&cache, &body, 1000).await.unwrap();
    proxy.swallow();
    eventually("an open breaker", SOON, async || {
        user(&cache, &body, 1000).await.unwrap();
        redis_state(&cache).breaker == BreakerState::Open
    })
    .await;
    assert_eq!(redis_state(&cache).opened, 1);
    cache
}

/// A cache whose breaker is half-open, with `user:0` … `user:99` in Redis.
async fn half_open(server: &RedisServer, proxy: &Proxy) -> Cache {
    let mut fill = vec!["MSET".to_owned()];
    for id in 0..100 {
        fill.extend([format!("user:{id}"), "7".to_owned()]);
    }
    server.cli(&fill.iter().map(String::as_str).collect::<Vec<_>>());
    proxy.refuse();
    let cache = cache(proxy.url());
    user(&cache, &Body::new(), 1000).await.unwrap();
    until(&cache, BreakerState::Open).await;
    proxy.accept();
    // Nobody calls: the probe alone finds out.
    until(&cache, BreakerState::HalfOpen).await;
    assert_eq!(redis_state(&cache).opened, 1);
    cache
}

/// A cache whose breaker is open although Redis is back, because the runtime of the probe stands still.
struct Unprobed {
    cache: Cache,
    /// A runtime that goes on.
    other: Runtime,
    _stopped: Runtime,
    _redis: (RedisServer, Proxy),
}

impl Unprobed {
    /// `refused` is called while no connection can be made, on the runtime that stands still from then on.
    fn after(refused: impl AsyncFnOnce(&Cache)) -> Self {
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        let server = RedisServer::builder().start_blocking();
        let proxy = Proxy::before(&server);
        let cache = cache(proxy.url());
        proxy.refuse();
        let stopped = runtime();
        stopped.block_on(async {
            refused(&cache).await;
            until(&cache, BreakerState::Open).await;
        });
        proxy.accept();
        Self {
            cache,
            other: runtime(),
            _stopped: stopped,
            _redis: (server, proxy),
        }
    }
}

#[tokio::test]
async fn p2_breaker_one_stall_with_64_callers_is_one_event() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    user(&cache, &body, 0).await.unwrap();
    let held = proxy.hold(named("GET"));
    all((0..64).map(|id| spawn(&cache, &body, id)).collect()).await;
    let state = redis_state(&cache);
    assert_eq!((state.breaker, state.opened), (BreakerState::Closed, 0));
    // The next stall is the second event.
    user(&cache, &body, 0).await.unwrap();
    let state = redis_state(&cache);
    assert_eq!((state.breaker, state.opened), (BreakerState::Open, 1));
    held.release();
    eventually("a closed breaker", SOON, async || {
        user(&cache, &body, 0).await.unwrap();
        redis_state(&cache).breaker == BreakerState::Closed
    })
    .await;
}

#[tokio::test]
async fn p2_breaker_a_reply_forgets_a_stall() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    user(&cache, &body, 0).await.unwrap();
    for _ in 0..2 {
        let held = proxy.hold(named("GET"));
        user(&cache, &body, 0).await.unwrap();
        held.release();
        cache.ping().await.unwrap();
    }
    assert_eq!(redis_state(&cache).opened, 0);
}

#[tokio::test]
async fn p2_breaker_a_shorter_timeout_of_one_function_does_not_open_it() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    cache.ping().await.unwrap();
    proxy.delay(Duration::from_millis(120));
    // For longer than two stalls take.
    let start = std::time::Instant::now();
    let mut calls = 0;
    while start.elapsed() < 3 * TIMEOUT {
        calls += 1;
        brief(&cache, &body, 1).await.unwrap();
    }
    assert_eq!(body.runs(), calls, "every call was too impatient for redis");
    assert_eq!(redis_state(&cache).opened, 0);
}

#[tokio::test]
async fn p2_breaker_dropped_futures_do_not_open_it() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    user(&cache, &body, 0).await.unwrap();
    for id in 1..200 {
        for polls in 1..4 {
            let _ = poll_n_then_drop(user(&cache, &body, id), polls).await;
        }
    }
    let held = proxy.hold(named("GET"));
    for id in 200..400 {
        assert_eq!(poll_n_then_drop(user(&cache, &body, id), 1).await, None);
    }
    held.release();
    cache.ping().await.unwrap();
    let state = redis_state(&cache);
    assert_eq!((state.breaker, state.opened), (BreakerState::Closed, 0));
}

#[tokio::test]
async fn p2_breaker_no_call_probes() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = opened_by_a_black_hole(&proxy).await;
    let body = Body::new();
    proxy.forget();
    for id in 0..1000 {
        user(&cache, &body, id).await.unwrap();
        tokio::task::yield_now().await;
    }
    // Let the calls' commands arrive, if there were any: what the probe sends comes behind them.
    let is_script = script();
    proxy
        .wait_for_command(move |command: &[Vec<u8>]| {
            !command[0].eq_ignore_ascii_case(b"GET") && !is_script(command)
        })
        .await;
    assert_eq!(proxy.seen("GET"), 0, "a call asked");
    assert_eq!(body.runs(), 1000);
    proxy.accept();
    // The probe finds out although nobody calls.
    until(&cache, BreakerState::HalfOpen).await;
    assert_eq!(proxy.seen("GET"), 0);
}

#[tokio::test]
async fn p2_breaker_half_open_admits_one_then_two_then_more_and_closes() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = half_open(&server, &proxy).await;
    let mut ids = 1..;
    for admitted in [1, 2] {
        let body = Body::new();
        proxy.forget();
        let held = proxy.hold_reply(named("GET"));
        let calls: Vec<_> = ids
            .by_ref()
            .take(10)
            .map(|id| spawn(&cache, &body, id))
            .collect();
        held.arrived().await;
        // The others did not ask.
        body.wait_until_begun(10 - admitted).await;
        eventually("the calls that were let in", SOON, async || {
            proxy.seen("GET") == admitted
        })
        .await;
        held.release();
        all(calls).await;
        assert_eq!(proxy.seen("GET"), admitted);
        assert_eq!(body.runs(), 10 - admitted);
        assert_eq!(redis_state(&cache).breaker, BreakerState::HalfOpen);
    }
    let body = Body::new();
    for id in 50..60 {
        user(&cache, &body, id).await.unwrap();
    }
    let state = redis_state(&cache);
    assert_eq!((state.breaker, state.opened), (BreakerState::Closed, 1));
}

#[tokio::test]
async fn p2_breaker_a_stall_while_half_open_opens_it_again() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = half_open(&server, &proxy).await;
    let body = Body::new();
    let held = proxy.hold(about("GET", "user:1"));
    user(&cache, &body, 1).await.unwrap();
    assert_eq!(redis_state(&cache).opened, 2, "one stall is enough now");
    held.release();
    eventually("a closed breaker", SOON, async || {
        user(&cache, &body, 2).await.unwrap();
        redis_state(&cache).breaker == BreakerState::Closed
    })
    .await;
}

/// A call that is retried keeps its leave to ask.
#[tokio::test]
async fn p2_breaker_half_open_lets_a_call_ask_again() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = half_open(&server, &proxy).await;
    let body = Body::new();
    let cut = proxy.cut_in_reply_to(named("GET"), 2);
    assert_eq!(
        user(&cache, &body, 1).await,
        Ok(7),
        "a hit, at the second attempt"
    );
    cut.happened().await;
    assert_eq!(body.runs(), 0);
}

#[tokio::test]
async fn p2_breaker_invalidate_and_put_pass_it() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    // What passes the breaker waits for the next attempt to connect, as the probe does.
    let builder = Cache::builder().url(proxy.url()).timeout(SOON);
    let cache = builder.build().unwrap();
    let body = Body::new();
    proxy.refuse();
    // After so many probes the next one is most of a second away.
    eventually("an open breaker", SOON, async || {
        user(&cache, &body, 1).await.unwrap();
        redis_state(&cache).connections_tried > 6
    })
    .await;
    proxy.accept();
    assert_eq!(redis_state(&cache).breaker, BreakerState::Open);
    user_entry(&cache, 1).put(&5).await.unwrap();
    user_entry(&cache, 2).invalidate().await.unwrap();
    assert_eq!(server.cli(&["GET", "user:1"]), "5");
}

/// Its attempts within the timeout hide no refusal here: nobody but the invalidation itself can find out that Redis is back.
#[test]
fn p2_breaker_invalidate_passes_it_before_any_probe() {
    let scene = Unprobed::after(async |cache| {
        user(cache, &Body::new(), 1).await.unwrap();
    });
    let Unprobed { cache, other, .. } = &scene;
    other.block_on(user_entry(cache, 1).invalidate()).unwrap();
    assert_eq!(redis_state(cache).breaker, BreakerState::Open);
}

/// As above, of an invalidation that failed before: a read of the entry takes it up, before any worker or probe.
#[test]
fn p2_breaker_an_invalidation_that_a_read_takes_up_passes_it() {
    let scene = Unprobed::after(async |cache| {
        user_entry(cache, 1).invalidate().await.unwrap_err();
        user(cache, &Body::new(), 2).await.unwrap();
    });
    let Unprobed { cache, other, .. } = &scene;
    assert_eq!(cache.stats().unfinished_invalidations, 1);
    let read = other.block_on(user_entry(cache, 1).get());
    assert!(
        read.unwrap_err().is_unavailable(),
        "the read itself does not"
    );
    assert_eq!(redis_state(cache).breaker, BreakerState::Open);
    assert_eq!(cache.stats().unfinished_invalidations, 0);
}
