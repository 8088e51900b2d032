//! The order in which a cache is found, by calls, entries and `get_cache` alike.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_runtime::CacheControl::{NoCache, NoStore};
use cache_runtime::{Cache, Outcome, Source, get_cache, only_if_cached, redis_cached, set_cache};
use cache_tests::Stores;
use cache_tests::child::{self, Child};

use crate::scene::{assert_found, current_thread, named, number, number_entry};

/// As `number`, in a cache that it names.
#[redis_cached(ttl = 300, key = "number:{id}", skip(cache, source), cache = cache)]
async fn number_in(cache: &Cache, source: u64, id: u64) -> u64 {
    source
}

const TTL: Duration = Duration::from_secs(300);
const GLOBAL: u64 = 1;
const RUNTIME: u64 = 2;
const SCOPE: u64 = 3;
const INNER: u64 = 4;
const NAMED: u64 = 5;

/// Each of these has a value of its own for one key, and who asks says whose it was.
async fn each_finds_its_own(hits: impl AsyncFn(u64)) {
    let (runtime, scope, inner, own) = (
        named("runtime"),
        named("scope"),
        named("inner"),
        named("own"),
    );
    let put = async |cache: &Cache, value: u64| {
        let put = cache.set_ex("number:1", &value, TTL).await;
        put.expect("a store in this process");
    };
    put(&runtime, RUNTIME).await;
    put(&scope, SCOPE).await;
    put(&inner, INNER).await;
    put(&own, NAMED).await;
    let asks = async |prefix: &str, value: u64| {
        assert_found(prefix).await;
        hits(value).await;
        assert_eq!(number_in(&own, 0, 1).await, NAMED);
    };
    // Twice, because what is found must not depend on what was.
    for _ in 0..2 {
        asks("global", GLOBAL).await;
        scope.scope(asks("scope", SCOPE)).await;
        let guard = runtime.install_in_this_runtime();
        asks("runtime", RUNTIME).await;
        let nested = async {
            asks("scope", SCOPE).await;
            inner.scope(asks("inner", INNER)).await;
            asks("scope", SCOPE).await;
        };
        scope.scope(nested).await;
        asks("runtime", RUNTIME).await;
        drop(guard);
        asks("global", GLOBAL).await;
    }
}

#[test]
fn a_cache_is_found_in_the_same_order_by_all_who_ask() {
    if child::role().is_none() {
        let name = "order::a_cache_is_found_in_the_same_order_by_all_who_ask";
        Child::of_test(name).run().assert_passed();
        return;
    }
    current_thread().block_on(async {
        set_cache(named("global"));
        let put = number_entry(1).put(&GLOBAL).await;
        put.expect("a store in this process");
        each_finds_its_own(async |value| {
            // The source has another value, so each is a hit.
            assert_eq!(number(0, 1).await, value);
        })
        .await;
        each_finds_its_own(async |value| {
            let outcome = Outcome::of(number(0, 1)).await;
            assert_eq!((outcome.value, outcome.source), (value, Source::Hit));
            assert_eq!(only_if_cached(number(0, 1)).await, Some(value));
            assert_eq!(NoStore.scope(number(0, 1)).await, 0);
            assert_eq!(NoCache.scope(number(value, 1)).await, value);
        })
        .await;
        each_finds_its_own(async |value| {
            let entry = number_entry(1);
            assert_eq!(entry.get().await.expect("a store"), Some(value));
            assert!(entry.ttl().await.expect("a store").is_some());
            entry.invalidate().await.expect("a store");
            assert_eq!(entry.get().await.expect("a store"), None);
            assert_eq!(entry.refresh(async { value }).await, value);
            entry.invalidate_logged().await;
            assert_eq!(entry.get_or_compute(async || value).await, value);
            let (_, put) = entry.put_with(async { value }).await;
            put.expect("a store");
            entry.put(&value).await.expect("a store");
        })
        .await;
        each_finds_its_own(async |value| {
            let cache = get_cache().await.expect("a cache");
            let got = cache.get::<u64>("number:1").await;
            assert_eq!(got.expect("a store"), Some(value));
        })
        .await;
    });
}

/// The first poll of a hit in process, and all that comes after a look that finds nothing, ask one after the other.
#[test]
fn a_hit_and_a_miss_find_the_same_cache_where_the_first_one_was_replaced() {
    if child::role().is_none() {
        let name = "order::a_hit_and_a_miss_find_the_same_cache_where_the_first_one_was_replaced";
        Child::of_test(name).run().assert_passed();
        return;
    }
    current_thread().block_on(async {
        let first = named("first");
        set_cache(first.clone());
        assert_eq!(number(1, 1).await, 1);
        let guard = named("runtime").install_in_this_runtime();
        assert_eq!(number(2, 1).await, 2, "a miss in another cache");
        set_cache(named("second"));
        assert_eq!(number(3, 1).await, 2, "a hit there");
        assert_eq!(first.scope(number(3, 1)).await, 1);
        drop(guard);
        assert_found("second").await;
        assert_eq!(number(4, 1).await, 4);
        assert_eq!(number(5, 1).await, 4);
        set_cache(first);
        assert_eq!(number(5, 1).await, 1);
    });
}

/// No global cache is made where another one is found.
#[test]
fn the_environment_is_not_asked_for_a_cache_that_nobody_uses() {
    if child::role().is_none() {
        let name = "order::the_environment_is_not_asked_for_a_cache_that_nobody_uses";
        let child = Child::of_test(name).env("REDIS_URL", "nonsense");
        child.run().assert_passed();
        return;
    }
    current_thread().block_on(async {
        named("scope").scope(assert_found("scope")).await;
        let guard = named("runtime").install_in_this_runtime();
        assert_eq!(number(1, 1).await, 1);
        assert_eq!(number(2, 1).await, 1);
        assert_found("runtime").await;
        drop(guard);
        assert!(get_cache().await.expect_err("nonsense").is_config());
    });
}

#[tokio::test]
async fn an_entry_finds_its_cache_when_it_is_used() {
    let (one, other) = (named("one"), named("other"));
    let entry = number_entry(1);
    // It is used when it is called, because the value is only lent.
    let (put,) = one.scope(async { (entry.put(&1),) }).await;
    other.scope(put).await.expect("a store in this process");
    for (cache, value) in [(&one, Some(1)), (&other, None)] {
        let got = cache.scope(entry.get()).await;
        assert_eq!(got.expect("a store in this process"), value);
    }
}

#[tokio::test]
async fn a_scope_has_either_store_and_one_that_is_off() {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    #[redis_cached(ttl = 300)]
    async fn run() -> u64 {
        RUNS.fetch_add(1, Relaxed) + 1
    }
    let stores = Stores::start().await;
    for cache in stores.both() {
        let first = cache.scope(run()).await;
        for _ in 0..3 {
            assert_eq!(cache.scope(run()).await, first);
        }
        assert_eq!(Cache::off().scope(run()).await, first + 1);
        let guard = Cache::off().install_in_this_runtime();
        assert_eq!(run().await, first + 2);
        assert_eq!(cache.scope(run()).await, first);
        drop(guard);
    }
}
