//! P2 where few get: settings beyond every clock, users with few rights, several runtimes.
#![allow(missing_docs)]
use std::cell::Cell;
use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use cache_runtime::{BreakerState, Cache, StoreStats, redis_cached};
use cache_tests::{Proxy, RedisServer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::task::JoinSet;

fn breaker(cache: &Cache) -> BreakerState {
    match cache.stats().store {
        StoreStats::Redis { breaker, .. } => breaker,
        _ => unreachable!(),
    }
}

#[redis_cached(ttl = 300, key = "long:{id}", skip(cache), cache = cache, timeout = Duration::MAX)]
async fn patient(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, key = "plain:{id}", skip(cache), cache = cache)]
async fn plain(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn p2_a_timeout_beyond_the_clock_is_no_panic() {
    let server = RedisServer::start().await;
    let cache = Cache::builder().url(server.url()).build().unwrap();
    assert_eq!(patient(&cache, 1).await, 1);
    patient_entry(&cache, 1).invalidate().await.unwrap();
}

#[tokio::test]
async fn p2_a_user_without_the_right_to_ping_gets_the_cache_back() {
    let server = RedisServer::builder()
        .user("app", "secret", &["~*", "+@all", "-ping"])
        .start()
        .await;
    let proxy = Proxy::to(server.addr());
    let url = format!("redis://app:secret@127.0.0.1:{}", proxy.port());
    let cache = Cache::builder().url(url).build().unwrap();
    plain(&cache, 1).await;
    proxy.refuse();
    proxy.reset();
    while breaker(&cache) != BreakerState::Open {
        plain(&cache, 2).await;
    }
    proxy.accept();
    let start = Instant::now();
    let mut n = 10;
    while breaker(&cache) != BreakerState::Closed {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "still {:?}",
            breaker(&cache)
        );
        n += 1;
        plain(&cache, n).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn p2_a_dead_connection_of_one_runtime_is_replaced_while_another_is_well() {
    let server = RedisServer::builder().start_blocking();
    let proxy = Proxy::before(&server);
    let cache = Cache::builder()
        .url(server.url_through(&proxy))
        .timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (sick, well) = (runtime(), runtime());
    sick.block_on(plain(&cache, 1));
    proxy.swallow();
    // The well one connects to the server by a new connection.
    sick.block_on(plain(&cache, 2));
    proxy.accept();
    let mut slow = 0;
    for _ in 0..10 {
        well.block_on(plain(&cache, 1));
        let start = Instant::now();
        sick.block_on(plain(&cache, 1));
        slow += u32::from(start.elapsed() >= Duration::from_millis(100));
    }
    assert!(slow < 5, "{slow} calls paid the whole timeout");
}

#[redis_cached(ttl = 300, key = "big:{id}", skip(cache), cache = cache)]
async fn big(cache: &Cache, id: u64) -> Result<u8, String> {
    let buffer = [1; 16 * 1024];
    tokio::task::yield_now().await;
    Ok(buffer[id as usize])
}

#[test]
fn p2_a_call_is_no_larger_for_a_large_body() {
    let cache = Cache::builder().in_memory().build().unwrap();
    assert!(size_of_val(&big_uncached(&cache, 1)) > 16 * 1024);
    let size = size_of_val(&big(&cache, 1));
    assert!(size < 8 * 1024, "{size} bytes");
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Nosy(u64);

static NOSY: OnceLock<Cache> = OnceLock::new();

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(cache) = NOSY.get() {
            let _ = cache.stats();
        }
    }
}

#[redis_cached(ttl = 300, key = "nosy:{id}", skip(cache), cache = cache)]
async fn nosy(cache: &Cache, id: u64) -> Nosy {
    Nosy(id)
}

#[test]
fn p2_a_values_drop_may_use_the_cache() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let cache = Cache::builder().in_memory().build().unwrap();
        NOSY.set(cache.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for round in 0..2000 {
                drop(nosy(&cache, round % 7).await);
                nosy_entry(&cache, round % 7).invalidate().await.unwrap();
            }
        });
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(Duration::from_secs(20))
        .expect("a deadlock");
}

/// A value whose own code calls the cache, wherever it runs.
#[derive(Debug)]
struct Meddling {
    store: usize,
    id: u64,
}

static MEDDLED: OnceLock<[Cache; 2]> = OnceLock::new();

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

fn poll_once(operation: impl Future) {
    let polled = pin!(operation).poll(&mut Context::from_waker(Waker::noop()));
    drop(polled);
}

impl Meddling {
    /// One of all operations on its own key, as far as they come without waiting.
    fn meddle(&self) {
        let (Some(caches), 0..2) = (MEDDLED.get(), DEPTH.get()) else {
            return;
        };
        let (cache, store, id) = (&caches[self.store], self.store, self.id);
        let value = || Self { store, id };
        let entry = meddling_entry(cache, store, id);
        DEPTH.set(DEPTH.get() + 1);
        match fastrand::u8(..7) {
            0 => poll_once(meddling(cache, store, id)),
            1 => poll_once(entry.get()),
            2 => poll_once(entry.invalidate()),
            3 => poll_once(entry.put(&value())),
            4 => poll_once(entry.put_with(async { value() })),
            5 => poll_once(entry.refresh(async { value() })),
            _ => drop(cache.stats()),
        }
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl Clone for Meddling {
    fn clone(&self) -> Self {
        self.meddle();
        Self { ..*self }
    }
}

impl Drop for Meddling {
    fn drop(&mut self) {
        self.meddle();
    }
}

impl PartialEq for Meddling {
    fn eq(&self, other: &Self) -> bool {
        self.meddle();
        self.id == other.id
    }
}

impl Serialize for Meddling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.meddle();
        (self.store, self.id).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Meddling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (store, id) = Deserialize::deserialize(deserializer)?;
        let value = Self { store, id };
        value.meddle();
        Ok(value)
    }
}

#[redis_cached(
    ttl = |value| { value.meddle(); Duration::from_millis(5) },
    cache_if = |value| { value.meddle(); true },
    stale_while_revalidate = "5ms",
    skip(cache),
    cache = cache
)]
async fn meddling(cache: &Cache, store: usize, id: u64) -> Meddling {
    tokio::task::yield_now().await;
    Meddling { store, id }
}

/// Every operation, in turn, on a few keys.
async fn meddle_with_all(cache: Cache, store: usize, task: u64) {
    for turn in 0..60 {
        let id = (turn * 7 + task) % 12;
        let entry = meddling_entry(&cache, store, id);
        match turn % 5 {
            0 | 1 => assert_eq!(meddling(&cache, store, id).await.id, id),
            2 => entry.invalidate().await.expect("a cache that works"),
            3 => drop(entry.put(&Meddling { store, id }).await),
            _ => drop(entry.put_with(async { Meddling { store, id } }).await),
        }
    }
}

#[test]
fn p2_a_values_own_code_may_call_the_cache_wherever_it_runs() {
    let server = RedisServer::builder().start_blocking();
    // So small that values are evicted.
    let memory = Cache::builder().in_memory().memory_capacity(8);
    let redis = Cache::builder().url(server.url());
    let caches = [memory, redis].map(|cache| cache.build().expect("a cache"));
    let caches = MEDDLED.get_or_init(|| caches);
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for (store, cache) in caches.iter().enumerate() {
                let tasks: JoinSet<_> = (0..8)
                    .map(|task| meddle_with_all(cache.clone(), store, task))
                    .collect();
                tasks.join_all().await;
            }
        });
        done.send(()).expect("a test that waits");
    });
    is_done
        .recv_timeout(Duration::from_secs(120))
        .expect("a deadlock");
}
