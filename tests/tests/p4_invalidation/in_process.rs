//! The in-process store: value and flight change under one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cache_runtime::redis_cached;
use cache_tests::body::Failed;

use crate::scene::{Source, call, caller, in_memory, look_entry};

/// Rule 10: a body whose flight was taken from it stores nothing, and answers nobody who came later.
#[tokio::test]
async fn p4_rule10_a_body_from_before_the_change_stores_nothing() {
    for put in [false, true] {
        let (cache, source) = (in_memory(), Source::gated());
        let old = caller(&cache, &source, 1);
        source.body.wait_until_running(1).await;
        source.change();
        let entry = look_entry(&cache, 1);
        if put {
            entry.put(&2).await.unwrap();
        } else {
            entry.invalidate().await.unwrap();
        }
        source.body.open_gate();
        assert_eq!(old.await.unwrap(), Ok(1));
        assert_eq!(entry.get().await.unwrap(), put.then_some(2));
        assert_eq!(call(&cache, &source, 1).await, Ok(2));
    }
}

/// Rule 10, for an error that is shared: RELEASE has no counterpart here but the flight.
#[tokio::test]
async fn p4_rule10_an_error_from_before_the_change_is_not_shared() {
    let (cache, source) = (in_memory(), Source::gated());
    source.body.fail_next(1);
    let old = caller(&cache, &source, 1);
    source.body.wait_until_running(1).await;
    source.change();
    look_entry(&cache, 1).invalidate().await.unwrap();
    let newcomer = caller(&cache, &source, 1);
    source.body.wait_until_running(2).await;
    source.body.let_through(1);
    assert_eq!(old.await.unwrap(), Err(Failed { run: 1 }));
    source.body.open_gate();
    assert_eq!(newcomer.await.unwrap(), Ok(2));
}

#[redis_cached(ttl = 300, key = "raced:{id}", skip(cache, version), cache = cache)]
async fn raced(cache: &cache_runtime::Cache, version: &AtomicU64, id: u64) -> u64 {
    let version = version.load(Ordering::SeqCst);
    // The end of the body and the change fall together as often as the scheduler can manage.
    if fastrand::bool() {
        tokio::task::yield_now().await;
    }
    version
}

/// Rule 10, raced: threads that compute and one that changes, as fast as they can.
#[test]
fn p4_rule10_threads_that_race_never_see_the_old_value() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (cache, version) = (in_memory(), Arc::new(AtomicU64::new(0)));
        let over = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (cache, version, over) = (cache.clone(), version.clone(), over.clone());
                // What the last change to have returned had committed.
                tokio::spawn(async move {
                    while !over.load(Ordering::SeqCst) {
                        raced(&cache, &version, 1).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        let changes = {
            let (cache, version) = (cache.clone(), version.clone());
            tokio::spawn(async move {
                for n in 1..=40_000 {
                    // Gives the readers a body to run, which the change then overtakes or not.
                    raced_entry(&cache, 1).invalidate().await.unwrap();
                    for _ in 0..fastrand::u32(0..200) {
                        std::hint::spin_loop();
                    }
                    version.store(n, Ordering::SeqCst);
                    if n % 2 == 0 {
                        raced_entry(&cache, 1).invalidate().await.unwrap();
                    } else {
                        raced_entry(&cache, 1).put(&n).await.unwrap();
                    }
                    let got = raced(&cache, &version, 1).await;
                    assert_eq!(got, n, "the change to {n} had returned");
                }
            })
        };
        let changes = changes.await;
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        changes.unwrap();
    });
}
