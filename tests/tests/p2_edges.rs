//! P2 where few get: settings beyond every clock, users with few rights, several runtimes.
#![allow(missing_docs)]
use std::time::{Duration, Instant};

use cache_runtime::{BreakerState, Cache, StoreStats, redis_cached};
use cache_tests::{Proxy, RedisServer};
use serde::{Deserialize, Serialize};

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

static NOSY: std::sync::OnceLock<Cache> = std::sync::OnceLock::new();

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
