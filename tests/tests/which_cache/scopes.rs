//! A scope is inherited by all that its future polls itself, and by what it is handed on to.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache_runtime::CacheControl::{NoCache, NoStore};
use cache_runtime::{Cache, ManualClock, Outcome, Source, in_scope, only_if_cached, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, eventually};
use tokio::sync::oneshot;

use crate::scene::{found, named, number};

/// Asserts that no scope is left on this thread.
async fn assert_in_no_scope() {
    let found = found().await.expect("the environment's cache");
    assert_eq!(found, "");
}

#[tokio::test]
async fn what_is_polled_in_it_inherits_it_and_what_is_polled_beside_it_does_not() {
    let (one, other) = (named("one"), named("other"));
    let (go, gone) = oneshot::channel();
    let waits = async {
        let before = found().await;
        gone.await.expect("the other goes on");
        [before, found().await].map(|found| found.expect("a cache"))
    };
    let beside = async {
        let beside = found().await.expect("a cache");
        go.send(()).expect("the other waits");
        beside
    };
    let in_other = other.scope(async { tokio::join!(found(), found()) });
    let all = async { tokio::join!(one.scope(waits), beside, in_other) };
    let (waited, beside, (first, second)) = all.await;
    assert_eq!(waited, ["one", "one"]);
    assert_eq!(beside, "");
    assert_eq!(first.expect("a cache"), "other");
    assert_eq!(second.expect("a cache"), "other");
    assert_in_no_scope().await;
}

#[tokio::test]
async fn what_is_spawned_has_it_only_if_it_is_handed_on() {
    let own = named("own");
    let spawned = own.scope(async {
        let with = tokio::spawn(in_scope(found()));
        let without = tokio::spawn(found());
        let nested = tokio::spawn(in_scope(async { tokio::spawn(in_scope(found())).await }));
        let inner = tokio::spawn(in_scope(named("inner").scope(found())));
        let blocking =
            tokio::task::spawn_blocking(|| tokio::runtime::Handle::current().block_on(found()));
        tokio::join!(with, without, nested, inner, blocking)
    });
    let (with, without, nested, inner, blocking) = spawned.await;
    let prefix = |found: Result<Result<String, _>, _>| -> String {
        let found: Result<_, cache_runtime::Error> = found.expect("no panic");
        found.expect("a cache")
    };
    assert_eq!(prefix(with), "own");
    assert_eq!(prefix(without), "");
    assert_eq!(prefix(nested.expect("no panic")), "own");
    assert_eq!(prefix(inner), "inner");
    assert_eq!(prefix(blocking), "");
}

#[tokio::test]
async fn it_is_handed_on_from_where_it_is_said_and_not_from_where_it_runs() {
    let own = named("own");
    let (handed_on,) = own.scope(async { (in_scope(found()),) }).await;
    let elsewhere = named("other").scope(handed_on).await;
    assert_eq!(elsewhere.expect("a cache"), "own");
    let of_none = in_scope(found());
    let elsewhere = own.scope(of_none).await;
    assert_eq!(elsewhere.expect("a cache"), "own", "nothing was handed on");
    let nothing = tokio::spawn(in_scope(found())).await.expect("no panic");
    assert_eq!(nothing.expect("a cache"), "");
}

/// What may be done with a cache is said for a task, and is not handed on.
#[tokio::test]
async fn only_the_cache_is_handed_on() {
    let own = named("own");
    let call = || tokio::spawn(in_scope(number(1, 2)));
    let spawned = own.scope(only_if_cached(async { call().await.expect("no panic") }));
    assert_eq!(spawned.await, Some(1));
    assert_eq!(own.scope(only_if_cached(number(2, 2))).await, Some(1));
}

/// What may be done with a cache, and which one it is, are different questions: a scope for one hides no other.
#[tokio::test]
async fn scopes_of_different_kinds_add_up() {
    let own = named("own");
    assert_eq!(own.scope(number(1, 7)).await, 1);
    let call = || number(2, 7);
    assert_eq!(NoStore.scope(own.scope(call())).await, 2);
    assert_eq!(own.scope(NoStore.scope(call())).await, 2);
    assert_eq!(only_if_cached(own.scope(call())).await, Some(1));
    assert_eq!(own.scope(only_if_cached(call())).await, Some(1));
    assert_eq!(only_if_cached(own.scope(number(1, 8))).await, None);
    for outcome in [
        Outcome::of(own.scope(call())).await,
        own.scope(Outcome::of(call())).await,
    ] {
        assert_eq!((outcome.value, outcome.source), (1, Source::Hit));
        assert_eq!(outcome.key.as_deref(), Some("own:number:7"));
    }
    assert_eq!(NoCache.scope(own.scope(call())).await, 2);
    assert_eq!(own.scope(number(3, 7)).await, 2);
    assert_eq!(only_if_cached(number(3, 7)).await, None, "all of it there");
}

async fn panics_in_its_body() -> u64 {
    #[redis_cached(ttl = 300)]
    async fn panics() -> u64 {
        tokio::task::yield_now().await;
        panic!("on purpose")
    }
    panics().await
}

#[tokio::test]
async fn one_that_panics_leaves_nothing_behind() {
    let own = named("own");
    let mut scope = Box::pin(own.scope(panics_in_its_body()));
    let panicked = std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            scope.as_mut().poll(cx).map(drop)
        }));
        polled.map_or(Poll::Ready(()), |polled| polled)
    });
    panicked.await;
    assert_in_no_scope().await;
    drop(scope);
    assert_in_no_scope().await;
    let spawned = tokio::spawn(own.scope(panics_in_its_body())).await;
    assert!(spawned.expect_err("a panic").is_panic());
    assert_in_no_scope().await;
    assert_eq!(own.scope(number(1, 3)).await, 1);
    assert_eq!(own.scope(number(2, 3)).await, 1);
}

/// Polls it once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn one_that_is_dropped_leaves_nothing_behind() {
    #[redis_cached(ttl = 300, skip(body))]
    async fn gated(body: &Body) -> Result<u64, Failed> {
        body.run().await
    }
    let (own, body) = (named("own"), Body::gated());
    drop(own.scope(gated(&body)));
    let mut scope = Box::pin(own.scope(gated(&body)));
    assert!(poll_once(scope.as_mut()).is_pending());
    assert_in_no_scope().await;
    drop(scope);
    assert_in_no_scope().await;
    assert_eq!(own.stats().flights, 0);
    body.open_gate();
    assert_eq!(own.scope(gated(&body)).await, Ok(2));
}

/// A drop of what a scope runs is inside of the scope, as its polls are.
#[tokio::test]
async fn a_call_in_a_drop_is_in_the_scope() {
    struct OnDrop(Option<oneshot::Sender<String>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            let Poll::Ready(found) = poll_once(pin!(found())) else {
                panic!("it waits for nobody");
            };
            let sender = self.0.take().expect("one drop");
            drop(sender.send(found.expect("a cache")));
        }
    }
    let (sender, found) = oneshot::channel();
    let on_drop = OnDrop(Some(sender));
    let mut scope = Box::pin(named("own").scope(async move {
        let _on_drop = on_drop;
        std::future::pending::<()>().await;
    }));
    assert!(poll_once(scope.as_mut()).is_pending());
    drop(scope);
    assert_eq!(found.await.expect("it was dropped"), "own");
}

#[tokio::test]
async fn one_that_outlives_its_cache_goes_on() {
    let own = named("own");
    let (go, gone) = oneshot::channel::<()>();
    let scope = tokio::spawn(own.scope(async {
        assert_eq!(number(1, 4).await, 1);
        gone.await.expect("the test goes on");
        (number(2, 4).await, found().await)
    }));
    drop(own);
    go.send(()).expect("the scope waits");
    let (hit, its) = scope.await.expect("no panic");
    assert_eq!((hit, &*its.expect("a cache")), (1, "own"));

    // One that was shut down is none, and that is told.
    let own = named("own");
    let scope = own.scope(async {
        assert_eq!(number(1, 4).await, 1);
        own.shutdown().await.expect("nothing is left");
        assert_eq!(number(2, 4).await, 2);
        found().await
    });
    assert!(scope.await.is_err());
    assert_in_no_scope().await;
}

#[tokio::test]
async fn one_future_goes_on_with_its_scope_wherever_it_is_polled() {
    let body = Body::gated();
    let run = body.clone();
    let mut scope = Box::pin(named("own").scope(async move {
        run.run().await.expect("a body that returns");
        found().await
    }));
    assert!(poll_once(scope.as_mut()).is_pending());
    body.open_gate();
    let elsewhere = std::thread::spawn(|| crate::scene::current_thread().block_on(scope));
    let found = elsewhere.join().expect("no panic");
    assert_eq!(found.expect("a cache"), "own");
    assert_in_no_scope().await;
}

#[redis_cached(ttl = 60, skip(body))]
async fn below(body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 60, stale_while_revalidate = 60, skip(body, lower))]
async fn above(body: &Body, lower: &Body, id: u64) -> Result<(u64, u64), Failed> {
    Ok((body.run().await?, below(lower, id).await?))
}

#[tokio::test]
async fn a_body_that_runs_behind_its_call_is_in_the_scope_of_the_call() {
    let clock = ManualClock::new();
    let builder = Cache::builder().in_memory().clock(&clock);
    let own = builder.build().expect("a store in this process");
    let (body, lower) = (Body::new(), Body::new());
    let call = || own.scope(above(&body, &lower, 1));
    assert_eq!(call().await, Ok((1, 1)));
    clock.advance(Duration::from_secs(61));
    assert_eq!(call().await, Ok((1, 1)), "stale");
    eventually("the refresh", SOON, async || {
        own.scope(only_if_cached(below(&lower, 1))).await == Some(Ok(2))
    })
    .await;
    eventually("its value", SOON, async || call().await == Ok((2, 2))).await;
    assert_eq!(only_if_cached(below(&lower, 1)).await, None);
    assert_eq!((body.runs(), lower.runs()), (2, 2));
}

/// The same key in two caches is two flights, and no body waits for itself.
#[tokio::test]
async fn a_body_may_ask_for_its_own_key_in_another_scope() {
    #[redis_cached(ttl = 300, key = "nested", skip(inner))]
    async fn nested(inner: Option<Cache>) -> u64 {
        match inner {
            Some(cache) => 1 + cache.scope(Box::pin(nested(None))).await,
            None => 1,
        }
    }
    let (outer, inner) = (named("outer"), named("inner"));
    assert_eq!(outer.scope(nested(Some(inner.clone()))).await, 2);
    assert_eq!(outer.scope(nested(None)).await, 2);
    assert_eq!(inner.scope(nested(None)).await, 1);
}
