//! `NoCache` recomputes, stores and revokes; `NoStore` goes round the cache.

use cache_runtime::CacheControl::{NoCache, NoStore};
use cache_runtime::{Cache, Outcome, only_if_cached, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{
    Body, RedisServer, Stores, at_every_poll, eventually, patient, poll_n_then_drop,
};

use crate::scene::{assert_idle, below, below_entry, stats};

async fn until_waiting(cache: &Cache, callers: usize) {
    eventually("the callers to wait", SOON, async || {
        cache.stats().waiting == callers
    })
    .await;
}

fn call(
    cache: &Cache,
    body: &Body,
    id: u64,
) -> impl Future<Output = Result<u64, Failed>> + Send + use<> {
    let (cache, body) = (cache.clone(), body.clone());
    async move { below(&cache, &body, id).await }
}

#[tokio::test]
async fn no_store_neither_answers_from_the_cache_nor_stores() {
    #[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
    async fn round_it(cache: &Cache, body: &Body) -> Result<u64, Failed> {
        body.run().await
    }
    for cache in Stores::start().await.both() {
        let body = Body::new();
        assert_eq!(NoStore.scope(round_it(cache, &body)).await, Ok(1));
        let stored = round_it_entry(cache).get().await.expect("a cache");
        assert_eq!(stored, None, "it does not store");
        assert_eq!(round_it(cache, &body).await, Ok(2));
        assert_eq!(NoStore.scope(round_it(cache, &body)).await, Ok(3));
        assert_eq!(round_it(cache, &body).await, Ok(2), "it takes nothing away");
        body.fail_next(1);
        assert!(NoStore.scope(round_it(cache, &body)).await.is_err());
        assert_eq!(round_it(cache, &body).await, Ok(2));
    }
    let stats = stats("round_it");
    assert_eq!((stats.bypassed, stats.hits, stats.misses), (6, 4, 2));
    assert_eq!(stats.body_runs, 8);
}

#[tokio::test]
async fn no_store_joins_no_flight_and_is_none() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        let leader = tokio::spawn(call(cache, &body, 1));
        body.wait_until_running(1).await;
        let round = tokio::spawn(NoStore.scope(call(cache, &body, 1)));
        body.wait_until_running(2).await;
        let waiter = tokio::spawn(call(cache, &body, 1));
        until_waiting(cache, 1).await;
        body.let_through(2);
        assert_eq!(round.await.expect("no panic"), Ok(2));
        assert_eq!(cache.stats().waiting, 1, "its outcome is its own");
        body.open_gate();
        assert_eq!(leader.await.expect("no panic"), Ok(1));
        assert_eq!(waiter.await.expect("no panic"), Ok(1));

        let body = Body::gated();
        let round = tokio::spawn(NoStore.scope(call(cache, &body, 2)));
        body.wait_until_running(1).await;
        assert_idle(cache);
        let leader = tokio::spawn(call(cache, &body, 2));
        body.wait_until_running(2).await;
        body.open_gate();
        assert_eq!(round.await.expect("no panic"), Ok(1));
        assert_eq!(leader.await.expect("no panic"), Ok(2));
        assert_eq!(below(cache, &body, 2).await, Ok(2));
    }
}

#[tokio::test]
async fn no_cache_recomputes_and_stores() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        assert_eq!(NoCache.scope(below(cache, &body, 1)).await, Ok(1));
        assert_eq!(below(cache, &body, 1).await, Ok(1), "it stores");
        assert_eq!(NoCache.scope(below(cache, &body, 1)).await, Ok(2));
        assert_eq!(below(cache, &body, 1).await, Ok(2));
        body.fail_next(1);
        assert_eq!(
            NoCache.scope(below(cache, &body, 1)).await,
            Err(Failed { run: 3 }),
            "an error is not covered by what is stored"
        );
        assert_eq!(below(cache, &body, 1).await, Ok(2), "and not stored");
        assert_idle(cache);
    }
}

#[tokio::test]
async fn no_cache_takes_away_what_is_no_longer_worth_storing() {
    #[redis_cached(ttl = 300, cache_if = |run| *run != 2, skip(cache, body), cache = cache)]
    async fn picky(cache: &Cache, body: &Body) -> Result<u64, Failed> {
        body.run().await
    }
    for cache in Stores::start().await.both() {
        let body = Body::new();
        assert_eq!(picky(cache, &body).await, Ok(1));
        assert_eq!(NoCache.scope(picky(cache, &body)).await, Ok(2));
        assert_eq!(picky(cache, &body).await, Ok(3));
        assert_eq!(picky(cache, &body).await, Ok(3));
    }
}

/// A body that began before the scope has read the source of before it.
#[tokio::test]
async fn no_cache_waits_for_no_body_that_runs_and_takes_its_right_to_store() {
    for cache in Stores::start().await.both() {
        for earlier_ends_first in [true, false] {
            let id = u64::from(earlier_ends_first);
            let body = Body::gated();
            let earlier = tokio::spawn(call(cache, &body, id));
            body.wait_until_running(1).await;
            let waiter = tokio::spawn(call(cache, &body, id));
            until_waiting(cache, 1).await;
            let anew = tokio::spawn(NoCache.scope(call(cache, &body, id)));
            body.wait_until_running(2).await;
            // It begins after the scope, so it may not have what began before.
            let late = tokio::spawn(call(cache, &body, id));
            eventually("it to wait for the new body", SOON, async || {
                cache.stats().waiting == 1 && cache.stats().flights == 1
            })
            .await;
            if earlier_ends_first {
                body.let_through(1);
                assert_eq!(earlier.await.expect("no panic"), Ok(1), "its own body's");
                let stored = below_entry(cache, id).get().await.expect("a cache");
                assert_eq!(stored, None, "what began before is not stored");
                body.open_gate();
                assert_eq!(anew.await.expect("no panic"), Ok(2));
            } else {
                body.let_through(2);
                assert_eq!(anew.await.expect("no panic"), Ok(2));
                assert_eq!(below(cache, &body, id).await, Ok(2));
                body.open_gate();
                assert_eq!(earlier.await.expect("no panic"), Ok(1), "its own body's");
            }
            // Who came while the first body ran may have neither its outcome, which nobody could prove,
            // nor the second one's flight, and so begins a third where it finds nothing stored.
            let waited = waiter.await.expect("no panic").expect("no failure");
            for value in [late.await.expect("no panic"), below(cache, &body, id).await] {
                assert!([Ok(2), Ok(3)].contains(&value), "{value:?}");
            }
            assert!((2..=3).contains(&waited), "{waited}");
            assert!(body.runs() <= 3, "{} runs", body.runs());
            assert_idle(cache);
        }
    }
}

#[tokio::test]
async fn no_cache_takes_the_right_to_store_from_other_processes() {
    let server = RedisServer::start().await;
    let (here, there) = (patient(&server.url()), patient(&server.url()));
    let body = Body::gated();
    let earlier = tokio::spawn(call(&there, &body, 1));
    body.wait_until_running(1).await;
    let anew = tokio::spawn(NoCache.scope(call(&here, &body, 1)));
    body.wait_until_running(2).await;
    body.let_through(1);
    assert_eq!(earlier.await.expect("no panic"), Ok(1));
    let stored = below_entry(&there, 1).get().await.expect("a cache");
    assert_eq!(stored, None);
    body.open_gate();
    assert_eq!(anew.await.expect("no panic"), Ok(2));
    assert_eq!(below(&there, &body, 1).await, Ok(2));
}

#[tokio::test]
async fn two_calls_under_no_cache_both_run() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        let both = [(); 2].map(|()| tokio::spawn(NoCache.scope(call(cache, &body, 1))));
        body.wait_until_running(2).await;
        body.open_gate();
        let mut values = vec![];
        for one in both {
            values.push(one.await.expect("no panic").expect("no failure"));
        }
        values.sort_unstable();
        assert_eq!(values, [1, 2], "each has its own body's");
        assert_idle(cache);
    }
}

#[tokio::test]
async fn no_cache_dropped_at_each_of_its_awaits_leaves_a_cache_that_works() {
    for cache in Stores::start().await.both() {
        let (_, outcome) = at_every_poll(async |n| {
            let (body, id) = (Body::gated(), n as u64);
            body.let_through(1);
            assert_eq!(below(cache, &body, id).await, Ok(1));
            body.open_gate();
            let anew = NoCache.scope(below(cache, &body, id));
            let outcome = poll_n_then_drop(anew, n).await;
            let after = below(cache, &body, id).await.expect("no failure");
            assert!([1, 2].contains(&after), "{after} after {n} polls");
            assert!(outcome.is_none() || after == 2);
            eventually("nothing to be left over", SOON, async || {
                cache.stats().flights == 0
            })
            .await;
            outcome
        })
        .await;
        assert_eq!(outcome, Ok(2));
    }
}

#[tokio::test]
async fn a_directive_governs_entries_that_compute() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = below_entry(cache, 1);
        let compute = || entry.get_or_compute(|| body.run());
        assert_eq!(compute().await, Ok(1));
        assert_eq!(NoStore.scope(compute()).await, Ok(2));
        assert_eq!(compute().await, Ok(1));
        assert_eq!(NoCache.scope(compute()).await, Ok(3));
        assert_eq!(compute().await, Ok(3));
        // What is asked for or stored by name is.
        let stored = NoStore.scope(entry.get()).await.expect("a cache");
        assert_eq!(stored, Some(3));
        NoStore.scope(entry.put(&7)).await.expect("a cache");
        assert_eq!(compute().await, Ok(7));
    }
}

#[tokio::test]
async fn what_a_scope_costs_in_commands() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    below(&cache, &body, 1).await.expect("no failure");
    let log = server.command_log().await;
    let mut seen = 0;
    let mut sent = async || {
        let lines = log.settled().await;
        let new = lines[seen..].to_vec();
        seen = lines.len();
        new
    };
    assert_eq!(below(&cache, &body, 1).await, Ok(1));
    let hit = sent().await;
    assert_eq!(hit.len(), 1, "without a scope a hit is GET alone: {hit:?}");
    assert!(hit[0].starts_with(r#""GET""#), "{hit:?}");
    NoStore
        .scope(below(&cache, &body, 1))
        .await
        .expect("no failure");
    assert_eq!(sent().await, [""; 0], "a call round the cache asks nothing");
}

/// Each scope adds a few words to its future, and does not double it.
#[test]
fn what_a_scope_costs_in_size() {
    let (cache, body) = (cache_tests::in_memory(), Body::new());
    let call = || below(&cache, &body, 1);
    let alone = size_of_val(&call());
    let scoped = [
        size_of_val(&NoStore.scope(call())),
        size_of_val(&NoStore.scope(NoCache.scope(call()))) - 300,
        size_of_val(&only_if_cached(call())),
        size_of_val(&Outcome::of(call())),
    ];
    for size in scoped {
        assert!(size < alone + 300, "{alone} bytes, {scoped:?} in scopes");
    }
}
