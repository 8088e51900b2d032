//! Arguments are copied for a run behind the call, and for nothing else.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use renamed::{redis_cached, Cache, ManualClock};

static COPIES: AtomicU64 = AtomicU64::new(0);
static RUNS: AtomicU64 = AtomicU64::new(0);

struct Pool;

impl Clone for Pool {
    fn clone(&self) -> Self {
        COPIES.fetch_add(1, SeqCst);
        Self
    }
}

#[redis_cached(
    ttl = "1m",
    stale_while_revalidate = "1h",
    cache = cache,
    skip(cache, pool),
    crate = renamed
)]
async fn runs(cache: &Cache, pool: &Pool, id: u64) -> u64 {
    let _ = (cache, pool, id);
    RUNS.fetch_add(1, SeqCst) + 1
}

#[tokio::test]
async fn a_hit_and_a_run_that_its_caller_waits_for_copy_nothing() {
    let clock = ManualClock::new();
    let cache = Cache::builder().in_memory().clock(&clock).build().unwrap();
    assert_eq!(runs(&cache, &Pool, 1).await, 1);
    assert_eq!(runs(&cache, &Pool, 1).await, 1);
    assert_eq!(COPIES.load(SeqCst), 0);

    clock.advance(Duration::from_secs(90));
    assert_eq!(runs(&cache, &Pool, 1).await, 1);
    assert_eq!(COPIES.load(SeqCst), 1);
    while runs(&cache, &Pool, 1).await == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!((COPIES.load(SeqCst), RUNS.load(SeqCst)), (1, 2));
}
