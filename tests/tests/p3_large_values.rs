//! P3 for values with more JSON than `max_value`: they are returned, written up to the bound and no further, and not
//! tried again for a minute; the log names the function once.
//!
//! In process a release build keeps a value that is `Clone` as it is, and writes no JSON; what is said here of both
//! stores is so in a debug build.
#![allow(missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_runtime::{Cache, CacheControl, ErrorKind, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Logs, Proxy, Stores, eventually, patient};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Serialize, Serializer};

const MAX: u64 = 1_000;
const PAUSE: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);

/// What the log says of a function once.
const SAID: &str = "a value cannot be stored";

/// Its JSON is a list of zeros, and it counts how many of them were asked for, over all its clones.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Vec<u8>")]
struct Zeros {
    length: usize,
    written: Arc<AtomicU64>,
}

impl From<Vec<u8>> for Zeros {
    fn from(zeros: Vec<u8>) -> Self {
        Self::new(zeros.len())
    }
}

impl Serialize for Zeros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.length))?;
        for _ in 0..self.length {
            self.written.fetch_add(1, Ordering::Relaxed);
            list.serialize_element(&0)?;
        }
        list.end()
    }
}

impl Zeros {
    fn new(length: usize) -> Self {
        Self {
            length,
            written: Arc::default(),
        }
    }

    /// Its JSON has exactly so many bytes, which is an odd number.
    fn of_bytes(bytes: u64) -> Self {
        Self::new((bytes as usize - 1) / 2)
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// Not `Clone`, so that whoever waits needs its JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Lone(Zeros);

#[redis_cached(ttl = "1h", skip(cache, body, zeros), cache = &cache)]
async fn cloned(cache: Cache, body: Body, zeros: Zeros, id: u64) -> Result<Zeros, Failed> {
    let _ = id;
    body.returning(zeros).await
}

#[redis_cached(ttl = "1h", skip(cache, body, zeros), cache = &cache)]
async fn lone(cache: Cache, body: Body, zeros: Zeros, id: u64) -> Option<Lone> {
    let _ = id;
    body.returning(Lone(zeros)).await.ok()
}

#[redis_cached(ttl = "1h", coalesce = "cluster", skip(cache, body, zeros), cache = &cache)]
async fn in_a_cluster(cache: Cache, body: Body, zeros: Zeros, id: u64) -> Result<Zeros, Failed> {
    let _ = id;
    body.returning(zeros).await
}

/// Waiters get the JSON of what is not stored, too.
#[redis_cached(ttl = "1h", cache_if = |_| false, skip(cache, body, zeros), cache = &cache)]
async fn refused(cache: Cache, body: Body, zeros: Zeros, id: u64) -> Lone {
    let _ = id;
    let lone = body.returning(Lone(zeros)).await;
    lone.expect("a body that returns")
}

/// Two caches with one clock.
async fn start() -> (Stores, ManualClock) {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock).max_value(MAX)).await;
    (stores, clock)
}

async fn until_idle(cache: &Cache) {
    eventually("the flights to land", SOON, async || {
        cache.stats().flights == 0
    })
    .await;
}

#[tokio::test]
async fn p3_a_value_is_stored_up_to_the_bound() {
    let (stores, _clock) = start().await;
    for cache in stores.both() {
        for (id, bytes, runs) in [(1, MAX - 1, 1), (2, MAX + 1, 3)] {
            let body = Body::new();
            for _ in 0..3 {
                let zeros = Zeros::of_bytes(bytes);
                let value = cloned(cache.clone(), body.clone(), zeros, id).await;
                let json = serde_json::to_string(&value.expect("a value")).expect("JSON");
                assert_eq!(json.len() as u64, bytes);
            }
            assert_eq!(body.runs(), runs, "{bytes} bytes");
        }
    }
}

#[tokio::test]
async fn p3_a_value_that_is_too_large_is_not_written_to_its_end_nor_again_for_a_minute() {
    let (stores, clock) = start().await;
    for cache in stores.both() {
        for clones in [true, false] {
            let body = Body::new();
            let zeros = Zeros::new(1_000_000);
            let call = async |id| {
                let (cache, body, zeros) = (cache.clone(), body.clone(), zeros.clone());
                let value = match clones {
                    true => cloned(cache, body, zeros, id).await.ok(),
                    false => lone(cache, body, zeros, id).await.map(|lone| lone.0),
                };
                assert_eq!(value.expect("the body's value").length, 1_000_000);
            };
            call(1).await;
            let once = zeros.written();
            assert!((MAX / 2..=MAX).contains(&once), "{once} elements written");
            for _ in 0..3 {
                call(1).await;
            }
            assert_eq!(zeros.written(), once, "not again");
            call(2).await;
            assert_eq!(zeros.written(), 2 * once, "another key");
            clock.advance(PAUSE - MILLI);
            call(1).await;
            assert_eq!(zeros.written(), 2 * once, "not yet");
            clock.advance(MILLI);
            for _ in 0..3 {
                call(1).await;
            }
            assert_eq!(zeros.written(), 3 * once, "once a minute");
            assert_eq!(body.runs(), 9, "each call got its body's value");
        }
    }
    eventually("nothing to be left in redis", SOON, async || {
        stores.server.cli(&["DBSIZE"]) == "0"
    })
    .await;
}

#[redis_cached(ttl = "1h", skip(cache), cache = cache)]
async fn named(cache: &Cache, id: u64) -> Zeros {
    let _ = id;
    Zeros::new(1_000_000)
}

#[redis_cached(ttl = "1h", skip(cache), cache = cache)]
async fn named_too(cache: &Cache, id: u64) -> Lone {
    let _ = id;
    Lone(Zeros::new(1_000_000))
}

#[tokio::test]
async fn p3_the_log_names_a_function_whose_value_is_too_large_once() {
    let (logs, _guard) = Logs::of_this_thread();
    let (stores, clock) = start().await;
    for id in [1, 1, 2] {
        for cache in stores.both() {
            named(cache, id).await;
            named_too(cache, id).await;
        }
        clock.advance(PAUSE);
    }
    let said = logs.lines_with(SAID);
    assert_eq!(said.len(), 2, "{said:#?}");
    for (line, function) in said.iter().zip(["named", "named_too"]) {
        let function = format!("function={function} (");
        for part in [
            "WARN",
            &function,
            "1000 bytes",
            "`max_value`",
            "REDIS_MAX_VALUE",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[tokio::test]
async fn p3_a_value_that_has_become_smaller_is_stored_after_the_minute_or_by_a_put() {
    let (stores, clock) = start().await;
    for cache in stores.both() {
        for put in [true, false] {
            let (body, id) = (Body::new(), 10 + u64::from(put));
            let call = async |length| {
                let zeros = Zeros::new(length);
                let value = cloned(cache.clone(), body.clone(), zeros, id).await;
                value.expect("a value").length
            };
            let entry = cloned_entry(cache.clone(), id);
            assert_eq!(call(1_000_000).await, 1_000_000);
            assert_eq!(call(1).await, 1);
            assert_eq!(call(2).await, 2, "the key is left alone");
            if put {
                entry.put(&Zeros::new(3)).await.expect("a cache");
                assert_eq!(call(4).await, 3, "what was put is a hit");
                entry.invalidate().await.expect("a cache");
            } else {
                clock.advance(PAUSE);
            }
            assert_eq!(call(5).await, 5);
            assert_eq!(call(6).await, 5, "it is stored again");
        }
    }
}

#[tokio::test]
async fn p3_to_put_what_is_too_large_is_an_error_that_says_what_to_do() {
    let (stores, _clock) = start().await;
    for cache in stores.both() {
        let zeros = Zeros::new(1_000_000);
        let entry = cloned_entry(cache.clone(), 20);
        entry.put(&Zeros::new(1)).await.expect("a cache");
        let error = entry.put(&zeros).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Encode);
        let said = error.to_string();
        for part in ["1000 bytes", "raise `max_value`", "`REDIS_MAX_VALUE`"] {
            assert!(said.contains(part), "{said}");
        }
        let stored = entry.get().await.expect("a cache").expect("what was there");
        assert_eq!(stored.length, 1);
        assert!(zeros.written() <= MAX);

        // Nobody knows any more whether what was there is the source's value.
        let (written, stored) = entry.put_with(async { zeros.clone() }).await;
        assert_eq!(written.length, 1_000_000);
        assert_eq!(stored.expect_err("too large").kind(), ErrorKind::Encode);
        assert!(entry.get().await.expect("a cache").is_none());

        let stored = cache.set_ex("zeros", &zeros, PAUSE).await;
        assert_eq!(stored.expect_err("too large").kind(), ErrorKind::Encode);
    }
}

/// Many callers of one key: by clones they share one run, else each runs its body.
#[tokio::test]
async fn p3_who_waits_for_a_value_that_is_too_large_gets_one() {
    const WAITERS: usize = 10;
    let (stores, _clock) = start().await;
    for cache in stores.both() {
        // The second time, the key is left alone.
        for round in 0..2 {
            for function in ["cloned", "lone", "refused"] {
                let body = Body::gated();
                let zeros = Zeros::new(1_000_000);
                let call = || {
                    let (cache, body, zeros) = (cache.clone(), body.clone(), zeros.clone());
                    tokio::spawn(async move {
                        match function {
                            "cloned" => cloned(cache, body, zeros, 30).await.ok(),
                            "lone" => lone(cache, body, zeros, 30).await.map(|lone| lone.0),
                            _ => Some(refused(cache, body, zeros, 30).await.0),
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
                    let value = call.await.expect("no panic").expect("a value");
                    assert_eq!(value.length, 1_000_000);
                }
                until_idle(cache).await;
                let expected = if function == "cloned" { 1 } else { 11 };
                assert_eq!(body.runs(), expected, "{function}");
                let written = zeros.written();
                match round {
                    0 => assert!((1..=MAX).contains(&written), "{function}: {written}"),
                    _ => assert_eq!(written, 0, "{function}"),
                }
            }
        }
    }
}

/// An invalidation while the body runs: whoever comes after it does not get what that body returned.
#[tokio::test]
async fn p4_a_value_that_is_too_large_is_handed_to_nobody_after_an_invalidation() {
    let (stores, _clock) = start().await;
    for cache in stores.both() {
        let body = Body::gated();
        let call = |length| {
            let (cache, body) = (cache.clone(), body.clone());
            tokio::spawn(cloned(cache, body, Zeros::new(length), 40))
        };
        for length in [1_000_000, 2_000_000] {
            let before = body.runs();
            let early = call(length);
            body.wait_until_begun(before + 1).await;
            cloned_entry(cache.clone(), 40)
                .invalidate()
                .await
                .expect("a cache");
            let late = call(length + 1);
            body.wait_until_begun(before + 2).await;
            body.open_gate();
            for (call, length) in [(early, length), (late, length + 1)] {
                let value = call.await.expect("no panic").expect("a value");
                assert_eq!(value.length, length);
            }
            body.shut_gate();
        }
    }
}

/// What is sent is small, and for a minute no process waits for another one.
#[tokio::test]
async fn p3_other_processes_do_not_wait_for_a_value_that_is_too_large() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock).max_value(MAX)).await;
    let other = Cache::builder().url(stores.server.url()).max_value(MAX);
    let other = other.timeout(SOON).clock(&clock).build().expect("a URL");
    let body = Body::new();
    let zeros = Zeros::new(1_000_000);
    let call =
        |cache: &Cache| tokio::spawn(in_a_cluster(cache.clone(), body.clone(), zeros.clone(), 50));
    for cache in [&stores.redis, &other] {
        call(cache).await.expect("no panic").expect("a value");
    }
    body.shut_gate();
    // Each of them knows by now, so the one runs beside the other.
    let calls = [&stores.redis, &other].map(&call);
    body.wait_until_running(2).await;
    body.open_gate();
    for call in calls {
        call.await.expect("no panic").expect("a value");
    }
}

#[tokio::test]
async fn p3_a_value_that_is_too_large_is_not_sent() {
    let stores = Stores::start().await;
    let proxy = Proxy::before(&stores.server);
    let cache = Cache::builder()
        .url(proxy.url())
        .max_value(MAX)
        .timeout(SOON);
    let cache = cache.build().expect("a URL");
    let body = Body::new();
    for _ in 0..3 {
        let zeros = Zeros::new(1_000_000);
        let value = cloned(cache.clone(), body.clone(), zeros, 60).await;
        assert_eq!(value.expect("a value").length, 1_000_000);
        let call = cloned(cache.clone(), body.clone(), Zeros::new(1_000_000), 60);
        CacheControl::NoCache.scope(call).await.expect("a value");
    }
    let sent = proxy.commands();
    let holds_zeros = |arg: &String| arg.contains("0,0,0");
    let large: Vec<_> = sent
        .iter()
        .filter(|args| args.iter().any(holds_zeros))
        .collect();
    assert!(
        !sent.is_empty() && large.is_empty(),
        "{} commands",
        large.len()
    );
    // What another process stores there is a hit.
    let larger = patient(&stores.server.url());
    let put = cloned_entry(larger, 60)
        .put(&Zeros::of_bytes(MAX + 1))
        .await;
    put.expect("within the default");
    let before = body.runs();
    let zeros = Zeros::new(1_000_000);
    let value = cloned(cache, body.clone(), zeros, 60).await;
    assert_eq!(value.expect("a value").length as u64, MAX / 2);
    assert_eq!(body.runs(), before);
}
