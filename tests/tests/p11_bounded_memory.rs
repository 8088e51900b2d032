//! P11: memory is bounded by configuration: flights end, the in-process store is bounded, labels
//! are bounded by sites.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{Cache, StoreStats, redis_cached, sites};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{
    Body, Child, Proxy, RedisServer, Stores, child, eventually, in_memory, patient,
    poll_n_then_drop,
};
use tokio::task::JoinSet;

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn number(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await.map(|_| id)
}

fn entries(cache: &Cache) -> u64 {
    match cache.stats().store {
        StoreStats::Memory { entries, .. } => entries,
        other => panic!("not in process: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p11_flights_end_however_they_end() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let mut callers = JoinSet::new();
        for id in 0..300 {
            match id % 3 {
                0 => body.fail_next(1),
                1 => body.panic_next(1),
                _ => {}
            }
            for caller in 0..4 {
                let (cache, body) = (cache.clone(), body.clone());
                let polls = if caller == 3 { 1 } else { usize::MAX };
                callers
                    .spawn(async move { poll_n_then_drop(number(&cache, &body, id), polls).await });
            }
        }
        while callers.join_next().await.is_some() {}
        eventually("the flights to end", SOON, async || {
            let stats = cache.stats();
            (stats.flights, stats.waiting) == (0, 0)
        })
        .await;
    }
}

#[tokio::test]
async fn p11_flights_end_when_the_store_does_not_answer() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let timeout = Duration::from_millis(50);
    let builder = Cache::builder().url(proxy.url()).timeout(timeout);
    let cache = builder.build().expect("a valid URL");
    proxy.swallow();
    let body = Body::new();
    let callers: JoinSet<_> = (0..200)
        .map(|id| {
            let (cache, body) = (cache.clone(), body.clone());
            async move { number(&cache, &body, id % 10).await }
        })
        .collect();
    for outcome in callers.join_all().await {
        outcome.expect("a body that returns");
    }
    eventually("the flights to end", SOON, async || {
        let stats = cache.stats();
        (stats.flights, stats.waiting) == (0, 0)
    })
    .await;
}

#[tokio::test]
async fn p11_the_in_process_store_stays_within_its_capacity() {
    const CAPACITY: u64 = 100;
    let builder = Cache::builder().in_memory().memory_capacity(CAPACITY);
    let cache = builder.build().expect("a cache");
    let body = Body::new();
    for id in 0..5_000 {
        assert_eq!(number(&cache, &body, id).await, Ok(id));
        if id % 500 == 0 {
            assert!(entries(&cache) <= CAPACITY);
        }
    }
    assert!(entries(&cache) <= CAPACITY, "{} entries", entries(&cache));
    assert!(entries(&cache) > 0);
    for id in 0..5_000 {
        let put = number_entry(&cache, id).put(&id);
        put.await.expect("a store in this process");
    }
    assert!(entries(&cache) <= CAPACITY, "{} entries", entries(&cache));
}

#[tokio::test]
async fn p11_an_expired_entry_is_gone_from_the_in_process_store() {
    #[redis_cached(ttl = Duration::from_millis(20), skip(cache), cache = cache)]
    async fn brief(cache: &Cache, id: u64) -> u64 {
        id
    }
    let cache = in_memory();
    for id in 0..100 {
        brief(&cache, id).await;
    }
    eventually("the entries to go", SOON, async || entries(&cache) == 0).await;
}

#[tokio::test]
async fn p11_labels_are_bounded_by_sites() {
    #[redis_cached(ttl = 300, skip(cache), cache = cache)]
    async fn many_keys(cache: &Cache, id: u64) -> u64 {
        id
    }
    let cache = in_memory();
    many_keys(&cache, 0).await;
    let listed = || {
        let of_this = |site: &cache_runtime::SiteInfo| site.function == "many_keys";
        sites().into_iter().filter(of_this).count()
    };
    assert_eq!(listed(), 1);
    for id in 0..2_000 {
        many_keys(&cache, id).await;
        let entry = many_keys_entry(&cache, id + 10_000);
        entry.invalidate().await.expect("a store in this process");
        cache
            .get::<u64>(&format!("other:{id}"))
            .await
            .expect("a store in this process");
    }
    assert_eq!(listed(), 1);
    let unnamed = sites()
        .into_iter()
        .filter(|site| site.function == "Cache::entry");
    assert!(unnamed.count() <= 1, "keys are no labels");
}

/// The pages that this process has in memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).expect("a number")
}

/// In a process of its own, so that no other test's memory counts.
#[tokio::test]
async fn p11_waiters_that_went_away_during_one_long_body_leave_nothing() {
    if child::role().is_none() {
        Child::of_test("p11_waiters_that_went_away_during_one_long_body_leave_nothing")
            .run()
            .assert_passed();
        return;
    }
    let server = RedisServer::start().await;
    for (cache, waiters) in [(in_memory(), 200_000), (patient(&server.url()), 5_000)] {
        let body = Body::gated();
        let task = (cache.clone(), body.clone());
        let leader = tokio::spawn(async move { number(&task.0, &task.1, 1).await });
        body.wait_until_running(1).await;
        let come_and_go = async |n: usize| {
            for _ in 0..n {
                // On Redis its first poll sends GET, so it is dropped there or while it waits.
                let waiter = poll_n_then_drop(number(&cache, &body, 1), 1 + n % 2);
                tokio::select! {
                    biased;
                    outcome = waiter => assert_eq!(outcome, None),
                    () = std::future::ready(()) => {}
                }
            }
        };
        come_and_go(waiters / 10).await;
        let before = resident();
        come_and_go(waiters).await;
        let grown = resident().saturating_sub(before);
        // A seat takes more than a hundred bytes.
        assert!(grown < 8 * 1024, "{grown} KiB for {waiters} waiters");
        assert_eq!(cache.stats().waiting, 0);
        body.open_gate();
        assert_eq!(leader.await.expect("no panic"), Ok(1));
        assert_eq!(cache.stats().flights, 0);
    }
}
