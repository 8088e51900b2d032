//! P7: a panic reaches its own caller only. What the cache does for its own sake (keys, bytes,
//! clones, the attribute's closures) makes no call panic at all.
#![allow(missing_docs)]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache_runtime::{Cache, CacheBuilder, ErrorKind, ManualClock, SiteStats, redis_cached, sites};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Stores, eventually, within};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

fn stats(function: &str) -> SiteStats {
    let site = sites().into_iter().find(|site| site.function == function);
    site.expect("the function was called").stats
}

async fn until_waiting(cache: &Cache, callers: usize) {
    eventually("the other callers to wait", SOON, async || {
        cache.stats().waiting == callers
    })
    .await;
}

async fn all<T: 'static>(mut callers: JoinSet<T>) -> Vec<Result<T, JoinError>> {
    let mut outcomes = vec![];
    while let Some(outcome) = within("every caller to end", SOON, callers.join_next()).await {
        outcomes.push(outcome);
    }
    outcomes
}

fn panics<T>(outcomes: &[Result<T, JoinError>]) -> usize {
    let is_panic =
        |outcome: &&Result<T, JoinError>| outcome.as_ref().is_err_and(JoinError::is_panic);
    outcomes.iter().filter(is_panic).count()
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn panicking(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

fn herd(cache: &Cache, body: &Body, callers: usize) -> JoinSet<Result<u64, Failed>> {
    (0..callers)
        .map(|_| {
            let (cache, body) = (cache.clone(), body.clone());
            async move { panicking(&cache, &body, 1).await }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_panicking_body_reaches_its_own_caller_and_the_waiters_get_a_value() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        body.panic_next(1);
        let callers = herd(cache, &body, 51);
        until_waiting(cache, 50).await;
        body.open_gate();
        let outcomes = all(callers).await;
        assert_eq!(panics(&outcomes), 1);
        assert!(outcomes.iter().flatten().all(|outcome| *outcome == Ok(2)));
        assert_eq!(body.runs(), 2);
        assert_eq!(cache.stats().flights, 0);
        assert_eq!(
            panicking(cache, &body, 1).await,
            Ok(2),
            "the value is stored"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_bodies_that_all_panic_each_reach_their_own_caller() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        body.panic();
        let callers = herd(cache, &body, 20);
        until_waiting(cache, 19).await;
        body.open_gate();
        assert_eq!(panics(&all(callers).await), 20);
        assert_eq!((body.runs(), body.most_at_once()), (20, 1));
        assert_eq!(cache.stats().flights, 0);
        body.succeed();
        assert_eq!(panicking(cache, &body, 1).await, Ok(21));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_panic_in_refresh_and_get_or_compute_leaves_the_entry_as_it_was() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        assert_eq!(panicking(cache, &body, 1).await, Ok(1));
        body.panic_next(1);
        let task = (cache.clone(), body.clone());
        let refresh = tokio::spawn(async move {
            let entry = panicking_entry(&task.0, 1);
            entry.refresh(panicking_uncached(&task.0, &task.1, 1)).await
        });
        assert!(refresh.await.expect_err("a panic").is_panic());
        assert_eq!(panicking(cache, &body, 1).await, Ok(1));
        assert_eq!(cache.stats().flights, 0);
        let entry = panicking_entry(cache, 2);
        body.panic_next(1);
        let task = (cache.clone(), body.clone());
        let compute = tokio::spawn(async move {
            let entry = panicking_entry(&task.0, 2);
            entry
                .get_or_compute(|| panicking_uncached(&task.0, &task.1, 2))
                .await
        });
        assert!(compute.await.expect_err("a panic").is_panic());
        assert_eq!(entry.get().await.expect("a cache that works"), None);
        assert_eq!(cache.stats().flights, 0);
        entry.put(&7).await.expect("a cache that works");
        assert_eq!(panicking(cache, &body, 2).await, Ok(7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_closure_that_panics_where_it_makes_the_body_keeps_nobody() {
    // Nobody leads because its wait has become too long.
    let set = |builder: CacheBuilder| builder.run_wait(SOON * 10);
    for cache in Stores::with(set).await.both() {
        let (body, (begun, begins)) = (Body::new(), oneshot::channel());
        let task = (cache.clone(), body.clone());
        let leader = tokio::spawn(async move {
            let (cache, body) = task;
            let make = || {
                begun.send(()).expect("the test waits");
                let started = Instant::now();
                while cache.stats().waiting < 10 && started.elapsed() < SOON {
                    std::thread::yield_now();
                }
                if body.runs() == 0 {
                    panic!("panics before there is a body, as it was told");
                }
                panicking_uncached(&cache, &body, 1)
            };
            panicking_entry(&cache, 1).get_or_compute(make).await
        });
        begins.await.expect("the closure runs");
        let callers = herd(cache, &body, 10);
        assert!(leader.await.expect_err("a panic").is_panic());
        let outcomes = all(callers).await;
        assert!(outcomes.iter().flatten().all(|outcome| *outcome == Ok(1)));
        assert_eq!((panics(&outcomes), body.runs()), (0, 1));
        assert_eq!(cache.stats().flights, 0);
    }
}

/// A value that panics, or fails, where its text says so.
#[derive(Debug, PartialEq)]
struct Grumpy(String);

impl Clone for Grumpy {
    fn clone(&self) -> Self {
        assert!(
            !self.0.contains("clone"),
            "panics in `Clone` as it was told"
        );
        Self(self.0.clone())
    }
}

impl Serialize for Grumpy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(
            !self.0.contains("serialize"),
            "panics in `Serialize` as it was told"
        );
        if self.0.contains("refuse") {
            return Err(ser::Error::custom("refused as it was told"));
        }
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Grumpy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        assert!(
            !text.contains("unreadable"),
            "panics in `Deserialize` as it was told"
        );
        if text.contains("foreign") {
            return Err(de::Error::custom("refused as it was told"));
        }
        Ok(Self(text))
    }
}

/// As [`Grumpy`], but without `Clone`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sole(Grumpy);

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_grumpy_key(cache: &Cache, body: &Body, key: &Grumpy) -> u64 {
    let _ = key;
    body.run().await.expect("a body that returns")
}

#[tokio::test]
async fn p7_a_key_that_panics_or_fails_bypasses_the_cache() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let before = cache.stats();
        for (run, text) in [
            (1, "serialize"),
            (2, "serialize"),
            (3, "refuse"),
            (4, "refuse"),
        ] {
            let key = Grumpy(text.to_owned());
            assert_eq!(by_grumpy_key(cache, &body, &key).await, run);
            let error = by_grumpy_key_entry(cache, &key).key().expect_err("no key");
            assert_eq!(error.kind(), ErrorKind::Key);
            let error = by_grumpy_key_entry(cache, &key).invalidate().await;
            assert_eq!(error.expect_err("no key").kind(), ErrorKind::Key);
        }
        let after = stats("by_grumpy_key");
        assert!(
            after.bypassed >= 4 && after.errors.of(ErrorKind::Key) >= 4,
            "{after:?}"
        );
        assert_eq!(before.flights, 0);
        let fine = Grumpy("fine".to_owned());
        assert_eq!(by_grumpy_key(cache, &body, &fine).await, 5);
        assert_eq!(by_grumpy_key(cache, &body, &fine).await, 5);
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn grumpy(cache: &Cache, body: &Body, text: &str) -> Grumpy {
    let _ = body.run().await;
    Grumpy(text.to_owned())
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn sole(cache: &Cache, body: &Body, text: &str) -> Sole {
    let _ = body.run().await;
    Sole(Grumpy(text.to_owned()))
}

/// Ten callers at once, all of whom get the value; how often the body ran.
macro_rules! ten_callers {
    ($function:ident, $cache:expr, $text:expr, $expected:expr) => {{
        let body = Body::gated();
        let callers: JoinSet<_> = (0..10)
            .map(|_| {
                let (cache, body) = ($cache.clone(), body.clone());
                async move { $function(&cache, &body, $text).await }
            })
            .collect();
        until_waiting($cache, 9).await;
        body.open_gate();
        for outcome in all(callers).await {
            assert_eq!(outcome.expect("no panic"), $expected);
        }
        assert_eq!($cache.stats().flights, 0);
        body.runs()
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_value_whose_serialize_panics_or_fails_is_returned_and_shared() {
    let stores = Stores::start().await;
    for text in ["serialize", "refuse"] {
        let value = Grumpy(text.to_owned());
        assert_eq!(ten_callers!(grumpy, &stores.memory, text, value), 1);
        // Cannot be stored, but cloned for those who wait.
        assert_eq!(ten_callers!(grumpy, &stores.redis, text, value), 1);
        assert_eq!(ten_callers!(grumpy, &stores.redis, text, value), 1);
        // Without `Clone` there is nothing to share: side by side, as without a cache.
        for cache in stores.both() {
            assert_eq!(
                ten_callers!(sole, cache, text, Sole(Grumpy(text.to_owned()))),
                10
            );
        }
    }
    assert!(stats("grumpy").errors.of(ErrorKind::Encode) >= 2);
    assert_eq!(
        stores.server.cli(&["DBSIZE"]),
        "0",
        "neither value nor token is left"
    );
    for cache in stores.both() {
        let value = Sole(Grumpy("serialize".to_owned()));
        let error = sole_entry(cache, "x")
            .put(&value)
            .await
            .expect_err("no bytes");
        assert_eq!(error.kind(), ErrorKind::Encode);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_value_whose_deserialize_panics_or_fails_is_a_miss() {
    let stores = Stores::start().await;
    for text in ["unreadable", "foreign"] {
        let body = Body::new();
        for _ in 0..3 {
            let value = grumpy(&stores.redis, &body, text).await;
            assert_eq!(value, Grumpy(text.to_owned()));
        }
        assert_eq!(body.runs(), 3);
        assert_eq!(
            grumpy_entry(&stores.redis, text)
                .get()
                .await
                .expect("no panic"),
            None
        );
        for cache in stores.both() {
            let value = Sole(Grumpy(text.to_owned()));
            let runs = ten_callers!(sole, cache, text, value);
            assert_eq!(runs, 10, "what nobody can read is nobody's");
        }
    }
    assert!(stats("grumpy").errors.of(ErrorKind::Decode) >= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_value_whose_clone_panics_is_shared_by_its_bytes() {
    for cache in Stores::start().await.both() {
        let value = Grumpy("clone".to_owned());
        assert_eq!(ten_callers!(grumpy, cache, "clone", value), 1);
        let body = Body::new();
        assert_eq!(
            grumpy(cache, &body, "clone").await,
            value,
            "and it is stored"
        );
        assert_eq!(body.runs(), 0);
        let entry = grumpy_entry(cache, "put clone");
        entry.put(&value).await.expect("bytes");
        assert_eq!(entry.get().await.expect("no panic"), Some(value));
    }
}

/// An error whose `Clone` panics.
#[derive(Debug, PartialEq)]
struct GrumpyError(u64);

impl Clone for GrumpyError {
    fn clone(&self) -> Self {
        panic!("panics in `Clone` as it was told")
    }
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn grumpily_failing(cache: &Cache, body: &Body, id: &str) -> Result<u64, GrumpyError> {
    let _ = id;
    body.run().await.map_err(|failed| GrumpyError(failed.run))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_an_error_whose_clone_panics_is_shared_with_nobody() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        body.fail_next(1);
        let callers: JoinSet<_> = (0..10)
            .map(|_| {
                let (cache, body) = (cache.clone(), body.clone());
                async move { grumpily_failing(&cache, &body, "x").await }
            })
            .collect();
        until_waiting(cache, 9).await;
        body.open_gate();
        let outcomes = all(callers).await;
        assert_eq!(panics(&outcomes), 0);
        let failed = outcomes.iter().flatten().filter(|outcome| outcome.is_err());
        assert_eq!((failed.count(), body.runs()), (1, 10));
        assert_eq!(cache.stats().flights, 0);
    }
}

#[redis_cached(
    ttl = |value| { assert!(*value != 1, "panics in `ttl` as it was told"); Duration::from_secs(300) },
    skip(cache, body),
    cache = cache
)]
async fn grumpy_ttl(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

#[redis_cached(
    ttl = 300,
    cache_if = |value| { assert!(*value != 1, "panics in `cache_if` as it was told"); true },
    skip(cache, body),
    cache = cache
)]
async fn grumpy_cache_if(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_ttl_or_cache_if_that_panics_stores_nothing() {
    for cache in Stores::start().await.both() {
        assert_eq!(ten_callers!(grumpy_ttl, cache, 1, 1), 1);
        assert_eq!(ten_callers!(grumpy_cache_if, cache, 1, 1), 1);
        assert_eq!(
            grumpy_ttl_entry(cache, 1).get().await.expect("a cache"),
            None
        );
        assert_eq!(
            grumpy_cache_if_entry(cache, 1)
                .get()
                .await
                .expect("a cache"),
            None
        );
        let body = Body::new();
        let _ = body.run().await;
        assert_eq!(grumpy_ttl(cache, &body, 2).await, 2);
        assert_eq!(grumpy_ttl(cache, &body, 2).await, 2);
        let error = grumpy_ttl_entry(cache, 3)
            .put(&1)
            .await
            .expect_err("no ttl");
        assert_eq!(error.kind(), ErrorKind::Encode);
    }
    assert!(stats("grumpy_ttl").errors.of(ErrorKind::Encode) >= 2);
    assert!(stats("grumpy_cache_if").errors.of(ErrorKind::Encode) >= 2);
}

/// How often a [`Touchy`] has panicked; `None` while it does not.
static TOUCHED: Mutex<Option<usize>> = Mutex::new(None);

/// A value whose `Drop` panics while it is told to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Touchy;

impl Drop for Touchy {
    fn drop(&mut self) {
        let touched = &mut *TOUCHED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(touched) = touched {
            *touched += 1;
            panic!("panics in `Drop` as it was told");
        }
    }
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn touchy(cache: &Cache) -> Touchy {
    Touchy
}

/// Tells such values what to do, and returns how often one has panicked.
fn tell_touchy(panics: Option<usize>) -> Option<usize> {
    let mut touched = TOUCHED.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *touched, panics)
}

/// Stores a value whose `Drop` panics, and runs `end`, which ends it.
async fn ends_a_touchy<T>(cache: &Cache, end: impl Future<Output = T>) -> T {
    drop(touchy(cache).await);
    tell_touchy(Some(0));
    let ended = end.await;
    assert_eq!(tell_touchy(None), Some(1), "it ended, and it panicked");
    ended
}

/// A value ends in this process in the hands of whichever call is there.
#[tokio::test]
async fn p7_a_value_whose_drop_panics_makes_no_call_panic_that_ends_it() {
    let builder = Cache::builder().in_memory().memory_capacity(1);
    let (cache, body) = (builder.build().expect("a store"), Body::new());
    let evicting = panicking(&cache, &body, 1);
    assert_eq!(ends_a_touchy(&cache, evicting).await, Ok(1));
    let entry = touchy_entry(&cache);
    let invalidated = ends_a_touchy(&cache, entry.invalidate()).await;
    invalidated.expect("a cache that works");
    // Also where the call panics itself.
    let its = cache.clone();
    let writing = tokio::spawn(async move {
        let write = async { panic!("the write panics as it was told") };
        let _: (Touchy, _) = ends_a_touchy(&its, touchy_entry(&its).put_with(write)).await;
    });
    assert!(writing.await.expect_err("a panic").is_panic());
    assert_eq!(tell_touchy(None), Some(1));
    let stats = cache.stats();
    assert_eq!((stats.flights, stats.waiting), (0, 0));
    assert_eq!(panicking(&cache, &body, 2).await, Ok(2));
}

/// Panics where it is dropped, unless another panic is on its way.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        assert!(
            std::thread::panicking(),
            "a local panics in `Drop` as it was told"
        );
    }
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 600,
    key = "badly_ending:{id}",
    skip(cache, body, local),
    cache = cache
)]
async fn badly_ending(cache: &Cache, body: &Body, id: u64, local: fn() -> Option<Last>) -> u64 {
    let _ = id;
    let _local = local();
    body.run().await.expect("a body that returns")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_body_whose_local_panics_as_the_call_is_dropped_keeps_nobody() {
    // Nobody leads because its wait has become too long.
    let set = |builder: CacheBuilder| builder.run_wait(SOON * 10);
    for cache in Stores::with(set).await.both() {
        let body = Body::gated();
        let call = |local| {
            let (cache, body) = (cache.clone(), body.clone());
            async move { badly_ending(&cache, &body, 1, local).await }
        };
        let leader = tokio::spawn(call(|| Some(Last)));
        body.wait_until_running(1).await;
        let callers: JoinSet<_> = (0..10).map(|_| call(|| None)).collect();
        until_waiting(cache, 10).await;
        leader.abort();
        assert!(leader.await.expect_err("a panic").is_panic());
        body.open_gate();
        let outcomes = all(callers).await;
        assert!(outcomes.iter().flatten().all(|run| *run == 2));
        assert_eq!((panics(&outcomes), body.runs()), (0, 2));
        assert_eq!(cache.stats().flights, 0);
    }
}

/// A run that takes too long, and one that `shutdown` ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p7_a_run_behind_a_call_whose_local_panics_as_it_is_ended_leaves_nothing() {
    for limit in [Duration::from_millis(50), SOON] {
        let clock = ManualClock::new();
        let set = |builder: CacheBuilder| builder.clock(&clock).background_timeout(limit);
        for cache in Stores::with(set).await.both() {
            let body = Body::new();
            assert_eq!(badly_ending(cache, &body, 2, || None).await, 1);
            clock.advance(Duration::from_secs(61));
            body.shut_gate();
            assert_eq!(badly_ending(cache, &body, 2, || Some(Last)).await, 1);
            body.wait_until_begun(2).await;
            if limit == SOON {
                cache.shutdown().await.expect("nothing is left over");
            }
            eventually("nothing to be left of the run", SOON, async || {
                let stats = cache.stats();
                (stats.flights, stats.background_runs, body.running()) == (0, 0, 0)
            })
            .await;
        }
    }
}
