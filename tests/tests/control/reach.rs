//! A scope is inherited by all that its future polls itself, and by nothing else.

use cache_runtime::CacheControl::{self, NoCache, NoStore};
use cache_runtime::{Cache, Outcome, Source, only_if_cached};
use cache_tests::body::Failed;
use cache_tests::{Body, Stores};

use crate::scene::{above, assert_idle, below};

/// Both functions are warm, with run 1 of their bodies.
async fn warm(cache: &Cache) -> (Body, Body) {
    let (body, lower) = (Body::new(), Body::new());
    assert_eq!(above(cache, &body, &lower, 1).await, Ok((1, 1)));
    (body, lower)
}

#[tokio::test]
async fn cached_calls_below_cached_calls_inherit_it() {
    for cache in Stores::start().await.both() {
        let (body, lower) = warm(cache).await;
        let call = || above(cache, &body, &lower, 1);
        assert_eq!(NoStore.scope(call()).await, Ok((2, 2)));
        assert_eq!(call().await, Ok((1, 1)));
        assert_eq!(below(cache, &lower, 1).await, Ok(1));
        assert_eq!(NoCache.scope(call()).await, Ok((3, 3)));
        assert_eq!(call().await, Ok((3, 3)));
        assert_eq!(below(cache, &lower, 1).await, Ok(3));
    }
}

#[tokio::test]
async fn what_is_polled_side_by_side_inherits_it() {
    for cache in Stores::start().await.both() {
        let (body, lower) = warm(cache).await;
        let round = NoStore.scope(async {
            let joined = tokio::join!(below(cache, &lower, 1), above(cache, &body, &lower, 1));
            let selected = tokio::select! {
                biased;
                first = Box::pin(below(cache, &lower, 1)) => first,
                second = above(cache, &body, &lower, 1) => second.map(|both| both.0),
            };
            (joined, selected)
        });
        let ((first, second), selected) = round.await;
        assert_eq!(first, Ok(2));
        assert_eq!(second, Ok((2, 3)));
        assert_eq!(selected, Ok(4));
        assert_eq!(above(cache, &body, &lower, 1).await, Ok((1, 1)));
    }
}

/// Between its polls a scope is not there for what is polled beside it.
#[tokio::test]
async fn what_is_polled_beside_a_scope_does_not_inherit_it() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        body.let_through(1);
        assert_eq!(below(cache, &body, 1).await, Ok(1));
        let beside = async {
            body.wait_until_running(1).await;
            let hit = below(cache, &body, 1).await;
            body.open_gate();
            hit
        };
        let both = tokio::join!(NoStore.scope(below(cache, &body, 1)), beside);
        assert_eq!(both, (Ok(2), Ok(1)));
        assert_eq!(below(cache, &body, 1).await, Ok(1), "nor after its end");
    }
}

#[tokio::test]
async fn what_is_spawned_does_not_inherit_it() {
    for cache in Stores::start().await.both() {
        let (_, lower) = warm(cache).await;
        let spawned = |id| {
            let (cache, lower) = (cache.clone(), lower.clone());
            tokio::spawn(async move { below(&cache, &lower, id).await })
        };
        for directive in [NoStore, NoCache] {
            let value = directive.scope(async { spawned(1).await }).await;
            assert_eq!(value.expect("no panic"), Ok(1), "a hit");
        }
        let cold = only_if_cached(async { spawned(2).await }).await;
        let cold = cold.expect("nothing in it needs a body").expect("no panic");
        assert_eq!(cold, Ok(2));
        let outcome = Outcome::of(async { spawned(1).await }).await;
        assert_eq!(outcome.source, Source::Bypass);
    }
}

async fn twice(directive: CacheControl, cache: &Cache, body: &Body) -> [Result<u64, Failed>; 2] {
    let inner = directive.scope(below(cache, body, 1)).await;
    [inner, below(cache, body, 1).await]
}

#[tokio::test]
async fn the_innermost_directive_counts_and_ends_with_its_scope() {
    for cache in Stores::start().await.both() {
        let (_, body) = warm(cache).await;
        let values = NoCache.scope(twice(NoStore, cache, &body)).await;
        assert_eq!(values, [Ok(2), Ok(3)]);
        assert_eq!(below(cache, &body, 1).await, Ok(3), "the outer one stored");
        let values = NoStore.scope(twice(NoCache, cache, &body)).await;
        assert_eq!(values, [Ok(4), Ok(5)]);
        assert_eq!(below(cache, &body, 1).await, Ok(4), "the inner one stored");
    }
}

/// What may be done and what is told are different questions: a scope for one hides no other.
#[tokio::test]
async fn scopes_of_different_kinds_add_up() {
    for cache in Stores::start().await.both() {
        let (_, body) = warm(cache).await;
        let call = || below(cache, &body, 1);
        for directive in [NoStore, NoCache] {
            assert_eq!(only_if_cached(directive.scope(call())).await, None);
            assert_eq!(directive.scope(only_if_cached(call())).await, None);
        }
        assert_eq!(body.runs(), 1);
        let told = Outcome::of(only_if_cached(call())).await;
        assert_eq!((told.value, told.source), (Some(Ok(1)), Source::Hit));
        let told = only_if_cached(Outcome::of(call())).await.expect("a hit");
        assert_eq!((told.value, told.source), (Ok(1), Source::Hit));
        let told = Outcome::of(NoStore.scope(call())).await;
        assert_eq!((told.value, told.source), (Ok(2), Source::Bypass));
        let told = NoStore.scope(Outcome::of(call())).await;
        assert_eq!((told.value, told.source), (Ok(3), Source::Bypass));
        let told = NoCache.scope(Outcome::of(call())).await;
        assert_eq!((told.value, told.source), (Ok(4), Source::Miss));
        assert_idle(cache);
    }
}
