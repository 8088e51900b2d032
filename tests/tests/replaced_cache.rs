//! A global cache in the place of another one.
#![allow(missing_docs)]

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cache_runtime::{Cache, get_cache, redis_cached, set_cache};
use serde::{Deserialize, Serialize};

static LIVING: AtomicUsize = AtomicUsize::new(0);
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// Counts how many of it there are.
struct Counted;

impl Counted {
    fn new() -> Self {
        LIVING.fetch_add(1, Relaxed);
        Self
    }
}

impl Default for Counted {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Run {
    number: usize,
    #[serde(skip)]
    _counted: Counted,
}

#[redis_cached(ttl = 300)]
async fn run() -> Run {
    Run {
        number: RUNS.fetch_add(1, Relaxed) + 1,
        _counted: Counted::new(),
    }
}

async fn number() -> usize {
    run().await.number
}

fn in_memory() -> Cache {
    let builder = Cache::builder().in_memory();
    builder.build().expect("a cache")
}

/// One test, because there is one global cache.
#[tokio::test]
async fn p11_a_cache_that_is_replaced_answers_no_more_and_its_values_go_with_its_last_handle() {
    assert!(set_cache(in_memory()).is_none());
    assert_eq!((number().await, number().await), (1, 1));
    assert_eq!(LIVING.load(Relaxed), 1, "in the first cache");

    let first = set_cache(in_memory()).expect("the first one");
    assert_eq!((number().await, number().await), (2, 2));
    let second = set_cache(first).expect("the second one");
    assert_eq!(number().await, 1, "the first one is back");

    assert!(set_cache(second).is_some(), "and is dropped");
    assert_eq!(LIVING.load(Relaxed), 1, "in the second cache");
    assert_eq!(number().await, 2);

    let second = set_cache(in_memory()).expect("the second one");
    let kept = get_cache().await.expect("the third one");
    drop(second);
    assert_eq!(LIVING.load(Relaxed), 0);
    assert_eq!(number().await, 3);
    drop(kept);
    assert_eq!(number().await, 3, "another handle is there");
}
