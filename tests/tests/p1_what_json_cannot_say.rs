//! P1 for values whose own JSON reads back as something that no body returned: `null` stands for a NaN, an infinity and
//! a `Some` of nothing as well.
//!
//! Such a value is returned and not stored, and the log names its function once. In process a release build keeps the value
//! itself, which is right too; what is said here of both stores is so in a debug build.
#![allow(missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_runtime::{Cache, CacheControl, ErrorKind, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Logs, Stores, eventually, in_memory, patient};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

const TTL: Duration = Duration::from_secs(60);
const NOT_FINITE: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// What the log says of a function once.
const SAID: &str = "a value cannot be stored";

/// A source that says one number, and counts how often it was asked.
#[derive(Debug, Clone)]
struct Source {
    number: f64,
    asked: Arc<AtomicU64>,
}

impl Source {
    fn of(number: f64) -> Self {
        Self {
            number,
            asked: Arc::default(),
        }
    }

    fn ask(&self) -> f64 {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.number
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reading {
    note: Option<String>,
    value: f64,
}

fn reading(value: f64) -> Reading {
    Reading { note: None, value }
}

macro_rules! functions {
    ($($name:ident ($($option:tt)*) -> $type:ty { $source:ident => $body:expr } $value:ident => $number:expr;)*) => {
        $(
            #[redis_cached(ttl = 60, skip(cache, $source), cache = cache, $($option)*)]
            async fn $name(cache: &Cache, id: u64, $source: &Source) -> $type {
                let _ = id;
                $body
            }
        )*

        const FUNCTIONS: &[&str] = &[$(stringify!($name)),*];

        /// The number in what the function returned.
        async fn call(function: &str, cache: &Cache, id: u64, source: &Source) -> Option<f64> {
            match function {
                $(stringify!($name) => {
                    let $value = $name(cache, id, source).await;
                    $number
                })*
                other => panic!("no function {other}"),
            }
        }
    };
}

functions! {
    plain () -> f64 { source => source.ask() } value => Some(value);
    optional () -> Option<f64> { source => Some(source.ask()) } value => value;
    result () -> Result<f64, Failed> { source => Ok(source.ask()) } value => value.ok();
    optional_result () -> Result<Option<f64>, Failed> { source => Ok(Some(source.ask())) } value => value.ok().flatten();
    keeping_none (none_ttl = 60) -> Option<f64> { source => Some(source.ask()) } value => value;
    single () -> Option<f32> { source => Some(source.ask() as f32) } value => value.map(f64::from);
    record () -> Option<Reading> { source => Some(reading(source.ask())) } value => value.map(|reading| reading.value);
    list () -> Vec<Option<f64>> { source => vec![None, Some(source.ask())] } value => value[1];
    boxed () -> Option<Box<f64>> { source => Some(Box::new(source.ask())) } value => value.map(|number| *number);
    stamped (stale_while_revalidate = 60) -> Option<f64> { source => Some(source.ask()) } value => value;
    among_processes (coalesce = "cluster") -> Option<f64> { source => Some(source.ask()) } value => value;
}

#[track_caller]
fn assert_same(what: &str, found: Option<f64>, expected: f64) {
    let same = |found: f64| found == expected || found.is_nan() && expected.is_nan();
    assert!(found.is_some_and(same), "{what}: {found:?} for {expected}");
}

/// Waits until Redis has so many values and nothing else: rights to store are given back behind the calls.
async fn until_stored(stores: &Stores, values: usize) {
    let what = format!("{values} values to be all there is");
    eventually(&what, SOON, async || {
        stores.server.cli(&["DBSIZE"]) == values.to_string()
    })
    .await;
}

#[tokio::test]
async fn p1_a_number_that_is_not_finite_is_the_bodys_answer_each_time() {
    let (logs, _guard) = Logs::of_this_thread();
    let stores = Stores::start().await;
    for function in FUNCTIONS {
        for (id, number) in (0..).zip(NOT_FINITE) {
            for cache in stores.both() {
                let source = Source::of(number);
                for _ in 0..3 {
                    let answer = call(function, cache, id, &source).await;
                    assert_same(function, answer, number);
                }
                if cfg!(debug_assertions) {
                    assert_eq!(source.asked(), 3, "{function}");
                }
                // Such a key is cached as soon as its value can be.
                let source = Source::of(1.5);
                for _ in 0..3 {
                    let answer = call(function, cache, 100 + id, &source).await;
                    assert_same(function, answer, 1.5);
                }
                assert_eq!(source.asked(), 1, "{function}");
            }
        }
        let said = logs.lines_with(SAID);
        let said = said
            .iter()
            .filter(|line| line.contains(&format!("function={function} (")));
        let said: Vec<_> = said.collect();
        assert_eq!(said.len(), 1, "{function}: {said:?}");
        assert!(
            said[0].contains("WARN") && said[0].contains("infinity"),
            "{said:?}"
        );
    }
    // The numbers that are finite.
    until_stored(&stores, FUNCTIONS.len() * NOT_FINITE.len()).await;
}

/// A float as a key of a map fails to be written, which is said as well.
#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn by_level(cache: &Cache) -> Option<Levels> {
    Some(Levels(vec![(f64::NAN, 1)]))
}

#[derive(Debug, Clone, Deserialize)]
struct Levels(Vec<(f64, u8)>);

impl Serialize for Levels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[tokio::test]
async fn p1_a_value_that_cannot_be_written_is_named_as_well() {
    let (logs, _guard) = Logs::of_this_thread();
    let stores = Stores::start().await;
    for cache in [&stores.redis, &stores.memory, &stores.redis] {
        let levels = by_level(cache).await.expect("what the body returned");
        assert!(levels.0[0].0.is_nan());
    }
    let said = logs.lines_with(SAID);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("by_level"), "{said:?}");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Labelled<T> {
    label: Option<T>,
}

#[redis_cached(ttl = 60, skip(cache, body), cache = cache)]
async fn of_nothing(cache: &Cache, body: &Body, id: u64) -> Option<Labelled<Option<u8>>> {
    let _ = id;
    body.run().await.ok()?;
    Some(Labelled { label: Some(None) })
}

#[redis_cached(ttl = 60, skip(cache, body), cache = cache)]
async fn of_null(cache: &Cache, body: &Body, id: u64) -> Labelled<Value> {
    let _ = id;
    body.run().await.expect("a body that returns");
    let label = Some(Value::Null);
    Labelled { label }
}

/// Where `null` is a value of the type, it is told from a `None`.
#[redis_cached(ttl = 60, none_ttl = 60, skip(cache, body), cache = cache)]
async fn null_or_none(cache: &Cache, body: &Body, id: u64) -> Option<Value> {
    body.run().await.ok()?;
    (id == 1).then_some(Value::Null)
}

#[redis_cached(ttl = 60, none_ttl = 60, skip(cache, body), cache = cache)]
async fn mark_or_none(cache: &Cache, body: &Body, id: u64) -> Option<Mark> {
    body.run().await.ok()?;
    (id == 1).then_some(Mark)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Mark;

#[tokio::test]
async fn p1_a_some_of_nothing_is_told_from_none() {
    let stores = Stores::start().await;
    for cache in stores.both() {
        let body = Body::new();
        for _ in 0..2 {
            let label = Some(None);
            assert_eq!(of_nothing(cache, &body, 1).await, Some(Labelled { label }));
            let label = Some(Value::Null);
            assert_eq!(of_null(cache, &body, 1).await, Labelled { label });
        }
        let body = Body::new();
        for _ in 0..2 {
            assert_eq!(null_or_none(cache, &body, 1).await, Some(Value::Null));
            assert_eq!(null_or_none(cache, &body, 2).await, None);
            assert_eq!(mark_or_none(cache, &body, 1).await, Some(Mark));
            assert_eq!(mark_or_none(cache, &body, 2).await, None);
        }
        assert_eq!(body.runs(), 4, "each is stored");
    }
    until_stored(&stores, 4).await;
}

/// As a user mends it: the type reads `null` as what it wrote it for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measured {
    #[serde(deserialize_with = "nan_of_null")]
    value: f64,
}

fn nan_of_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = Option::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::NAN))
}

#[redis_cached(ttl = 60, skip(cache, source), cache = cache)]
async fn measured(cache: &Cache, source: &Source) -> Option<Measured> {
    let value = source.ask();
    Some(Measured { value })
}

#[tokio::test]
async fn p1_a_type_that_reads_its_null_is_stored() {
    let stores = Stores::start().await;
    for cache in stores.both() {
        let source = Source::of(f64::NAN);
        for _ in 0..2 {
            let measured = measured(cache, &source).await;
            assert_same(
                "measured",
                measured.map(|measured| measured.value),
                f64::NAN,
            );
        }
        assert_eq!(source.asked(), 1);
    }
}

trait Gauge {
    async fn level(&self, cache: &Cache, id: u64) -> Option<f64>;
}

impl Gauge for Source {
    #[redis_cached(ttl = 60, trait_impl, skip(self, cache), cache = cache)]
    async fn level(&self, cache: &Cache, id: u64) -> Option<f64> {
        let _ = id;
        Some(self.ask())
    }
}

/// Apart from the others, each of which a test wants to see named in the log: that happens once a minute.
#[redis_cached(ttl = 60, skip(cache, source), cache = cache)]
async fn by_other_ways(cache: &Cache, id: u64, source: &Source) -> Option<f64> {
    let _ = id;
    Some(source.ask())
}

#[tokio::test]
async fn p1_through_an_entry_a_directive_or_a_trait_it_is_the_bodys_answer() {
    let stores = Stores::start().await;
    for cache in stores.both() {
        let source = Source::of(f64::NAN);
        let entry = by_other_ways_entry(cache, 1_000);
        for _ in 0..2 {
            let computed = entry.get_or_compute(async || Some(source.ask())).await;
            assert_same("get_or_compute", computed, f64::NAN);
            let refreshed = entry.refresh(async { Some(source.ask()) }).await;
            assert_same("refresh", refreshed, f64::NAN);
            let call = CacheControl::NoCache.scope(by_other_ways(cache, 1_000, &source));
            assert_same("NoCache", call.await, f64::NAN);
            assert_same("trait_impl", source.level(cache, 1_000).await, f64::NAN);
            assert_eq!(
                entry.get().await.expect("a cache"),
                None,
                "nothing is stored"
            );
        }
    }
    until_stored(&stores, 0).await;
}

#[tokio::test]
async fn p1_to_put_what_json_cannot_say_is_an_error_that_says_so() {
    let stores = Stores::start().await;
    for cache in stores.both() {
        let entry = optional_entry(cache, 2_000);
        entry.put(&Some(1.5)).await.expect("a cache");
        let error = entry.put(&Some(f64::NAN)).await.expect_err("no JSON");
        assert_eq!(error.kind(), ErrorKind::Encode);
        let said = error.to_string();
        assert!(
            said.contains("NaN") && said.contains("#[serde(with"),
            "{said}"
        );
        assert_eq!(entry.get().await.expect("a cache"), Some(Some(1.5)));

        // The source was changed, so what was there is not its value.
        let (written, stored) = entry.put_with(async { Some(f64::INFINITY) }).await;
        assert_eq!(written, Some(f64::INFINITY));
        assert_eq!(stored.expect_err("no JSON").kind(), ErrorKind::Encode);
        assert_eq!(entry.get().await.expect("a cache"), None);

        let stored = cache.set_ex("number", &f64::NAN, TTL).await;
        assert_eq!(stored.expect_err("no JSON").kind(), ErrorKind::Encode);
        let stored = cache.set_ex("nothing", &Some(Value::Null), TTL).await;
        assert_eq!(stored.expect_err("no JSON").kind(), ErrorKind::Encode);
        let nothing = None::<Value>;
        cache
            .set_ex("nothing", &nothing, TTL)
            .await
            .expect("a cache");
        assert_eq!(cache.get("nothing").await.expect("a cache"), Some(nothing));
    }
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = &cache)]
async fn refreshed(cache: Cache, body: Body, id: u64) -> Option<f64> {
    let _ = id;
    body.run().await.ok().map(|_| f64::NAN)
}

#[tokio::test]
async fn p1_a_run_behind_a_call_stores_nothing_that_no_body_returned() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for cache in stores.both() {
        let body = Body::new();
        let call = || refreshed(cache.clone(), body.clone(), 1);
        let entry = refreshed_entry(cache.clone(), 1);
        entry.put(&Some(1.5)).await.expect("a cache");
        clock.advance(TTL);
        assert_same("stale", call().await, 1.5);
        body.wait_until_finished(1).await;
        eventually("the flight to land", SOON, async || {
            cache.stats().flights == 0
        })
        .await;
        // `null` would be `None` from here on.
        assert_same("stale", entry.get().await.expect("a cache").flatten(), 1.5);
        clock.advance(TTL * 10);
        assert_same("past the window", call().await, f64::NAN);
        assert_eq!(body.runs(), 2);
    }
}

/// Not `Clone`: who waits gets it by its JSON, if at all.
#[derive(Debug, Serialize, Deserialize)]
struct Lone(Option<f64>);

#[redis_cached(ttl = 60, skip(cache, body), cache = &cache)]
async fn lone(cache: Cache, body: Body, id: u64) -> Lone {
    let _ = id;
    body.run().await.expect("a body that returns");
    Lone(Some(f64::NAN))
}

#[redis_cached(ttl = 60, skip(cache, body), cache = &cache)]
async fn cloned(cache: Cache, body: Body, id: u64) -> Option<f64> {
    let _ = id;
    body.run().await.ok().map(|_| f64::NAN)
}

#[tokio::test]
async fn p1_who_waits_gets_what_a_body_returned() {
    const WAITERS: usize = 10;
    let stores = Stores::start().await;
    for cache in stores.both() {
        for clones in [true, false] {
            let body = Body::gated();
            let call = || {
                let (cache, body) = (cache.clone(), body.clone());
                tokio::spawn(async move {
                    match clones {
                        true => cloned(cache, body, 1).await,
                        false => lone(cache, body, 1).await.0,
                    }
                })
            };
            let mut calls = vec![call()];
            body.wait_until_running(1).await;
            calls.extend((0..WAITERS).map(|_| call()));
            eventually("the callers to wait", SOON, async || {
                cache.stats().waiting == WAITERS
            })
            .await;
            body.open_gate();
            for call in calls {
                assert_same("a caller", call.await.expect("no panic"), f64::NAN);
            }
            let expected = if clones { 1 } else { 1 + WAITERS as u64 };
            assert_eq!(body.runs(), expected, "by clones: {clones}");
        }
    }
}

#[redis_cached(ttl = 60, coalesce = "cluster", skip(cache, body), cache = &cache)]
async fn in_a_cluster(cache: Cache, body: Body, id: u64) -> Option<f64> {
    let _ = id;
    body.run().await.ok().map(|_| f64::NAN)
}

#[tokio::test]
async fn p1_another_process_that_waits_gets_what_its_body_returned() {
    let stores = Stores::start().await;
    let other = patient(&stores.server.url());
    let body = Body::gated();
    let call = |cache: &Cache| {
        let (cache, body) = (cache.clone(), body.clone());
        tokio::spawn(in_a_cluster(cache, body, 1))
    };
    let holds = call(&stores.redis);
    body.wait_until_running(1).await;
    let waits = call(&other);
    body.open_gate();
    for call in [holds, waits] {
        assert_same("a process", call.await.expect("no panic"), f64::NAN);
    }
    assert_eq!(body.runs(), 2);
}

/// Two functions with one key: what the one returned is read by the other through its JSON.
#[redis_cached(ttl = 60, key = "p1-level:{id}", skip(cache, body), cache = &cache)]
async fn as_number(cache: Cache, body: Body, id: u64) -> f64 {
    let _ = id;
    body.run().await.expect("a body that returns");
    f64::NAN
}

#[redis_cached(ttl = 60, key = "p1-level:{id}", skip(cache, body), cache = &cache)]
async fn as_json(cache: Cache, body: Body, id: u64) -> Value {
    let _ = id;
    body.run().await.expect("a body that returns");
    Value::from("the body's")
}

#[tokio::test]
async fn p1_another_function_that_waits_gets_no_null_either() {
    let stores = Stores::start().await;
    for cache in [&in_memory(), &stores.redis] {
        let (slow, quick) = (Body::gated(), Body::new());
        let leads = tokio::spawn(as_number(cache.clone(), slow.clone(), 1));
        slow.wait_until_running(1).await;
        let waits = tokio::spawn(as_json(cache.clone(), quick.clone(), 1));
        eventually("a caller to wait", SOON, async || {
            cache.stats().waiting == 1
        })
        .await;
        slow.open_gate();
        assert!(leads.await.expect("no panic").is_nan());
        assert_eq!(waits.await.expect("no panic"), "the body's");
    }
}
