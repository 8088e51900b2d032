//! Functions that name no cache, and caches that can be told apart.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cache_runtime::{Cache, Error, get_cache, redis_cached};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

/// Its value is what the source has, unless a cache has another one.
#[redis_cached(ttl = 300, key = "number:{id}", skip(source))]
pub(crate) async fn number(source: u64, id: u64) -> u64 {
    source
}

/// A cache in this process, whose keys begin with this.
pub(crate) fn named(prefix: &str) -> Cache {
    let builder = Cache::builder().in_memory().prefix(prefix);
    builder.build().expect("a valid prefix")
}

/// The prefix of the cache that is found here.
pub(crate) async fn found() -> Result<String, Error> {
    let key = get_cache().await?.entry::<u64>("key").key()?;
    let prefix = key.strip_suffix(":key").unwrap_or_default();
    Ok(prefix.to_owned())
}

/// The same, and that of the cache which an entry finds.
pub(crate) async fn assert_found(prefix: &str) {
    assert_eq!(found().await.expect("a cache"), prefix);
    let key = number_entry(0).key().expect("a key");
    let before = key.strip_suffix("number:0").expect("that key");
    assert_eq!(before.trim_end_matches(':'), prefix);
}

/// As `#[tokio::test]` has it.
pub(crate) fn current_thread() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

pub(crate) fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_all();
    builder.build().expect("a runtime")
}

static LIVING: AtomicUsize = AtomicUsize::new(0);

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
pub(crate) struct Held {
    #[serde(skip)]
    _counted: Counted,
}

/// Its values are counted; only one test may call it.
#[redis_cached(ttl = 300)]
pub(crate) async fn held() -> Held {
    Held {
        _counted: Counted::new(),
    }
}

/// How many values of `held` there are.
pub(crate) fn living() -> usize {
    LIVING.load(Relaxed)
}
