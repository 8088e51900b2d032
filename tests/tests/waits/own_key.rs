//! Bodies that ask for their own key.

use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cache_runtime::{Cache, CacheControl, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Logs, Stores, within};

use tokio::sync::Barrier;

use crate::SHORT;

const HOUR: Duration = Duration::from_secs(3600);
const ASKS: &str = "asks for its own key";

/// Caches whose bound no test lives to see, so that nothing else ends a wait.
async fn endless() -> Stores {
    Stores::with(|builder| builder.run_wait(HOUR)).await
}

fn endless_in_memory() -> Cache {
    let builder = Cache::builder().in_memory().run_wait(HOUR);
    builder.build().expect("a store in this process")
}

#[redis_cached(ttl = 60, skip(cache, again), cache = cache)]
async fn value(cache: &Cache, id: u32, again: bool) -> u32 {
    if again {
        Box::pin(value(cache, id, false)).await + 1
    } else {
        id
    }
}

#[redis_cached(ttl = 60, none_ttl = 60, skip(cache, again), cache = cache)]
async fn option(cache: &Cache, id: u32, again: bool) -> Option<u32> {
    match again {
        true => Box::pin(option(cache, id, false)).await,
        false => Some(id),
    }
}

#[redis_cached(ttl = 60, skip(cache, again), cache = cache)]
async fn result(cache: &Cache, id: u32, again: bool) -> Result<u32, Failed> {
    match again {
        true => Box::pin(result(cache, id, false)).await,
        false => Ok(id),
    }
}

#[redis_cached(ttl = 60, skip(cache, again), cache = cache)]
async fn result_of_option(cache: &Cache, id: u32, again: bool) -> Result<Option<u32>, Failed> {
    match again {
        true => Box::pin(result_of_option(cache, id, false)).await,
        false => Ok(Some(id)),
    }
}

#[redis_cached(ttl = 60, skip(cache, again), cache = cache, coalesce = "cluster")]
async fn clustered(cache: &Cache, id: u32, again: bool) -> u32 {
    match again {
        true => Box::pin(clustered(cache, id, false)).await,
        false => id,
    }
}

trait Ids {
    async fn id(&self, id: u32, again: bool) -> u32;
}

struct Source<'a>(&'a Cache);

impl Ids for Source<'_> {
    #[redis_cached(ttl = 60, trait_impl, skip(self, again), cache = self.0)]
    async fn id(&self, id: u32, again: bool) -> u32 {
        match again {
            true => Box::pin(self.id(id, false)).await,
            false => id,
        }
    }
}

#[tokio::test]
async fn a_call_in_a_body_of_its_own_key_runs_the_body() {
    let stores = endless().await;
    for cache in stores.both() {
        let all = async {
            assert_eq!(value(cache, 4, true).await, 5);
            assert_eq!(value(cache, 4, true).await, 5, "the outer one is stored");
            assert_eq!(option(cache, 4, true).await, Some(4));
            assert_eq!(result(cache, 4, true).await, Ok(4));
            assert_eq!(result_of_option(cache, 4, true).await, Ok(Some(4)));
            assert_eq!(clustered(cache, 4, true).await, 4);
            assert_eq!(Source(cache).id(4, true).await, 4);
        };
        within("no call to wait for itself", SOON, all).await;
        assert_eq!((cache.stats().flights, cache.stats().waiting), (0, 0));
    }
    let stats = crate::stats("result");
    assert_eq!((stats.body_runs, stats.misses), (4, 4), "two in each store");
}

#[redis_cached(ttl = 60, skip(cache, depth), cache = cache)]
async fn one(cache: &Cache, id: u32, depth: u32) -> u32 {
    match depth {
        0 => id,
        _ => Box::pin(other(cache, id, depth - 1)).await + 1,
    }
}

#[redis_cached(ttl = 60, skip(cache, depth), cache = cache)]
async fn other(cache: &Cache, id: u32, depth: u32) -> u32 {
    match depth {
        0 => id,
        _ => Box::pin(one(cache, id, depth - 1)).await + 1,
    }
}

#[tokio::test]
async fn a_key_that_is_asked_for_through_another_function_is_found_too() {
    for cache in endless().await.both() {
        let call = within("no call to wait for itself", SOON, one(cache, 10, 5));
        assert_eq!(call.await, 15);
        // What joined no flight stored nothing.
        assert_eq!(other(cache, 10, 0).await, 14);
        assert_eq!(one(cache, 10, 0).await, 15);
    }
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn side_by_side(cache: &Cache, id: u32, outer: bool) -> u32 {
    if !outer {
        return id;
    }
    // Two keys, each with a flight, of which none is the task's own.
    let (one, same, other) = tokio::join!(
        Box::pin(side_by_side(cache, id, false)),
        Box::pin(side_by_side(cache, id, false)),
        Box::pin(side_by_side(cache, id + 1, false)),
    );
    one + same + other
}

#[tokio::test]
async fn other_keys_in_a_body_have_flights_as_ever() {
    let cache = endless_in_memory();
    let call = within(
        "no call to wait for itself",
        SOON,
        side_by_side(&cache, 1, true),
    );
    assert_eq!(call.await, 4);
    let stats = crate::stats("side_by_side");
    assert_eq!((stats.body_runs, stats.hits + stats.coalesced), (3, 1));
}

#[redis_cached(ttl = 60, skip(cache, depth), cache = cache)]
async fn recomputed(cache: &Cache, id: u32, depth: u32) -> u32 {
    match depth {
        0 => id,
        _ => Box::pin(recomputed(cache, id, depth - 1)).await + 1,
    }
}

#[tokio::test]
async fn a_body_that_recomputes_its_own_key_takes_it_over() {
    for cache in endless().await.both() {
        let call = CacheControl::NoCache.scope(recomputed(cache, 1, 3));
        assert_eq!(within("no call to wait for itself", SOON, call).await, 4);
    }
}

/// The entry of what has no attribute: the same path, by hand.
#[tokio::test]
async fn get_or_compute_in_the_body_of_its_own_entry_runs_the_body() {
    let cache = endless_in_memory();
    let entry = value_entry(&cache, 6);
    let call = entry.get_or_compute(|| async {
        let inner = entry.get_or_compute(|| async { 1 }).await;
        entry.refresh(async { inner + 1 }).await + 1
    });
    assert_eq!(within("no call to wait for itself", SOON, call).await, 3);
    // What was refreshed inside took the key over, so the outer body has lost the right to store.
    assert_eq!(entry.get().await.expect("a cache"), Some(2));
}

#[redis_cached(ttl = 60, skip(cache, again), cache = cache)]
async fn logged(cache: &Cache, id: u32, again: bool) -> u32 {
    match again {
        true => Box::pin(logged(cache, id, false)).await,
        false => id,
    }
}

#[tokio::test]
async fn the_log_names_the_function_once_and_no_key() {
    let (logs, _guard) = Logs::of_this_thread();
    let cache = endless_in_memory();
    for id in 2_718_281..2_718_291 {
        let call = within("no call to wait for itself", SOON, logged(&cache, id, true));
        assert_eq!(call.await, id);
    }
    let lines = logs.lines_with(ASKS);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("function=logged"),
        "{lines:?}"
    );
    assert!(!lines[0].contains("27182"), "{lines:?}");
}

#[redis_cached(ttl = 60, skip(cache, depth, ready), cache = cache)]
async fn ping(cache: &Cache, id: u32, depth: u32, ready: &Barrier) -> u32 {
    if depth == 2 {
        ready.wait().await;
    }
    match depth {
        0 => id,
        _ => Box::pin(pong(cache, id, depth - 1, ready)).await + 1,
    }
}

#[redis_cached(ttl = 60, skip(cache, depth, ready), cache = cache)]
async fn pong(cache: &Cache, id: u32, depth: u32, ready: &Barrier) -> u32 {
    if depth == 2 {
        ready.wait().await;
    }
    match depth {
        0 => id,
        _ => Box::pin(ping(cache, id, depth - 1, ready)).await + 1,
    }
}

#[tokio::test]
async fn two_functions_whose_bodies_wait_for_each_other_end_with_the_bound() {
    let stores = Stores::with(|builder| builder.run_wait(SHORT)).await;
    for cache in stores.both() {
        let ready = Barrier::new(2);
        // Each leads its key, and then asks for the other's.
        let both = async { tokio::join!(ping(cache, 10, 2, &ready), pong(cache, 10, 2, &ready)) };
        let (one, other) = within("nobody to wait for ever", SOON, both).await;
        // Whoever ends first may be the answer that the other waits for.
        assert_eq!(one.min(other), 12);
        assert!(one.max(other) <= 13, "{one}, {other}");
        // Nor does anybody who comes later.
        let later = async {
            (
                ping(cache, 10, 0, &ready).await,
                pong(cache, 10, 0, &ready).await,
            )
        };
        within("later callers to be answered", SOON, later).await;
        assert_eq!((cache.stats().flights, cache.stats().waiting), (0, 0));
    }
}

/// Asks for its key when it is dropped, and says whether that call had an answer at once.
struct AsksAtTheEnd {
    cache: Cache,
    told: mpsc::Sender<Poll<u32>>,
}

impl Drop for AsksAtTheEnd {
    fn drop(&mut self) {
        let mut call = pin!(asks_at_the_end(&self.cache, 1, None));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.told.send(polled).expect("the test waits");
    }
}

#[redis_cached(ttl = 60, skip(cache, told), cache = cache)]
async fn asks_at_the_end(cache: &Cache, id: u32, told: Option<mpsc::Sender<Poll<u32>>>) -> u32 {
    if let Some(told) = told {
        let _asks = AsksAtTheEnd {
            cache: cache.clone(),
            told,
        };
        std::future::pending::<()>().await;
    }
    id
}

#[tokio::test]
async fn a_body_that_is_given_up_may_ask_for_its_key_where_its_locals_are_dropped() {
    let (cache, (told, asked)) = (endless_in_memory(), mpsc::channel());
    let mut call = Box::pin(asks_at_the_end(&cache, 1, Some(told)));
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(call);
    assert_eq!(asked.try_recv(), Ok(Poll::Ready(1)));
    // The flight has ended with the body that led it.
    assert_eq!(asks_at_the_end(&cache, 1, None).await, 1);
}

/// A body by hand. It has something that is dropped with it, also where it has ended before.
struct ByHand {
    panics: bool,
    _asks: AsksAtTheEnd,
}

impl Future for ByHand {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        assert!(!self.panics, "panics as it was told");
        Poll::Ready(2)
    }
}

#[tokio::test]
async fn a_body_that_has_ended_may_ask_for_its_key_where_it_is_dropped() {
    for panics in [false, true] {
        let (cache, (told, asked)) = (endless_in_memory(), mpsc::channel());
        let its = cache.clone();
        let call = tokio::spawn(async move {
            let cache = its.clone();
            let _asks = AsksAtTheEnd { cache, told };
            let entry = asks_at_the_end_entry(&its, 1);
            entry.get_or_compute(|| ByHand { panics, _asks }).await
        });
        let outcome = call.await.map_err(|error| error.is_panic());
        assert_eq!(outcome, if panics { Err(true) } else { Ok(2) });
        assert_eq!(asked.try_recv(), Ok(Poll::Ready(1)));
        assert_eq!(cache.stats().flights, 0);
    }
}
