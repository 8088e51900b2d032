//! P2 where Redis is slow or hangs: no call pays more than one timeout beside its body, whoever it
//! waits for, and after one operation timed out it makes no other.
#![allow(missing_docs)]

use std::sync::mpsc;
use std::time::Duration;

use cache_runtime::{Cache, redis_cached};
use cache_tests::proxy::{named, script};
use cache_tests::{Body, Logs, Proxy, RedisServer, body::Failed, eventually, timed, wait::SOON};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const TIMEOUT: Duration = Duration::from_millis(1500);
const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

fn cache(url: impl Into<String>) -> Cache {
    Cache::builder().url(url).timeout(TIMEOUT).build().unwrap()
}

type Timed = (Result<u64, Failed>, Duration);

fn call(cache: &Cache, body: &Body, id: u64) -> impl Future<Output = Timed> + Send + use<> {
    let (cache, body) = (cache.clone(), body.clone());
    async move { timed(user(&cache, &body, id)).await }
}

async fn all_in_time(calls: Vec<JoinHandle<Timed>>) -> Vec<u64> {
    let mut values = Vec::new();
    for call in calls {
        let (returned, took) = call.await.unwrap();
        values.push(returned.unwrap());
        assert!(took < LESS_THAN_TWO_TIMEOUTS, "a call took {took:?}");
    }
    values
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
async fn p2_a_frozen_server_costs_each_sequential_call_one_timeout() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    let body = Body::new();
    assert_eq!(user(&cache, &body, 1).await, Ok(1));
    server.stop();
    for run in 2..6 {
        let (returned, took) = call(&cache, &body, 1).await;
        assert_eq!(returned, Ok(run));
        assert!(took < LESS_THAN_TWO_TIMEOUTS, "the call took {took:?}");
    }
    server.cont();
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_a_frozen_server_costs_64_callers_of_one_key_one_timeout() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    let body = Body::new();
    assert_eq!(user(&cache, &body, 1).await, Ok(1));
    server.stop();
    let calls = (0..64).map(|_| tokio::spawn(call(&cache, &body, 1)));
    let values = all_in_time(calls.collect()).await;
    assert!(
        values.iter().all(|value| *value > 1),
        "a body's own value: {values:?}"
    );
    server.cont();
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_a_frozen_server_costs_64_callers_of_distinct_keys_one_timeout() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    let body = Body::new();
    assert_eq!(user(&cache, &body, 1).await, Ok(1));
    server.stop();
    let calls = (0..64).map(|id| tokio::spawn(call(&cache, &body, id)));
    all_in_time(calls.collect()).await;
    assert_eq!(body.runs(), 65, "each key's body ran once");
    server.cont();
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_callers_who_come_one_by_one_to_a_frozen_server() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    let body = Body::new();
    assert_eq!(user(&cache, &body, 1).await, Ok(1));
    server.stop();
    let mut calls = Vec::new();
    for n in 0..60 {
        calls.push(tokio::spawn(call(&cache, &body, n % 3)));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    all_in_time(calls).await;
    server.cont();
    hits_resume(&cache, &body, 1).await;
}

/// A leader on a runtime, and so a connection, of its own: what holds up its commands lets others' pass.
struct Leader {
    runtime: Runtime,
    outcome: mpsc::Receiver<Timed>,
}

impl Leader {
    fn start(call: impl Future<Output = Timed> + Send + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (done, outcome) = mpsc::channel();
        runtime.spawn(async move { done.send(call.await) });
        Self { runtime, outcome }
    }

    fn end(self) -> Timed {
        let outcome = self.outcome.recv_timeout(SOON).unwrap();
        self.runtime.shutdown_background();
        outcome
    }
}

/// Makes the connection, so that its time is not the calls'.
async fn warm(cache: &Cache) {
    let body = Body::new();
    user(cache, &body, 1000).await.unwrap();
    user(cache, &body, 1001).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_waiters_behind_a_leader_frozen_in_acquire_pay_one_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    warm(&cache).await;
    let body = Body::new();
    let held = proxy.hold(script());
    let leader = Leader::start(call(&cache, &body, 1));
    held.arrived().await;
    proxy.forget();
    let waiters: Vec<_> = (0..16)
        .map(|_| tokio::spawn(call(&cache, &body, 1)))
        .collect();
    let values = all_in_time(waiters).await;
    let (returned, took) = tokio::task::block_in_place(|| leader.end());
    assert_eq!(returned, Ok(1));
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "the leader took {took:?}");
    // Whoever read in time waited for the leader, and has its value.
    assert!(values.contains(&1), "{values:?}");
    assert_eq!(proxy.scripts_seen(), 0, "nobody asked for a token again");
    drop(held);
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_waiters_behind_a_leader_frozen_in_store_pay_one_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    warm(&cache).await;
    let body = Body::gated();
    let leader = Leader::start(call(&cache, &body, 1));
    body.wait_until_begun(1).await;
    proxy.forget();
    let late: Vec<_> = (0..16)
        .map(|_| tokio::spawn(call(&cache, &body, 1)))
        .collect();
    // They have missed, and wait for a body that began before they came.
    eventually("the late callers to wait", SOON, async || {
        cache.stats().waiting == 16
    })
    .await;
    let held = proxy.hold(script());
    let ((), took) = timed(async {
        body.open_gate();
        held.arrived().await;
        for call in late {
            assert_eq!(call.await.unwrap().0, Ok(2), "the next body's value");
        }
    })
    .await;
    assert!(
        took < LESS_THAN_TWO_TIMEOUTS,
        "the late callers took {took:?}"
    );
    let (returned, _) = tokio::task::block_in_place(|| leader.end());
    assert_eq!(returned, Ok(1), "the leader's own value");
    assert_eq!(
        proxy.scripts_seen(),
        1,
        "one STORE, and no ACQUIRE for the second body"
    );
    drop(held);
    hits_resume(&cache, &body, 1).await;
}

/// A call whose `nth` script never gets an answer makes no other operation.
async fn nothing_after(nth: u64, fail: bool) {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    warm(&cache).await;
    let body = Body::gated();
    proxy.forget();
    let mut held = match nth {
        0 => Some(proxy.hold(named("GET"))),
        1 => Some(proxy.hold(script())),
        _ => None,
    };
    let calling = tokio::spawn(call(&cache, &body, 1));
    body.wait_until_begun(1).await;
    if nth == 2 {
        held = Some(proxy.hold(script()));
    }
    if fail {
        body.fail_next(1);
    }
    body.open_gate();
    let (returned, took) = calling.await.unwrap();
    assert_eq!(returned.is_err(), fail);
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "the call took {took:?}");
    drop(held);
    // Whatever it had left to do in the background was sent before this.
    eventually("an answer", SOON, async || cache.ping().await.is_ok()).await;
    // The right to store is asked for by a SET and a GET in one write.
    assert_eq!(proxy.seen("GET"), 1 + nth.min(1));
    assert_eq!(proxy.seen("SET"), nth.min(1));
    assert_eq!(proxy.scripts_seen(), nth.saturating_sub(1));
}

#[tokio::test]
async fn p2_after_get_timed_out_the_call_makes_no_other_operation() {
    nothing_after(0, false).await;
}

/// Where nothing was found lately, asking for the right to store is the read.
#[tokio::test]
async fn p2_after_a_read_that_asks_for_the_right_to_store_timed_out_the_call_makes_no_other_operation()
 {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    for id in 2..10 {
        user(&cache, &body, id).await.unwrap();
    }
    proxy.forget();
    let held = proxy.hold(script());
    let (returned, took) = call(&cache, &body, 1).await;
    assert_eq!(returned, Ok(9));
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "the call took {took:?}");
    drop(held);
    eventually("an answer", SOON, async || cache.ping().await.is_ok()).await;
    assert_eq!((proxy.seen("SET"), proxy.seen("GET")), (1, 1));
    assert_eq!(proxy.scripts_seen(), 0);
}

#[tokio::test]
async fn p2_after_acquire_timed_out_the_call_makes_no_other_operation() {
    nothing_after(1, false).await;
    nothing_after(1, true).await;
}

#[tokio::test]
async fn p2_after_store_timed_out_the_call_makes_no_other_operation() {
    nothing_after(2, false).await;
}

#[tokio::test]
async fn p2_a_slow_server_costs_one_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    assert_eq!(user(&cache, &body, 1).await, Ok(1));
    proxy.delay(2 * TIMEOUT);
    let calls = (0..16).map(|id| tokio::spawn(call(&cache, &body, id)));
    all_in_time(calls.collect()).await;
    assert_eq!(body.runs(), 17);
    proxy.delay(Duration::ZERO);
    hits_resume(&cache, &body, 1).await;
}

/// Slow, but within the timeout: all operations of a call together are what counts.
#[tokio::test]
async fn p2_a_slow_server_costs_one_timeout_in_all() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    warm(&cache).await;
    let body = Body::new();
    // GET, ACQUIRE and STORE: three times this is more than two timeouts.
    proxy.delay(TIMEOUT * 4 / 5);
    let (returned, took) = call(&cache, &body, 1).await;
    assert_eq!(returned, Ok(1));
    assert!(took < TIMEOUT * 8 / 5, "the call took {took:?}");
    proxy.delay(Duration::ZERO);
    hits_resume(&cache, &body, 1).await;
}

#[redis_cached(ttl = 300, key = "distant:{id}", skip(cache, body), cache = cache)]
async fn distant(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// A read takes more than half of the timeout, so it leaves too little for the right to store.
#[tokio::test]
async fn p2_where_nothing_can_be_stored_for_want_of_time_the_log_says_what_to_type() {
    const SAYS: &str = "redis is too far away for this timeout";
    let start = std::time::Instant::now();
    let (logs, _guard) = Logs::of_this_thread();
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    warm(&cache).await;
    assert_eq!(logs.lines_with(SAYS).len(), 0);
    proxy.delay(TIMEOUT * 3 / 5);
    let body = Body::new();
    eventually("a line in the log", SOON, async || {
        distant(&cache, &body, 1).await.unwrap();
        !logs.lines_with(SAYS).is_empty()
    })
    .await;
    let runs = body.runs();
    distant(&cache, &body, 1).await.unwrap();
    assert_eq!(body.runs(), runs + 1, "it is not stored");
    let lines = logs.lines_with(SAYS);
    // Once a minute.
    let most = 1 + start.elapsed().as_secs() / 60;
    assert!(lines.len() as u64 <= most, "{lines:#?}");
    let line = &lines[0];
    assert!(
        line.contains("WARN") && line.contains("function=distant ("),
        "{line}"
    );
    assert!(!line.contains("distant:1"), "{line}");
    let typed = line.split("REDIS_TIMEOUT=").nth(1).unwrap();
    let typed: u64 = typed.split("ms").next().unwrap().parse().unwrap();
    let timeout = Duration::from_millis(typed);
    assert!(timeout >= TIMEOUT * 9 / 5, "{line}");
    // With that it is stored.
    let builder = Cache::builder().url(proxy.url()).timeout(timeout);
    let cache = builder.build().unwrap();
    eventually("a hit", SOON, async || {
        let before = body.runs();
        distant(&cache, &body, 1).await.unwrap();
        body.runs() == before
    })
    .await;
}

#[tokio::test]
async fn p2_a_connection_that_swallows_is_replaced() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    assert_eq!(user(&cache, &body, 1).await, Ok(1));
    proxy.swallow();
    let (returned, took) = call(&cache, &body, 1).await;
    assert_eq!(returned, Ok(2));
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "the call took {took:?}");
    proxy.accept();
    // The connection is still dead: only another one brings hits.
    hits_resume(&cache, &body, 1).await;
}

#[redis_cached(ttl = 300, key = "brief:{id}", skip(cache, body), cache = cache, timeout = Duration::from_millis(40))]
async fn brief(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// The connection is dead, and every call is too impatient to see that by itself.
#[tokio::test]
async fn p2_a_connection_that_swallows_is_replaced_where_every_call_has_a_shorter_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = Cache::builder()
        .url(proxy.url())
        .timeout(Duration::from_millis(250))
        .build()
        .unwrap();
    let body = Body::new();
    eventually("a hit", SOON, async || {
        let before = body.runs();
        brief(&cache, &body, 1).await.unwrap();
        body.runs() == before
    })
    .await;
    proxy.swallow();
    brief(&cache, &body, 1).await.unwrap();
    proxy.accept();
    eventually("a hit", SOON, async || {
        let before = body.runs();
        brief(&cache, &body, 1).await.unwrap();
        body.runs() == before
    })
    .await;
}
