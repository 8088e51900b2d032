//! One cache and many tokio runtimes: one after the other, at once, stripped down, left alone, or none.
//! And what is left when the cache goes.
#![allow(missing_docs)]

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use cache_runtime::{
    BreakerState, Cache, ErrorKind, ManualClock, get_cache, redis_cached, set_cache, sites,
};
use cache_tests::proxy::named;
use cache_tests::{
    Body, Child, Logs, Proxy, RedisServer, body::Failed, child, eventually, redis_state, timed,
    wait::SOON, within,
};
use tokio::runtime::{Builder, Runtime};

const TIMEOUT: Duration = Duration::from_millis(1500);
const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);

#[redis_cached(ttl = 300, key = "user:{id}", skip(body))]
async fn user(body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user_in(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 60, stale_if_error = 600, soft_timeout = "1h", skip(cache, body), cache = cache)]
async fn patient(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Drives a future with nothing but a thread.
fn without_runtime<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    let deadline = Instant::now() + SOON;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        assert!(
            Instant::now() < deadline,
            "the call hangs outside a runtime"
        );
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

/// Runs this test's child with a real server in its environment.
fn with_global_cache(test: &str) {
    let server = RedisServer::builder().start_blocking();
    Child::of_test(test)
        .env("REDIS_URL", server.url())
        .env("REDIS_TIMEOUT", "1500ms")
        .run()
        .assert_passed();
}

#[test]
fn runtimes_one_after_the_other() {
    if child::role().is_none() {
        return with_global_cache("runtimes_one_after_the_other");
    }
    let body = Body::new();
    for round in 0..20 {
        let runtime = if round % 2 == 0 {
            current_thread()
        } else {
            multi_thread()
        };
        let (returned, took) = runtime.block_on(timed(user(&body, 1)));
        assert_eq!(returned, Ok(1), "round {round}");
        assert!(took < TIMEOUT, "round {round} took {took:?}");
        // A call of its own, so that each runtime stores as well as reads.
        assert_eq!(runtime.block_on(user(&body, 100 + round)), Ok(2 + round));
    }
    assert_eq!(body.runs(), 21);
}

#[test]
fn runtimes_at_once() {
    if child::role().is_none() {
        return with_global_cache("runtimes_at_once");
    }
    let bodies: Vec<_> = (0..10).map(|_| Body::new()).collect();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let bodies = &bodies;
            scope.spawn(move || {
                for round in 0..10 {
                    let runtime = if (thread + round) % 2 == 0 {
                        current_thread()
                    } else {
                        multi_thread()
                    };
                    for (id, body) in bodies.iter().enumerate() {
                        let (returned, took) = runtime.block_on(timed(user(body, id as u64)));
                        returned.unwrap();
                        assert!(took < LESS_THAN_TWO_TIMEOUTS, "a call took {took:?}");
                    }
                }
            });
        }
    });
    for body in bodies {
        assert_eq!(
            body.most_at_once(),
            1,
            "one run at a time, whichever runtime asks"
        );
        // A call may look on its own connection before the store on another one was executed.
        assert!(body.runs() <= 8, "{} runs for 80 calls", body.runs());
    }
}

/// Each as `#[tokio::test]` makes it: the test's own runtime, and the process' one cache.
#[test]
fn runtimes_of_many_tests() {
    if child::role().is_none() {
        return with_global_cache("runtimes_of_many_tests");
    }
    let body = Body::new();
    let tests: Vec<_> = (0..16)
        .map(|_| {
            let body = body.clone();
            std::thread::spawn(move || {
                current_thread().block_on(async {
                    let cache = get_cache().await.unwrap();
                    cache.ping().await.unwrap();
                    user(&body, 1).await.unwrap();
                    // Many callers in one test: tasks that the test's end drops.
                    for _ in 0..10 {
                        let body = body.clone();
                        tokio::spawn(async move { user(&body, 2).await });
                    }
                    user(&body, 3).await.unwrap();
                });
            })
        })
        .collect();
    for test in tests {
        test.join().unwrap();
    }
    current_thread().block_on(async { user(&body, 2).await.unwrap() });
}

#[test]
fn runtimes_none_at_all() {
    if child::role().is_none() {
        return with_global_cache("runtimes_none_at_all");
    }
    let logs = Logs::global();
    let body = Body::new();
    for run in 1..4 {
        assert_eq!(without_runtime(user(&body, 1)), Ok(run));
    }
    assert_eq!(
        logs.lines_with("WARN").len(),
        1,
        "one warning says why: {}",
        logs.text()
    );
    // Several threads without a runtime, on one key.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| without_runtime(user(&body, 1)).unwrap());
        }
    });
    // A leader outside, waiters inside, and the other way round.
    let inside = multi_thread();
    for leader_is_outside in [true, false] {
        let body = Body::gated();
        let outside = || {
            let body = body.clone();
            std::thread::spawn(move || without_runtime(user(&body, 2)).unwrap())
        };
        let from_inside = || {
            let body = body.clone();
            inside.spawn(async move { user(&body, 2).await.unwrap() })
        };
        let (first, second);
        if leader_is_outside {
            first = outside();
            inside.block_on(body.wait_until_begun(1));
            second = from_inside();
        } else {
            second = from_inside();
            inside.block_on(body.wait_until_begun(1));
            first = outside();
        }
        body.open_gate();
        first.join().unwrap();
        inside.block_on(second).unwrap();
        inside.block_on(user_entry(2).invalidate()).unwrap();
    }
    assert!(without_runtime(user_entry(1).get()).is_err());
    assert!(without_runtime(user_entry(1).invalidate()).is_err());
    assert!(without_runtime(user_entry(1).put(&1)).is_err());
    // And with one, all is well.
    let body = Body::new();
    for _ in 0..2 {
        assert_eq!(inside.block_on(user(&body, 5)), Ok(1));
    }
}

#[test]
fn runtimes_without_timers_or_io() {
    if child::role().is_none() {
        return with_global_cache("runtimes_without_timers_or_io");
    }
    let panics = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let hook = std::panic::take_hook();
    std::panic::set_hook({
        let panics = panics.clone();
        Box::new(move |info| {
            panics.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            hook(info);
        })
    });
    let body = Body::new();
    let mut runs = 0;
    for runtime in [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_current_thread().enable_time().build().unwrap(),
        Builder::new_current_thread().enable_io().build().unwrap(),
        Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap(),
    ] {
        for _ in 0..50 {
            runs += 1;
            assert_eq!(runtime.block_on(user(&body, 1)), Ok(runs));
        }
        assert!(runtime.block_on(user_entry(1).invalidate()).is_err());
    }
    // Tokio has no other way to say what a runtime lacks, but once is enough.
    let panics = panics.load(std::sync::atomic::Ordering::SeqCst);
    assert!(panics <= 4, "{panics} panics were caught");
    let runtime = current_thread();
    for _ in 0..2 {
        assert_eq!(runtime.block_on(user(&body, 1)), Ok(runs + 1));
    }
}

fn cache_through(proxy: &Proxy) -> Cache {
    Cache::builder()
        .url(proxy.url())
        .timeout(TIMEOUT)
        .build()
        .unwrap()
}

/// A runtime that nobody drives any more keeps its own connection and nothing else.
#[test]
fn runtimes_left_alone_with_a_connection() {
    let server = RedisServer::builder().start_blocking();
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    let alone = current_thread();
    assert_eq!(alone.block_on(user_in(&cache, &body, 1)), Ok(1));
    let driven = current_thread();
    for _ in 0..3 {
        let (returned, took) = driven.block_on(timed(user_in(&cache, &body, 1)));
        assert_eq!(returned, Ok(1));
        assert!(took < TIMEOUT, "the call took {took:?}");
    }
    assert_eq!(
        alone.block_on(user_in(&cache, &body, 1)),
        Ok(1),
        "driven again"
    );
}

/// The right to store is given back behind the call, which takes a runtime that goes on.
#[test]
fn runtimes_left_alone_after_an_error() {
    let server = RedisServer::builder().start_blocking();
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    body.fail_next(1);
    let alone = current_thread();
    alone
        .block_on(user_in(&cache, &body, 1))
        .expect_err("a failure");
    let driven = current_thread();
    let call = Box::pin(timed(user_in(&cache, &body, 1)));
    let (returned, took) = driven.block_on(async { within("an answer", SOON, call).await });
    assert_eq!(returned, Ok(2));
    assert!(took < TIMEOUT, "the call took {took:?}");
}

#[test]
fn runtimes_left_alone_with_reads_under_way() {
    let server = RedisServer::builder().start_blocking();
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    let alone = current_thread();
    assert_eq!(alone.block_on(user_in(&cache, &body, 1)), Ok(1));
    let held = proxy.hold(named("GET"));
    for _ in 0..8 {
        let (cache, body) = (cache.clone(), body.clone());
        alone.spawn(async move { user_in(&cache, &body, 1).await });
    }
    alone.block_on(held.arrived());
    // As many reads as there can be are under way, and nobody will ever take their replies.
    let driven = current_thread();
    for _ in 0..3 {
        let (returned, took) = driven.block_on(timed(user_in(&cache, &body, 1)));
        assert_eq!(returned, Ok(1), "a hit");
        assert!(took < TIMEOUT, "the call took {took:?}");
    }
    assert_eq!(body.runs(), 1);
}

#[test]
fn runtimes_left_alone_with_the_probe() {
    let server = RedisServer::builder().start_blocking();
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    proxy.refuse();
    let alone = current_thread();
    alone.block_on(async {
        eventually("an open breaker", SOON, async || {
            user_in(&cache, &body, 1).await.unwrap();
            redis_state(&cache).breaker == BreakerState::Open
        })
        .await;
    });
    proxy.accept();
    let driven = current_thread();
    driven.block_on(eventually("a hit", SOON, async || {
        let before = body.runs();
        user_in(&cache, &body, 1).await.unwrap();
        body.runs() == before
    }));
}

#[test]
fn runtimes_that_end_under_the_probe_and_the_connection() {
    let server = RedisServer::builder().start_blocking();
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    for _ in 0..3 {
        proxy.refuse();
        let ends = current_thread();
        ends.block_on(eventually("an open breaker", SOON, async || {
            user_in(&cache, &body, 1).await.unwrap();
            redis_state(&cache).breaker == BreakerState::Open
        }));
        drop(ends);
        proxy.accept();
        let next = multi_thread();
        next.block_on(eventually("a closed breaker", SOON, async || {
            user_in(&cache, &body, 1).await.unwrap();
            redis_state(&cache).breaker == BreakerState::Closed
        }));
    }
}

#[test]
fn runtimes_that_end_under_a_leader_leave_its_waiters_an_answer() {
    let server = RedisServer::builder().start_blocking();
    let cache = Cache::builder()
        .url(server.url())
        .timeout(TIMEOUT)
        .build()
        .unwrap();
    let body = Body::gated();
    let ends = multi_thread();
    ends.spawn({
        let (cache, body) = (cache.clone(), body.clone());
        async move { user_in(&cache, &body, 1).await }
    });
    let (done, waiter) = mpsc::channel();
    let stays = multi_thread();
    stays.block_on(body.wait_until_begun(1));
    stays.spawn({
        let (cache, body) = (cache.clone(), body.clone());
        async move { done.send(user_in(&cache, &body, 1).await) }
    });
    stays.block_on(cache.ping()).unwrap();
    ends.shutdown_background();
    body.let_through(2);
    assert_eq!(waiter.recv_timeout(SOON).unwrap(), Ok(2));
}

/// Polls a call once on a runtime that ends then, and gives it back.
fn begun_elsewhere<F: Future>(call: F) -> std::pin::Pin<Box<F>> {
    let ends = multi_thread();
    let mut call = Box::pin(call);
    ends.block_on(async {
        let waits = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
    });
    call
}

/// The same call, which says so after its first poll.
async fn telling<F: Future>(polled: mpsc::Sender<()>, call: F) -> F::Output {
    let mut call = std::pin::pin!(call);
    let mut polled = Some(polled);
    std::future::poll_fn(|cx| {
        let outcome = call.as_mut().poll(cx);
        if let Some(polled) = polled.take() {
            polled.send(()).expect("the test waits");
        }
        outcome
    })
    .await
}

#[test]
fn p2_runtimes_that_end_under_a_call_that_waits_for_another() {
    let cache = Cache::builder().in_memory().build().unwrap();
    let body = Body::gated();
    let leader = std::thread::spawn({
        let (cache, body) = (cache.clone(), body.clone());
        move || without_runtime(user_in(&cache, &body, 1))
    });
    let stays = multi_thread();
    stays.block_on(body.wait_until_begun(1));
    let call = begun_elsewhere(user_in(&cache, &body, 1));
    let another = begun_elsewhere(user_in(&cache, &body, 1));
    let (polled, both) = mpsc::channel();
    let [call, another] = [call, another].map(|call| telling(polled.clone(), call));
    let answers = std::thread::scope(|scope| {
        let on_another = scope.spawn(|| stays.block_on(call));
        let on_none = scope.spawn(|| without_runtime(another));
        for _ in 0..2 {
            both.recv_timeout(SOON).expect("a call waits");
        }
        body.open_gate();
        [on_another.join().unwrap(), on_none.join().unwrap()]
    });
    assert_eq!(answers, [Ok(1), Ok(1)]);
    assert_eq!(leader.join().unwrap(), Ok(1));
}

#[test]
fn p2_runtimes_that_end_under_a_call_that_waits_for_a_run_behind_another() {
    let clock = ManualClock::new();
    let cache = Cache::builder().in_memory().clock(&clock).build().unwrap();
    let stays = multi_thread();
    let body = Body::new();
    assert_eq!(stays.block_on(patient(&cache, &body, 1)), Ok(1));
    clock.advance(Duration::from_secs(60));
    body.shut_gate();
    let first = stays.spawn({
        let (cache, body) = (cache.clone(), body.clone());
        async move { patient(&cache, &body, 1).await }
    });
    stays.block_on(body.wait_until_begun(2));
    let call = begun_elsewhere(patient(&cache, &body, 1));
    let answers = stays.block_on(async {
        let call = tokio::join!(call, async {
            tokio::task::yield_now().await;
            body.open_gate();
        });
        [first.await.unwrap(), call.0]
    });
    assert_eq!(answers, [Ok(2), Ok(2)]);
}

#[test]
fn p2_runtimes_that_end_under_a_body_that_has_the_right_to_store() {
    let server = RedisServer::builder().start_blocking();
    let cache = Cache::builder()
        .url(server.url())
        .timeout(TIMEOUT)
        .build()
        .unwrap();
    let body = Body::gated();
    let ends = multi_thread();
    let mut call = Box::pin(user_in(&cache, &body, 1));
    ends.block_on(async {
        tokio::select! {
            _ = &mut call => panic!("the body ended"),
            () = body.wait_until_begun(1) => {}
        }
    });
    drop(ends);
    let stays = multi_thread();
    let answer = stays.block_on(async {
        tokio::select! {
            // So that the call is polled here while its body still runs.
            biased;
            answer = &mut call => answer,
            () = async {
                body.open_gate();
                std::future::pending().await
            } => unreachable!(),
        }
    });
    assert_eq!(answer, Ok(1));
}

// The end of a cache.

async fn nothing_is_left(proxy: &Proxy) {
    eventually("all connections to end", SOON, async || {
        proxy.open_connections() == 0
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_takes_the_connection_with_it() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    user_in(&cache, &body, 1).await.unwrap();
    let connection = cache.connection().unwrap();
    drop(cache);
    assert_eq!(proxy.open_connections(), 1, "a connection is a handle, too");
    drop(connection);
    nothing_is_left(&proxy).await;
    eventually("no client in CLIENT LIST", SOON, async || {
        !server
            .cli(&["CLIENT", "LIST", "TYPE", "normal"])
            .contains("lib-name=cache-runtime")
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_goes_while_a_probe_is_under_way() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = Cache::builder()
        .url(proxy.url())
        .timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let body = Body::new();
    proxy.swallow();
    eventually("an open breaker", SOON, async || {
        user_in(&cache, &body, 1).await.unwrap();
        redis_state(&cache).breaker == BreakerState::Open
    })
    .await;
    drop(cache);
    nothing_is_left(&proxy).await;
    proxy.accept();
    let connections = proxy.connections();
    // A probe that lived on would be back within its longest pause; an end that is seen beats a wait.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        proxy.connections(),
        connections,
        "nobody probes for a cache that is gone"
    );
}

#[tokio::test]
async fn the_last_handle_goes_while_an_invalidation_is_unfinished() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = Cache::builder()
        .url(proxy.url())
        .timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let body = Body::new();
    user_in(&cache, &body, 1).await.unwrap();
    proxy.swallow();
    user_in_entry(&cache, 1).invalidate().await.unwrap_err();
    assert_eq!(cache.stats().unfinished_invalidations, 1);
    drop(cache);
    nothing_is_left(&proxy).await;
}

#[tokio::test]
async fn shutdown_closes_connections_and_leaves_the_bodies() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    user_in(&cache, &body, 1).await.unwrap();

    // One call is in its body when the cache is shut down, with the right to store.
    body.shut_gate();
    let late = tokio::spawn({
        let (cache, body) = (cache.clone(), body.clone());
        async move { user_in(&cache, &body, 2).await }
    });
    body.wait_until_begun(2).await;
    let mut connection = cache.connection().unwrap();
    let connections = proxy.connections();

    cache.shutdown().await.unwrap();
    nothing_is_left(&proxy).await;
    body.open_gate();
    assert_eq!(late.await.unwrap(), Ok(2));
    assert_eq!(
        user_in(&cache, &body, 1).await,
        Ok(3),
        "the body's value, not the stored one"
    );
    assert!(user_in_entry(&cache, 1).get().await.is_err());
    assert!(user_in_entry(&cache, 1).invalidate().await.is_err());
    assert!(cache.ping().await.is_err());
    let answer: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
    assert!(answer.is_err());
    cache.shutdown().await.unwrap();
    assert_eq!(
        proxy.connections(),
        connections,
        "nobody opened another connection"
    );
    assert_eq!(proxy.open_connections(), 0);
}

#[tokio::test]
async fn shutdown_ends_the_probe() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache_through(&proxy);
    let body = Body::new();
    proxy.refuse();
    eventually("an open breaker", SOON, async || {
        user_in(&cache, &body, 1).await.unwrap();
        redis_state(&cache).breaker == BreakerState::Open
    })
    .await;
    cache.shutdown().await.unwrap();
    let before = redis_state(&cache).connections_tried;
    proxy.accept();
    // Longer than the first pauses of a probe.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(redis_state(&cache).connections_tried <= before);
    assert_eq!(proxy.open_connections(), 0);
}

#[test]
fn set_cache_replaces_the_global_one() {
    if child::role().is_none() {
        return with_global_cache("set_cache_replaces_the_global_one");
    }
    let body = Body::new();
    let runtime = current_thread();
    assert_eq!(runtime.block_on(user(&body, 1)), Ok(1));
    let memory = Cache::builder().in_memory().build().unwrap();
    let redis = set_cache(memory).expect("the one from the environment");
    for _ in 0..2 {
        assert_eq!(runtime.block_on(user(&body, 1)), Ok(2), "from the new one");
    }
    runtime.block_on(redis.ping()).unwrap();
    set_cache(redis).expect("the one in memory");
    assert_eq!(runtime.block_on(user(&body, 1)), Ok(1), "still in redis");
}

#[redis_cached(ttl = 300, key = "paused:{id}", skip(cache, body), cache = cache)]
async fn paused(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// How often a wait for Redis timed out in `paused`.
fn timeouts() -> u64 {
    let mut sites = sites().into_iter();
    let site = sites.find(|site| site.function == "paused");
    site.map_or(0, |site| site.stats.errors.of(ErrorKind::Timeout))
}

/// Tokio's own paused clock goes on to the next timer whenever every task waits, and a socket is no timer.
#[tokio::test]
async fn where_tokios_clock_is_paused_a_wait_for_redis_times_out_at_once() {
    const HOUR: Duration = Duration::from_secs(3600);
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let builder = Cache::builder().url(proxy.url()).timeout(HOUR);
    let (cache, body) = (builder.build().expect("a valid URL"), Body::new());
    cache.ping().await.expect("redis");
    let held = proxy.hold_reply(named("GET"));
    tokio::time::pause();
    let call = within("a call", SOON, paused(&cache, &body, 1));
    assert_eq!(call.await, Ok(1));
    assert_eq!(timeouts(), 1);
    held.release();
    // It is an hour ahead of all other clocks from here on, also where it goes on by itself.
    tokio::time::resume();
    let held = proxy.hold_reply(named("PING"));
    let ping = within("a ping", SOON, cache.ping()).await;
    assert!(ping.expect_err("too late").is_timeout());
    held.release();
}

/// The right to store is renewed by the clock of timers, so that this clock can go ahead of all others.
#[tokio::test]
async fn where_tokios_clock_is_paused_in_a_body_the_body_sleeps_no_longer_than_without_a_cache() {
    #[redis_cached(ttl = 300, key = "paused-in:{id}", skip(cache), cache = cache)]
    async fn paused_in(cache: &Cache, id: u64) -> u64 {
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        tokio::time::resume();
        id
    }
    let server = RedisServer::start().await;
    let cache = Cache::builder().url(server.url()).build().expect("a URL");
    cache.ping().await.expect("redis");
    assert_eq!(
        within("an hour of sleep", SOON, paused_in(&cache, 3)).await,
        3
    );
}

/// The store in process asks no clock of tokio's, and a `ManualClock` makes its values old.
#[tokio::test(start_paused = true)]
async fn where_tokios_clock_is_paused_the_store_in_process_works_by_a_manual_clock() {
    let clock = ManualClock::new();
    let builder = Cache::builder().in_memory().clock(&clock);
    let (cache, body) = (builder.build().expect("a cache"), Body::new());
    for _ in 0..2 {
        assert_eq!(paused(&cache, &body, 2).await, Ok(1));
    }
    tokio::time::advance(Duration::from_secs(301)).await;
    assert_eq!(paused(&cache, &body, 2).await, Ok(1));
    clock.advance(Duration::from_secs(301));
    assert_eq!(paused(&cache, &body, 2).await, Ok(2));
}
