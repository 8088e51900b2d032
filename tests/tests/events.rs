//! What a function's counters and an `Outcome` say of each thing that can happen to a call; and that the counts of two
//! caches do not mix.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::CacheControl::NoStore;
use cache_runtime::{
    Cache, ErrorKind, ManualClock, Outcome, SiteStats, Source, Tier, redis_cached, sites,
};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Proxy, RedisServer, Stores, eventually, in_memory, patient, within};
use serde::ser::{Error as _, Serialize, Serializer};

const TTL: Duration = Duration::from_secs(60);

/// What was counted of a function, without its times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    hits: u64,
    stale: u64,
    misses: u64,
    coalesced: u64,
    bypassed: u64,
    runs: u64,
    behind: u64,
    overtook: u64,
    errors: u64,
}

impl Counts {
    fn of_stats(stats: &SiteStats) -> Self {
        Self {
            hits: stats.hits,
            stale: stats.stale,
            misses: stats.misses,
            coalesced: stats.coalesced,
            bypassed: stats.bypassed,
            runs: stats.body_runs,
            behind: stats.background_runs,
            overtook: stats.overtook,
            errors: stats.errors.total(),
        }
    }

    /// In one cache.
    fn of(cache: &Cache, function: &str) -> Self {
        let sites = cache.stats().sites;
        let mut sites = sites.iter().filter(|site| site.function == function);
        let site = sites.next();
        assert!(sites.next().is_none(), "two functions are named {function}");
        site.map_or_else(Self::default, |site| Self::of_stats(&site.stats))
    }

    /// In all caches of the process.
    fn of_all(function: &str) -> Self {
        let sites = sites();
        let site = sites.iter().find(|site| site.function == function);
        site.map_or_else(Self::default, |site| Self::of_stats(&site.stats))
    }

    fn since(self, before: Self) -> Self {
        Self {
            hits: self.hits - before.hits,
            stale: self.stale - before.stale,
            misses: self.misses - before.misses,
            coalesced: self.coalesced - before.coalesced,
            bypassed: self.bypassed - before.bypassed,
            runs: self.runs - before.runs,
            behind: self.behind - before.behind,
            overtook: self.overtook - before.overtook,
            errors: self.errors - before.errors,
        }
    }
}

/// What was counted of a function in a cache since the last time that this was asked.
struct Watch<'a> {
    cache: &'a Cache,
    function: &'static str,
    last: Counts,
}

impl<'a> Watch<'a> {
    fn new(cache: &'a Cache, function: &'static str) -> Self {
        let last = Counts::of(cache, function);
        Self {
            cache,
            function,
            last,
        }
    }

    #[track_caller]
    fn assert(&mut self, what: &str, expected: Counts) {
        let now = Counts::of(self.cache, self.function);
        assert_eq!(now.since(self.last), expected, "{what}");
        self.last = now;
    }
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 600,
    skip(cache, body),
    cache = cache
)]
async fn everything(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// What a call says of where its answer was from, how old that is, and how long it is fresh.
async fn told<T>(
    call: impl Future<Output = T>,
) -> (Source, Option<Tier>, Option<Duration>, Option<Duration>) {
    let outcome = Outcome::of(call).await;
    let has_key = outcome.source != Source::Bypass;
    assert_eq!(outcome.key.is_some(), has_key, "{:?}", outcome.key);
    (outcome.source, outcome.tier, outcome.age, outcome.ttl)
}

/// Calls `everything` on a task of its own.
fn spawned(
    cache: &Cache,
    body: &Body,
    id: u64,
) -> tokio::task::JoinHandle<Outcome<Result<u64, Failed>>> {
    let (cache, body) = (cache.clone(), body.clone());
    tokio::spawn(async move { Outcome::of(everything(&cache, &body, id)).await })
}

#[tokio::test]
async fn each_thing_that_happens_is_counted_and_told_as_it_is() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for (cache, tier) in stores.both().into_iter().zip([Tier::Process, Tier::Redis]) {
        let (body, tier) = (Body::new(), Some(tier));
        let mut watch = Watch::new(cache, "everything");
        let none = Counts::default();
        let miss = Counts {
            misses: 1,
            runs: 1,
            ..none
        };

        let stored = told(everything(cache, &body, 1)).await;
        assert_eq!(
            stored,
            (Source::Miss, None, Some(Duration::ZERO), Some(TTL))
        );
        watch.assert("a miss whose value is stored", miss);

        clock.advance(Duration::from_secs(1));
        let hit = told(everything(cache, &body, 1)).await;
        let (old, left) = (Duration::from_secs(1), TTL - Duration::from_secs(1));
        assert_eq!(hit, (Source::Hit, tier, Some(old), Some(left)));
        assert_eq!(everything(cache, &body, 1).await, Ok(1));
        watch.assert("hits", Counts { hits: 2, ..none });

        clock.advance(TTL);
        body.shut_gate();
        let stale = told(everything(cache, &body, 1)).await;
        let old = TTL + Duration::from_secs(1);
        assert_eq!(
            stale,
            (Source::Stale, tier, Some(old), Some(Duration::ZERO))
        );
        body.wait_until_running(1).await;
        let refreshed = Counts {
            stale: 1,
            runs: 1,
            behind: 1,
            ..none
        };
        watch.assert("a stale answer, and its refresh", refreshed);
        body.open_gate();
        body.wait_until_idle().await;
        watch.assert("nothing more at the refresh's end", none);

        body.shut_gate();
        let leader = spawned(cache, &body, 2);
        body.wait_until_running(1).await;
        let waiter = spawned(cache, &body, 2);
        eventually("the other to wait", SOON, async || {
            cache.stats().waiting == 1
        })
        .await;
        body.open_gate();
        for call in [leader, waiter] {
            let outcome = within("the value", SOON, call).await.expect("no panic");
            assert_eq!(outcome.source, Source::Miss);
        }
        let coalesced = Counts {
            misses: 2,
            coalesced: 1,
            runs: 1,
            ..none
        };
        watch.assert("a call that another's body answered", coalesced);

        let round = told(NoStore.scope(everything(cache, &body, 2))).await;
        assert_eq!(round, (Source::Bypass, None, None, None));
        let bypass = Counts {
            bypassed: 1,
            runs: 1,
            ..none
        };
        watch.assert("a call round the cache", bypass);

        body.shut_gate();
        let revoked = spawned(cache, &body, 3);
        body.wait_until_running(1).await;
        let invalidated = everything_entry(cache, 3).invalidate().await;
        invalidated.expect("a store that answers");
        watch.assert("a run that has begun", Counts { runs: 1, ..none });
        body.open_gate();
        let outcome = within("the value", SOON, revoked).await.expect("no panic");
        assert_eq!((outcome.source, outcome.ttl), (Source::Miss, None));
        watch.assert(
            "a value that may not be stored",
            Counts { misses: 1, ..none },
        );

        body.fail_next(1);
        let failed = Outcome::of(everything(cache, &body, 4)).await;
        assert_eq!((failed.source, failed.ttl), (Source::Miss, None));
        failed.value.expect_err("as it was told");
        watch.assert("a body that failed, which is no error of the cache", miss);

        body.shut_gate();
        let dropped = spawned(cache, &body, 5);
        body.wait_until_running(1).await;
        dropped.abort();
        assert!(dropped.await.expect_err("it was dropped").is_cancelled());
        body.open_gate();
        watch.assert("a call that was dropped", Counts { runs: 1, ..none });
    }
    let sum = stores.both().map(|cache| Counts::of(cache, "everything"));
    assert_eq!(sum[0], sum[1], "both stores are counted alike");
    let all = Counts::of_all("everything");
    assert_eq!(all.since(sum[0]), sum[1], "sites() is the sum");
}

/// Has no JSON.
#[derive(Debug, Clone, serde::Deserialize)]
struct Unsaid;

impl Serialize for Unsaid {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("as the type has it"))
    }
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn unsaid(cache: &Cache) -> Unsaid {
    Unsaid
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn without_key(cache: &Cache, what: &Unsaid) -> u64 {
    7
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn cut_off(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn what_the_cache_fails_at_is_counted_where_it_happens() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = patient(&proxy.url());
    let none = Counts::default();

    let mut watch = Watch::new(&cache, "unsaid");
    let outcome = Outcome::of(unsaid(&cache)).await;
    assert_eq!((outcome.source, outcome.ttl), (Source::Miss, None));
    let refused = Counts {
        misses: 1,
        runs: 1,
        errors: 1,
        ..none
    };
    watch.assert("a value that no JSON says", refused);

    let mut watch = Watch::new(&cache, "without_key");
    let outcome = Outcome::of(without_key(&cache, &Unsaid)).await;
    assert_eq!((outcome.value, outcome.source), (7, Source::Bypass));
    let keyless = Counts {
        bypassed: 1,
        runs: 1,
        errors: 1,
        ..none
    };
    watch.assert("a call without a key", keyless);
    let entry = without_key_entry(&cache, &Unsaid);
    watch.assert("an entry of which nothing is asked", none);
    let told = entry.get().await.expect_err("no key");
    assert_eq!(told.kind(), ErrorKind::Key);
    watch.assert("an error that its caller is told", none);
    assert_eq!(entry.get_or_compute(async || 8).await, 8);
    watch.assert("a computation without a key", keyless);
    entry.invalidate_logged().await;
    watch.assert(
        "an error that the log is told",
        Counts { errors: 1, ..none },
    );

    assert_eq!(cut_off(&cache, 1).await, 1);
    let mut watch = Watch::new(&cache, "cut_off");
    proxy.refuse();
    proxy.reset();
    let cache = Cache::builder()
        .url(proxy.url())
        .timeout(Duration::from_millis(250));
    let cache = cache.build().expect("a valid URL");
    let mut elsewhere = Watch::new(&cache, "cut_off");
    assert_eq!(cut_off(&cache, 1).await, 1);
    let unreachable = Counts::of(&cache, "cut_off");
    assert_eq!((unreachable.misses, unreachable.runs), (1, 1));
    assert!(unreachable.errors > 0, "{unreachable:?}");
    elsewhere.assert("a miss whose store is out of reach", unreachable);
    let failed = cut_off_entry(&cache, 1).invalidate().await;
    failed.expect_err("nobody is there");
    elsewhere.assert("an error that its caller is told", none);
    cut_off_entry(&cache, 1).invalidate_logged().await;
    elsewhere.assert(
        "an error that the log is told",
        Counts { errors: 1, ..none },
    );
    watch.assert("nothing, in the other cache", none);
}

#[redis_cached(ttl = 60, skip(cache, body), cache = cache)]
async fn waited_for(cache: &Cache, body: &Body) -> Result<u64, Failed> {
    body.run().await
}

#[tokio::test]
async fn a_call_that_overtakes_is_counted_in_its_cache() {
    let builder = Cache::builder().in_memory();
    let builder = builder.run_wait(Duration::from_millis(20));
    let (cache, body) = (builder.build().expect("a cache"), Body::gated());
    let call = || {
        let (cache, body) = (cache.clone(), body.clone());
        tokio::spawn(async move { waited_for(&cache, &body).await })
    };
    let first = call();
    body.wait_until_running(1).await;
    let second = call();
    body.wait_until_running(2).await;
    body.open_gate();
    for call in [first, second] {
        let outcome = within("the value", SOON, call).await;
        outcome.expect("no panic").expect("a body that returns");
    }
    let counts = Counts::of(&cache, "waited_for");
    assert_eq!((counts.overtook, counts.runs), (1, 2), "{counts:?}");
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn in_two_caches(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn two_caches_do_not_mix_and_what_one_counted_outlives_it() {
    let (here, there) = (in_memory(), in_memory());
    for id in [1, 1, 1, 2] {
        assert_eq!(in_two_caches(&here, id).await, id);
    }
    let lists = |cache: &Cache| {
        let mut sites = cache.stats().sites.into_iter();
        sites.any(|site| site.function == "in_two_caches")
    };
    assert!(lists(&here) && !lists(&there), "only what a cache served");
    assert_eq!(in_two_caches(&there, 1).await, 1);
    let expected_here = Counts {
        hits: 2,
        misses: 2,
        runs: 2,
        ..Counts::default()
    };
    let expected_there = Counts {
        misses: 1,
        runs: 1,
        ..Counts::default()
    };
    assert_eq!(Counts::of(&here, "in_two_caches"), expected_here);
    assert_eq!(Counts::of(&there, "in_two_caches"), expected_there);
    let all = Counts::of_all("in_two_caches");
    assert_eq!(all.since(expected_here), expected_there);
    drop(here);
    assert_eq!(Counts::of_all("in_two_caches"), all);
    assert_eq!(Counts::of(&there, "in_two_caches"), expected_there);
    drop(there);
    assert_eq!(Counts::of_all("in_two_caches"), all);
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn after_the_end(cache: &Cache) -> u64 {
    7
}

#[tokio::test]
async fn calls_of_a_cache_that_is_shut_down_are_counted_in_it() {
    let cache = in_memory();
    cache.shutdown().await.expect("nothing is left over");
    assert_eq!(after_the_end(&cache).await, 7);
    let bypass = Counts {
        bypassed: 1,
        runs: 1,
        ..Counts::default()
    };
    assert_eq!(Counts::of(&cache, "after_the_end"), bypass);
    assert_eq!(Counts::of_all("after_the_end"), bypass);
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn by_many_threads(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_of_many_threads_is_lost() {
    const TASKS: u64 = 16;
    const CALLS: u64 = 500;
    let caches = [in_memory(), in_memory()];
    for cache in &caches {
        by_many_threads(cache, 1).await;
    }
    let tasks: tokio::task::JoinSet<_> = (0..TASKS)
        .map(|_| {
            let caches = caches.clone();
            async move {
                for call in 0..CALLS {
                    by_many_threads(&caches[(call % 2) as usize], 1).await;
                }
            }
        })
        .collect();
    within("every call", SOON, tasks.join_all()).await;
    for cache in &caches {
        let counts = Counts::of(cache, "by_many_threads");
        assert_eq!((counts.hits, counts.misses), (TASKS * CALLS / 2, 1));
    }
}
