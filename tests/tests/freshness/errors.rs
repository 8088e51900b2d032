//! `stale_if_error`: while there is an older value, nobody sees its source fail.

use cache_runtime::{Cache, SharedError, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, eventually, within};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

use crate::scene::{Counts, FIRST_PAUSE, MILLI, Scene, TTL, WINDOW, source};

#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache)]
async fn cloned(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// An error that nobody can share.
#[derive(Debug, PartialEq)]
struct Alone(Failed);

#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache)]
async fn alone(cache: &Cache, body: &Body, id: u64) -> Result<u64, Alone> {
    let _ = id;
    body.run().await.map_err(Alone)
}

/// An error that is shared by its texts.
#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache)]
async fn told(cache: &Cache, body: &Body, id: u64) -> anyhow::Result<u64> {
    let _ = id;
    Ok(body.run().await?)
}

#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache)]
async fn optional(cache: &Cache, body: &Body, id: u64) -> Result<Option<u64>, Failed> {
    body.run().await.map(|run| (id > 0).then_some(run))
}

#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache)]
async fn of_one_type(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[tokio::test]
async fn an_error_shows_only_where_no_older_value_covers_it() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        body.fail_next(1);
        let first = alone(cache, &body, 1).await;
        assert_eq!(first, Err(Alone(Failed { run: 1 })), "nothing is there");
        assert_eq!(alone(cache, &body, 1).await, Ok(2));
        body.fail();
        scene.clock.advance(TTL + WINDOW - MILLI);
        assert_eq!(alone(cache, &body, 1).await, Ok(2));
        scene.clock.advance(MILLI);
        let late = alone(cache, &body, 1).await;
        assert_eq!(late, Err(Alone(Failed { run: 4 })));
        body.succeed();
        assert_eq!(alone(cache, &body, 1).await, Ok(5));
        assert_eq!(source(alone(cache, &body, 1)).await, Source::Hit);
    }
}

#[tokio::test]
async fn no_value_is_an_answer_and_no_error() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(optional(cache, &body, 1).await, Ok(Some(1)));
        let entry = optional_entry(cache, 0);
        entry.put(&Some(70)).await.expect("a cache");
        scene.clock.advance(TTL);
        assert_eq!(optional(cache, &body, 0).await, Ok(None));
        assert_eq!(entry.ttl().await.expect("a cache"), None, "is gone");
        body.fail_next(1);
        assert_eq!(optional(cache, &body, 1).await, Ok(Some(1)));
    }
}

fn crowd<F>(callers: usize, mut call: impl FnMut() -> F) -> JoinSet<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    (0..callers).map(|_| call()).collect()
}

async fn all<T: 'static>(mut callers: JoinSet<T>) -> Vec<Result<T, JoinError>> {
    let mut outcomes = vec![];
    while let Some(outcome) = within("every caller to end", SOON, callers.join_next()).await {
        outcomes.push(outcome);
    }
    outcomes
}

async fn until_waiting(cache: &Cache, callers: usize) {
    eventually("the other callers to wait", SOON, async || {
        cache.stats().waiting == callers
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_for_a_body_that_fails_has_the_stale_value() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(cloned(cache, &body, 1).await, Ok(1));
        assert_eq!(alone(cache, &body, 1).await, Ok(2));
        scene.clock.advance(TTL);
        let before = Counts::of("cloned");
        body.shut_gate();
        body.fail();
        let callers = crowd(50, || {
            let (cache, body) = (cache.clone(), body.clone());
            async move { cloned(&cache, &body, 1).await }
        });
        until_waiting(cache, 49).await;
        body.let_through(3);
        let outcomes = all(callers).await;
        assert!(
            outcomes
                .into_iter()
                .all(|outcome| outcome.unwrap() == Ok(1))
        );
        assert_eq!(body.runs(), 3, "one run for all");
        // A call that a stale value answers is no miss, and shared nothing.
        let counts = Counts::since("cloned", before);
        assert_eq!((counts.stale, counts.misses, counts.coalesced), (50, 0, 0));
        let callers = crowd(50, || {
            let (cache, body) = (cache.clone(), body.clone());
            async move { alone(&cache, &body, 1).await }
        });
        until_waiting(cache, 49).await;
        body.let_through(4);
        let outcomes = all(callers).await;
        assert!(
            outcomes
                .into_iter()
                .all(|outcome| outcome.unwrap() == Ok(2))
        );
        assert_eq!((body.runs(), cache.stats().flights), (4, 0));
    }
}

/// Apart from `cloned`, whose calls another test counts.
#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache)]
async fn uncounted(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// The error is not for it, since its body is another one; that a body failed is.
#[tokio::test]
async fn who_waits_with_another_body_has_the_stale_value() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(uncounted(cache, &body, 2).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        body.fail();
        let (own, its) = (cache.clone(), body.clone());
        let leader = tokio::spawn(async move { uncounted(&own, &its, 2).await });
        body.wait_until_running(1).await;
        let (entry, its) = (uncounted_entry(cache, 2), Body::new());
        let another = its.clone();
        let waiter = tokio::spawn(async move { entry.get_or_compute(|| another.run()).await });
        until_waiting(cache, 1).await;
        body.open_gate();
        assert_eq!(leader.await.expect("no panic"), Ok(1));
        assert_eq!(waiter.await.expect("no panic"), Ok(1));
        assert_eq!((body.runs(), its.runs()), (2, 0));
    }
}

/// Half of them have an older value, and half came when nothing was left of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_waits_for_a_body_whose_error_is_shared_has_the_stale_value_or_its_texts() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(told(cache, &body, 1).await.expect("a run that returns"), 1);
        scene.clock.advance(TTL);
        body.shut_gate();
        body.fail();
        let call = || {
            let (cache, body) = (cache.clone(), body.clone());
            async move { told(&cache, &body, 1).await }
        };
        let early = crowd(50, call);
        body.wait_until_running(1).await;
        until_waiting(cache, 49).await;
        scene.clock.advance(WINDOW);
        let late = crowd(50, call);
        until_waiting(cache, 99).await;
        body.open_gate();
        for outcome in all(early).await {
            assert_eq!(outcome.unwrap().expect("the stale value"), 1);
        }
        for outcome in all(late).await {
            let error = outcome.unwrap().expect_err("nothing to answer with");
            assert_eq!(error.to_string(), Failed { run: 2 }.to_string());
            assert!(error.is::<SharedError>());
        }
        assert_eq!((body.runs(), cache.stats().flights), (2, 0));
    }
}

/// Those who came while it ran have no proof that its error still holds, and do not need one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_panic_reaches_its_own_caller_and_the_others_have_the_stale_value() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(alone(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        body.panic();
        let callers = crowd(50, || {
            let (cache, body) = (cache.clone(), body.clone());
            async move { alone(&cache, &body, 1).await }
        });
        until_waiting(cache, 49).await;
        body.open_gate();
        let (panicked, answered): (Vec<_>, Vec<_>) =
            all(callers).await.into_iter().partition(Result::is_err);
        assert!(
            panicked
                .into_iter()
                .all(|outcome| { outcome.expect_err("the ones that did").is_panic() })
        );
        assert_eq!(answered.len(), 49);
        assert!(
            answered
                .into_iter()
                .all(|outcome| outcome.unwrap() == Ok(1))
        );
        assert_eq!(body.runs(), 2);
        assert_eq!(alone(cache, &body, 1).await, Ok(1), "the key rests");
        body.succeed();
        scene.clock.advance(FIRST_PAUSE);
        assert_eq!(alone(cache, &body, 1).await, Ok(3));
    }
}

/// A leader that goes away says nothing of the source, so the next one asks it.
#[tokio::test]
async fn a_leader_that_is_dropped_is_no_failure() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(alone(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        let call = || {
            let (cache, body) = (cache.clone(), body.clone());
            tokio::spawn(async move { alone(&cache, &body, 1).await })
        };
        let leader = call();
        body.wait_until_running(1).await;
        let heir = call();
        until_waiting(cache, 1).await;
        leader.abort();
        body.open_gate();
        let value = within("the heir's own value", SOON, heir).await;
        assert_eq!(value.expect("no panic"), Ok(3));
    }
}

/// The body says nothing of the source either where its caller panics beside it.
#[tokio::test]
async fn a_leader_whose_caller_panics_is_no_failure() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(alone(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.shut_gate();
        let (panics, told) = oneshot::channel::<()>();
        let (own, its) = (cache.clone(), body.clone());
        let leader = tokio::spawn(async move {
            let beside = async {
                told.await.expect("the test tells it");
                panic!("the caller panics as it was told")
            };
            let _: (_, ()) = tokio::join!(alone(&own, &its, 1), beside);
        });
        body.wait_until_running(1).await;
        let (own, its) = (cache.clone(), body.clone());
        let heir = tokio::spawn(async move { alone(&own, &its, 1).await });
        until_waiting(cache, 1).await;
        panics.send(()).expect("the leader runs");
        assert!(leader.await.expect_err("a panic").is_panic());
        body.open_gate();
        let value = within("the heir's own value", SOON, heir).await;
        assert_eq!(value.expect("no panic"), Ok(3));
    }
}

#[tokio::test]
async fn the_answer_of_another_type_leaves_the_older_value_at_hand() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(of_one_type(cache, &body, 9).await, Ok(1));
        scene.clock.advance(TTL);
        let key = of_one_type_entry(cache, 9)
            .key()
            .expect("a key")
            .to_string();
        let (others, others_body) = (cache.entry::<String>(&*key).with_ttl(TTL), Body::gated());
        let other = others.refresh(async {
            let _ = others_body.run().await;
            String::from("no number")
        });
        let waiting = async {
            others_body.wait_until_running(1).await;
            body.fail();
            source(of_one_type(cache, &body, 9)).await
        };
        let opening = async {
            eventually("the call to wait", SOON, async || {
                cache.stats().waiting == 1
            })
            .await;
            others_body.open_gate();
        };
        let (_, source, ()) = tokio::join!(other, waiting, opening);
        assert_eq!((source, body.runs()), (Source::Stale, 2));
    }
}

trait Users {
    async fn load(&self, id: u64) -> Result<u64, Failed>;
}

struct InDatabase {
    cache: Cache,
    body: Body,
}

impl Users for InDatabase {
    #[redis_cached(
        ttl = 60,
        stale_if_error = 600,
        key = "trait_user:{id}",
        skip(self),
        cache = &self.cache,
        trait_impl
    )]
    async fn load(&self, id: u64) -> Result<u64, Failed> {
        let _ = id;
        self.body.run().await
    }
}

#[tokio::test]
async fn a_trait_method_has_it_too() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        let users = InDatabase {
            cache: cache.clone(),
            body: body.clone(),
        };
        assert_eq!(users.load(1).await, Ok(1));
        body.fail();
        scene.clock.advance(TTL);
        for _ in 0..3 {
            assert_eq!(source(users.load(1)).await, Source::Stale);
        }
        assert_eq!(body.runs(), 2);
        scene.clock.advance(WINDOW);
        assert_eq!(users.load(1).await, Err(Failed { run: 3 }));
    }
}
