//! A cache is installed in a runtime until its guard is dropped or the runtime ends.

use std::sync::mpsc;

use cache_runtime::{RuntimeGuard, in_scope};
use cache_tests::wait::SOON;
use cache_tests::{eventually, within};
use tokio::task::LocalSet;

use crate::scene::{
    assert_found, current_thread, found, held, living, multi_thread, named, number,
};

#[test]
fn all_that_runs_on_it_finds_the_cache_and_nothing_else_does() {
    for runtime in [current_thread(), multi_thread()] {
        let other = multi_thread();
        runtime.block_on(async {
            let _guard = named("own").install_in_this_runtime();
            assert_found("own").await;
            let spawned = tokio::spawn(assert_found("own"));
            let handed_on = tokio::spawn(in_scope(assert_found("own")));
            let nested = tokio::spawn(async { tokio::spawn(assert_found("own")).await });
            let blocking = tokio::task::spawn_blocking(|| {
                tokio::runtime::Handle::current().block_on(assert_found("own"));
            });
            let elsewhere = other.spawn(assert_found(""));
            let all = tokio::join!(spawned, handed_on, nested, blocking, elsewhere);
            all.0.expect("no panic");
            all.1.expect("no panic");
            all.2.expect("no panic").expect("no panic");
            all.3.expect("no panic");
            all.4.expect("no panic");
            let local = LocalSet::new();
            let spawned =
                local.run_until(async { tokio::task::spawn_local(assert_found("own")).await });
            spawned.await.expect("no panic");
        });
        let nowhere = std::thread::spawn(|| futures_without_runtime(assert_found("")));
        nowhere.join().expect("no panic");
        other.shutdown_background();
    }
}

/// Polls a future that waits for nobody, outside of any runtime.
fn futures_without_runtime<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn the_latest_guard_that_lives_counts_in_whatever_order_they_are_dropped() {
    current_thread().block_on(async {
        let install = |name| named(name).install_in_this_runtime();
        let first = install("first");
        let second = install("second");
        let third = install("third");
        assert_found("third").await;
        drop(second);
        assert_found("third").await;
        drop(third);
        assert_found("first").await;
        let fourth = install("fourth");
        drop(first);
        assert_found("fourth").await;
        drop(fourth);
        assert_found("").await;
        // One cache twice is installed twice.
        let own = named("own");
        let guards = [own.install_in_this_runtime(), own.install_in_this_runtime()];
        for guard in guards {
            assert_found("own").await;
            drop(guard);
        }
        assert_found("").await;
    });
}

#[test]
fn calls_under_way_keep_the_cache_that_they_began_with() {
    use cache_runtime::redis_cached;
    use cache_tests::Body;

    #[redis_cached(ttl = 300, skip(body))]
    async fn gated(body: &Body) -> u64 {
        body.run().await.expect("a body that returns")
    }
    current_thread().block_on(async {
        let (own, body) = (named("own"), Body::gated());
        let guard = own.install_in_this_runtime();
        let call = tokio::spawn({
            let body = body.clone();
            async move { gated(&body).await }
        });
        within("a body", SOON, body.wait_until_running(1)).await;
        drop(guard);
        body.open_gate();
        assert_eq!(call.await.expect("no panic"), 1);
        assert_eq!(own.scope(gated(&body)).await, 1, "it was stored there");
        assert_eq!(gated(&body).await, 2);
    });
}

/// Installs a cache in the runtime, and leaves a value in it.
fn install(runtime: &tokio::runtime::Runtime) -> RuntimeGuard {
    runtime.block_on(async {
        let guard = named("own").install_in_this_runtime();
        held().await;
        assert_eq!(living(), 1, "in the cache");
        guard
    })
}

/// One test, because it counts all values of its function.
#[test]
fn p11_neither_guard_nor_scope_keeps_a_cache_longer_than_it_says() {
    for build in [current_thread, multi_thread] {
        // A guard that is dropped in its runtime.
        let runtime = build();
        let guard = install(&runtime);
        runtime.block_on(async { drop(guard) });
        assert_eq!(living(), 0);

        // One that is dropped elsewhere, while nobody drives the runtime.
        let guard = install(&runtime);
        std::thread::spawn(|| drop(guard)).join().expect("no panic");
        assert_eq!(living(), 0);

        // One whose runtime has ended.
        let guard = install(&runtime);
        drop(runtime);
        assert_eq!(living(), 0);
        drop(guard);

        // One that is never dropped.
        let runtime = build();
        std::mem::forget(install(&runtime));
        drop(runtime);
        assert_eq!(living(), 0);
    }

    let runtime = current_thread();
    let ended = runtime.block_on(named("own").scope(async {
        held().await;
        living()
    }));
    assert_eq!((ended, living()), (1, 0));
    let mut scope = Box::pin(named("own").scope(async {
        held().await;
        std::future::pending::<()>().await;
    }));
    runtime.block_on(async {
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(scope.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
    });
    assert_eq!(living(), 1);
    drop(scope);
    assert_eq!(living(), 0);
    let panics = runtime.block_on(async {
        tokio::spawn(named("own").scope(async {
            held().await;
            panic!("on purpose")
        }))
        .await
    });
    assert!(panics.is_err_and(|error| error.is_panic()));
    assert_eq!(living(), 0);
}

#[tokio::test]
async fn a_guard_that_is_dropped_leaves_no_task_behind() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    for _ in 0..100 {
        drop(named("own").install_in_this_runtime());
    }
    eventually("the end of all tasks", SOON, async || tasks() == 0).await;
}

/// Whatever number it has.
#[test]
fn a_runtime_after_one_that_ended_finds_nothing_of_that_ones() {
    let mut guards = vec![];
    for n in 1..=100 {
        let runtime = current_thread();
        runtime.block_on(async {
            assert_found("").await;
            assert_eq!(
                number(n, 5).await,
                number(0, 5).await,
                "in the global cache"
            );
            guards.push(named("own").install_in_this_runtime());
            assert_found("own").await;
            assert_eq!(number(n, 6).await, n, "nobody was here before");
        });
    }
}

#[test]
fn a_runtime_that_ends_under_its_calls_hurts_nobody() {
    let runtime = multi_thread();
    let (begun, has_begun) = mpsc::channel();
    let guard = runtime.block_on(async { named("own").install_in_this_runtime() });
    // Keys that no other test has, because what still runs while it ends has the global cache.
    for n in 100..108 {
        let begun = begun.clone();
        runtime.spawn(async move {
            loop {
                number(n, n).await;
                let Ok(()) = begun.send(()) else { return };
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..1000 {
        has_begun.recv_timeout(SOON).expect("calls");
    }
    drop(runtime);
    drop(guard);
    current_thread().block_on(assert_found(""));
}

#[test]
fn outside_of_a_runtime_it_is_a_panic_that_says_so() {
    let panicked = std::panic::catch_unwind(|| named("own").install_in_this_runtime());
    let told = panicked.expect_err("no runtime");
    let told = told.downcast_ref::<&str>().expect("a text");
    assert!(told.contains("`install_in_this_runtime`"), "{told}");
    assert!(told.contains("tokio runtime"), "{told}");
    let found = current_thread().block_on(found());
    assert_eq!(found.expect("a cache"), "");
}
