//! The scene of these tests: a source that has versions, a cached function that reads it, two processes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_runtime::{Cache, redis_cached};
use cache_tests::body::Failed;
use cache_tests::proxy::Matcher;
use cache_tests::{Body, Proxy, RedisServer};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// No operation of the cache gives up before the test's own bounds do.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// What a database would be: the cached value is the version that the body read as it began.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    version: Arc<AtomicU64>,
    pub(crate) body: Body,
}

impl Source {
    /// At version 1, with bodies that return at once.
    pub(crate) fn new() -> Self {
        Self {
            version: Arc::new(AtomicU64::new(1)),
            body: Body::new(),
        }
    }

    /// At version 1, with bodies that block.
    pub(crate) fn gated() -> Self {
        let source = Self::new();
        source.body.shut_gate();
        source
    }

    /// Commits the next version: what a program does before it invalidates.
    pub(crate) fn change(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    pub(crate) async fn read(&self) -> Result<u64, Failed> {
        let version = self.version();
        self.body.returning(version).await
    }
}

#[redis_cached(ttl = 300, key = "look:{id}", skip(cache, source), cache = cache)]
pub(crate) async fn look(cache: &Cache, source: &Source, id: u64) -> Result<u64, Failed> {
    source.read().await
}

/// A call of [`look`] as a task of its own.
pub(crate) fn caller(cache: &Cache, source: &Source, id: u64) -> JoinHandle<Result<u64, Failed>> {
    tokio::spawn(call(cache, source, id))
}

pub(crate) fn call(
    cache: &Cache,
    source: &Source,
    id: u64,
) -> impl Future<Output = Result<u64, Failed>> + Send + use<> {
    let (cache, source) = (cache.clone(), source.clone());
    async move { look(&cache, &source, id).await }
}

/// Lets calls of [`look`] find nothing, so that the next one reads by asking for the right to store.
pub(crate) async fn find_nothing(cache: &Cache) {
    let source = Source::new();
    for id in 1_000..1_008 {
        call(cache, &source, id).await.unwrap();
        look_entry(cache, id).invalidate().await.unwrap();
    }
}

/// The key of [`look`].
pub(crate) fn key(id: u64) -> String {
    format!("look:{id}")
}

/// The key of the right to store under [`key`].
pub(crate) fn token(id: u64) -> String {
    format!("%t:{{look:{id}}}")
}

/// The key of the lock beside it.
pub(crate) fn lock(id: u64) -> String {
    format!("%l:{{look:{id}}}")
}

/// A Redis that knows the scripts already, so that each script is one command on the wire.
pub(crate) async fn server() -> RedisServer {
    let server = RedisServer::start().await;
    let (cache, source) = (process(server.url()), Source::new());
    look(&cache, &source, 1).await.unwrap();
    source.body.fail_next(1);
    look(&cache, &source, 2).await.unwrap_err();
    look_entry(&cache, 3).put(&0).await.unwrap();
    // The end of a right to store is told in the background.
    settle(&cache).await;
    server.empty().await;
    server
}

/// A cache that stands for a process of its own.
pub(crate) fn process(url: String) -> Cache {
    impatient(url, PATIENT)
}

/// As [`process`], but its operations give up after `timeout`.
pub(crate) fn impatient(url: String, timeout: Duration) -> Cache {
    Cache::builder().url(url).timeout(timeout).build().unwrap()
}

pub(crate) fn in_memory() -> Cache {
    Cache::builder().in_memory().build().unwrap()
}

/// Two processes on one Redis; what the first one sends can be held.
pub(crate) struct Scene {
    pub(crate) server: RedisServer,
    pub(crate) proxy: Proxy,
    pub(crate) here: Cache,
    pub(crate) there: Cache,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let server = server().await;
        let proxy = Proxy::before(&server);
        Self {
            here: process(proxy.url()),
            there: process(server.url()),
            server,
            proxy,
        }
    }

    /// What Redis holds under a key, past everything.
    pub(crate) async fn stored(&self, key: &str) -> Option<String> {
        let mut connection = self.server.connection().await;
        redis::cmd("GET")
            .arg(key)
            .query_async(&mut connection)
            .await
            .unwrap()
    }
}

/// Matches a script by its keys, the last of which it may go without, and by its arguments.
fn script<const N: usize>(
    keys: [String; N],
    is_it: impl Fn(&[&[u8]]) -> bool + Send + Sync + 'static,
) -> impl Matcher {
    move |args: &[Vec<u8>]| {
        let args: Vec<_> = args.iter().map(Vec::as_slice).collect();
        let [name, _, count, rest @ ..] = args.as_slice() else {
            return false;
        };
        let of_that_name = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let count = std::str::from_utf8(count)
            .ok()
            .and_then(|count| count.parse().ok());
        (of_that_name("EVAL") || of_that_name("EVALSHA"))
            && count.is_some_and(|count: usize| {
                (N - 1..=N).contains(&count)
                    && rest.len() >= count
                    && keys
                        .iter()
                        .zip(&rest[..count])
                        .all(|(k, a)| k.as_bytes() == *a)
                    && is_it(&rest[count..])
            })
    }
}

/// The question for the right to store: a nonce and the token's life; and where it is a script, a holder and the lock's.
pub(crate) fn acquire(id: u64) -> impl Matcher {
    let script = script([key(id), token(id), lock(id)], |args| {
        matches!(args, [_, b"30000", _, b"2000", ..])
    });
    let token = token(id).into_bytes();
    move |args: &[Vec<u8>]| {
        let set: Vec<_> = args.iter().map(Vec::as_slice).collect();
        script(args) || matches!(set[..], [b"SET", key, _, b"NX", b"PX", b"30000"] if key == token)
    }
}

/// A store under the right to: token, value, ttl; whether to stamp it; and where a lock ends, holder, how long that says that
/// nothing came of it.
pub(crate) fn store(id: u64) -> impl Matcher {
    let without = script([key(id), token(id)], |args| {
        matches!(args, [_, _, _] | [_, _, _, b"0" | b"1"])
    });
    let with = script([key(id), token(id), lock(id)], |args| {
        matches!(args, [_, _, _, b"0" | b"1", _, b"1000"])
    });
    move |args: &[Vec<u8>]| without(args) || with(args)
}

/// The second step of a `put`: token, value, ttl, whether to stamp it.
pub(crate) fn put(id: u64) -> impl Matcher {
    let script = script([key(id), token(id), lock(id)], |args| {
        matches!(args, [_, _, _, b"0" | b"1"])
    });
    // A store has as many arguments, and no third key.
    move |args: &[Vec<u8>]| script(args) && args[2] == b"3"
}

/// The end of the right to store, without a store.
pub(crate) fn release(id: u64) -> impl Matcher {
    script([token(id), lock(id)], |args| {
        matches!(args, [_, b"0" | b"1", _, b"1000"])
    })
}

/// Lets the tasks of this runtime run as far as they get without Redis.
pub(crate) async fn breathe() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Lets the tasks of this runtime run as far as they get: replies come in the order of their commands, so
/// when a PING is answered, all that `cache` asked before it is.
pub(crate) async fn settle(cache: &Cache) {
    for _ in 0..5 {
        cache.ping().await.unwrap();
        breathe().await;
    }
}

/// Another runtime: the same cache has another connection there, which nothing on this one's holds up.
pub(crate) struct Elsewhere(Option<Runtime>);

impl Elsewhere {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self(Some(runtime))
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.as_ref().unwrap().spawn(future)
    }

    /// As [`settle`], there.
    pub(crate) async fn settle(&self, cache: &Cache) {
        let cache = cache.clone();
        self.spawn(async move { settle(&cache).await })
            .await
            .unwrap();
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Waiting for it is forbidden inside another runtime.
        self.0.take().unwrap().shutdown_background();
    }
}
