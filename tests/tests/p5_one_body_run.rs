//! P5: at most one body run per key at a time per cache, unless it failed or an invalidation came
//! between. Bodies that ask for their own key, and waits that reach their bound, are in `waits`.
#![allow(missing_docs)]

use std::future::Future;
use std::time::Duration;

use cache_runtime::{Cache, redis_cached, sites};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, Stores, eventually, in_memory, patient, within};
use tokio::task::JoinSet;

const CALLERS: usize = 10_000;

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn infallible(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn fallible(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// An error that cannot be cloned.
#[derive(Debug, PartialEq)]
struct Opaque(Failed);

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn opaque(cache: &Cache, body: &Body, id: u64) -> Result<u64, Opaque> {
    let _ = id;
    body.run().await.map_err(Opaque)
}

/// A value that cannot be cloned.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sole(u64);

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn sole(cache: &Cache, body: &Body, id: u64) -> Sole {
    let _ = id;
    Sole(body.run().await.expect("a body that returns"))
}

/// Many callers at once, each on a task of its own.
fn herd<F>(callers: usize, call: impl Fn() -> F) -> JoinSet<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    (0..callers).map(|_| call()).collect()
}

async fn all<T: 'static>(herd: JoinSet<T>) -> Vec<T> {
    within("every caller to be answered", SOON * 2, herd.join_all()).await
}

async fn until_waiting(cache: &Cache, callers: usize) {
    eventually("the other callers to wait", SOON * 2, async || {
        cache.stats().waiting == callers
    })
    .await;
}

macro_rules! call {
    ($function:ident, $cache:expr, $body:expr) => {{
        let (cache, body) = ($cache.clone(), $body.clone());
        move || {
            let (cache, body) = (cache.clone(), body.clone());
            async move { $function(&cache, &body, 1).await }
        }
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_ten_thousand_callers_of_a_cold_key_are_one_body_run() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        let callers = herd(CALLERS, call!(infallible, cache, body));
        until_waiting(cache, CALLERS - 1).await;
        assert_eq!(body.runs(), 1);
        body.open_gate();
        assert!(all(callers).await.iter().all(|run| *run == 1));
        assert_eq!(body.runs(), 1);
        assert_eq!((cache.stats().flights, cache.stats().waiting), (0, 0));
        assert_eq!(infallible(cache, &body, 1).await, 1, "and it is stored");
    }
    let stats = sites()
        .into_iter()
        .find(|site| site.function == "infallible");
    let stats = stats.expect("it was called").stats;
    assert!(stats.coalesced >= 2 * (CALLERS as u64 - 1), "{stats:?}");
}

/// The first of them reads by asking for the right to store, where nothing was found lately; the others read as ever, and find
/// its body running.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_callers_of_a_cold_key_are_one_body_run_where_nothing_was_found_lately() {
    let server = RedisServer::start().await;
    for gated in [true, false] {
        let (cache, body) = (patient(&server.url()), Body::new());
        for id in 2..10 {
            infallible(&cache, &body, id).await;
        }
        server.empty().await;
        if gated {
            body.shut_gate();
        }
        let callers = herd(1_000, call!(infallible, cache, body));
        if gated {
            until_waiting(&cache, 999).await;
            body.open_gate();
        }
        assert_eq!(all(callers).await, [9; 1_000]);
        assert_eq!(body.runs(), 9);
        eventually("no token is left", SOON, async || {
            server.cli(&["DBSIZE"]) == "1"
        })
        .await;
    }
}

/// Callers that come at one moment find the flight of the first before its body begins, though that one needs no GET.
#[tokio::test]
async fn p5_callers_at_one_moment_share_an_error_where_nothing_was_found_lately() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    body.fail();
    for id in 2..10 {
        fallible(&cache, &body, id).await.unwrap_err();
    }
    // Their answers may come one by one, and then one of them runs the body again.
    eventually("one run for all of them", SOON, async || {
        let before = body.runs();
        let outcomes = all(herd(8, call!(fallible, cache, body))).await;
        assert!(outcomes.iter().all(Result::is_err));
        body.runs() == before + 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_a_quick_body_runs_once_for_those_who_wait_and_those_who_come_later() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let callers = herd(CALLERS, call!(infallible, cache, body));
        assert!(all(callers).await.iter().all(|run| *run == 1));
        assert_eq!(body.runs(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_a_value_that_cannot_be_cloned_is_shared_by_its_bytes() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        let callers = herd(1_000, call!(sole, cache, body));
        until_waiting(cache, 999).await;
        body.open_gate();
        assert!(all(callers).await.iter().all(|sole| *sole == Sole(1)));
        assert_eq!(body.runs(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_error_that_can_be_cloned_is_shared_by_ten_thousand_callers() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        body.fail_next(1);
        let callers = herd(CALLERS, call!(fallible, cache, body));
        until_waiting(cache, CALLERS - 1).await;
        body.open_gate();
        let outcomes = all(callers).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| *outcome == Err(Failed { run: 1 }))
        );
        assert_eq!(body.runs(), 1);
        assert_eq!(fallible(cache, &body, 1).await, Ok(2), "no error is stored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_an_error_that_cannot_be_cloned_makes_the_others_run_side_by_side() {
    const CALLERS: usize = 2_000;
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        body.fail_next(1);
        let callers = herd(CALLERS, call!(opaque, cache, body));
        until_waiting(cache, CALLERS - 1).await;
        assert_eq!(body.runs(), 1);
        body.let_through(1);
        // None of them waits for another: they are all in their bodies before one of them ends.
        body.wait_until_running(CALLERS - 1).await;
        body.open_gate();
        let outcomes = all(callers).await;
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!((failed, body.runs()), (1, CALLERS as u64));
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_a_body_slower_than_the_timeout_is_shared_and_stored() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    #[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
    async fn slow(cache: &Cache, body: &Body, id: u64) -> u64 {
        let _ = id;
        tokio::time::sleep(3 * TIMEOUT).await;
        body.run().await.expect("a body that returns")
    }
    let server = RedisServer::start().await;
    let builders = [
        Cache::builder().in_memory(),
        Cache::builder().url(server.url()),
    ];
    for builder in builders {
        let cache = builder.timeout(TIMEOUT).build().expect("a cache");
        if let Ok(connection) = cache.connection() {
            // So that the first call does not spend its time on connecting.
            drop(connection);
            eventually("a connection", SOON, async || cache.ping().await.is_ok()).await;
        }
        let body = Body::new();
        let callers = herd(100, call!(slow, cache, body));
        assert!(all(callers).await.iter().all(|run| *run == 1));
        assert_eq!(slow(&cache, &body, 1).await, 1);
        assert_eq!(body.runs(), 1);
    }
}

#[tokio::test]
async fn p5_a_body_that_takes_long_keeps_its_right_to_store() {
    let server = RedisServer::start().await;
    let log = server.command_log().await;
    let (cache, body) = (patient(&server.url()), Body::gated());
    let call = infallible(&cache, &body, 1);
    let watch = async {
        body.wait_until_running(1).await;
        let token = log.wait_for(|line| line.contains(r#""SET""#)).await;
        let renewal = log.wait_for(|line| line.starts_with(r#""PEXPIRE""#)).await;
        let key = renewal.split('"').nth(3).expect("a key").to_owned();
        assert!(token.contains(&key), "{token} is renewed by {renewal}");
        body.open_gate();
    };
    assert_eq!(tokio::join!(call, watch).0, 1);
    assert_eq!(infallible(&cache, &body, 1).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_distinct_keys_and_distinct_caches_are_distinct_flights() {
    let body = Body::gated();
    let caches = [in_memory(), in_memory()];
    let mut callers = JoinSet::new();
    for cache in &caches {
        for id in [1, 2] {
            let (cache, body) = (cache.clone(), body.clone());
            callers.spawn(async move { infallible(&cache, &body, id).await });
        }
    }
    body.wait_until_running(4).await;
    assert_eq!(caches[0].stats().flights, 2);
    body.open_gate();
    all(callers).await;
    assert_eq!(body.runs(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_two_caches_on_one_redis_run_once_each_at_most_and_then_share() {
    let server = RedisServer::start().await;
    let caches = [patient(&server.url()), patient(&server.url())];
    let body = Body::gated();
    let herds = caches
        .each_ref()
        .map(|cache| herd(500, call!(infallible, cache, body)));
    for cache in &caches {
        until_waiting(cache, 499).await;
    }
    body.wait_until_running(2).await;
    body.open_gate();
    for herd in herds {
        // Who came late may have what the other cache stored; nobody runs again for it.
        assert!(all(herd).await.iter().all(|run| [1, 2].contains(run)));
    }
    assert_eq!(body.runs(), 2);
    // One of them is stored, and both caches have that one.
    let stored = infallible(&caches[0], &body, 1).await;
    assert_eq!(infallible(&caches[1], &body, 1).await, stored);
    assert_eq!(body.runs(), 2);
    assert_eq!(server.cli(&["DBSIZE"]), "1", "the token is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_what_another_process_stored_since_is_no_body_run() {
    let server = RedisServer::start().await;
    let proxy = cache_tests::Proxy::before(&server);
    let (here, there) = (patient(&proxy.url()), patient(&server.url()));
    let body = Body::new();
    // Here looks and finds nothing; then there computes and stores; then here asks for the right to.
    let held = proxy.hold(cache_tests::proxy::script());
    let caller = tokio::spawn(call!(infallible, here, body)());
    held.arrived().await;
    assert_eq!(infallible(&there, &body, 1).await, 1);
    held.release();
    let run = within("the caller to be answered", SOON, caller).await;
    assert_eq!(run.expect("no panic"), 1);
    assert_eq!(body.runs(), 1);
}

/// Who waits need not ask: a value that is found where the right to store was asked for is for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p5_what_another_process_stored_since_is_found_for_all_who_wait() {
    let server = RedisServer::start().await;
    let proxy = cache_tests::Proxy::before(&server);
    let (here, there) = (patient(&proxy.url()), patient(&server.url()));
    let body = Body::new();
    let held = proxy.hold(cache_tests::proxy::script());
    let callers: JoinSet<_> = (0..10).map(|_| call!(infallible, here, body)()).collect();
    held.arrived().await;
    eventually("the others to wait", SOON, async || {
        here.stats().waiting == 9
    })
    .await;
    assert_eq!(infallible(&there, &body, 1).await, 1);
    held.release();
    let values = within("all to be answered", SOON, callers.join_all()).await;
    assert_eq!(values, [1; 10]);
    assert_eq!(body.runs(), 1);
    // One of those who came once the question was on its way asks again, for the rest of them.
    assert!(proxy.scripts_seen() <= 2, "{}", proxy.scripts_seen());
}
