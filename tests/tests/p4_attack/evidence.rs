//! What is true, told by a Redis of its own, so that neither the cache under test nor the death of a process
//! has a say in it.
//!
//! The one rule: **the evidence is older than the call**: who reads asks first which change had been followed by
//! a successful invalidation, and only then begins the call; who changes says so only after the invalidation
//! returned `Ok`. So no order between processes is taken for granted, and no clock is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cache_runtime::redis_cached;
use cache_runtime::{Cache, Error};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue};

use crate::pause::{chance, pause};

/// The keys that anybody may change, and behind them those that one process each may `put`.
pub(crate) const SHARED: u64 = 8;
pub(crate) const PROCESSES: u64 = 4;
pub(crate) const KEYS: u64 = SHARED + PROCESSES;

/// A database with one row a key, which holds how often it was changed.
#[derive(Clone)]
pub(crate) struct Source {
    connection: MultiplexedConnection,
    /// What this process may not read any more: it could not invalidate it, and remembers that.
    own: Arc<[AtomicU64; KEYS as usize]>,
}

/// A body's error: it has seen the source, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) version: u64,
}

impl Source {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        // A process that was frozen for a while has not lost its source.
        let unlimited = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&unlimited);
        Self {
            connection: connection.await.unwrap(),
            own: Arc::default(),
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let mut connection = self.connection.clone();
        command.query_async(&mut connection).await.unwrap()
    }

    async fn version(&self, id: u64) -> u64 {
        let found: Option<u64> = self
            .ask(redis::cmd("GET").arg(format!("version:{id}")))
            .await;
        found.unwrap_or_default()
    }

    /// Commits the next version.
    pub(crate) async fn change(&self, id: u64) -> u64 {
        self.ask(redis::cmd("INCR").arg(format!("version:{id}")))
            .await
    }

    /// The oldest version that a call which begins now may return.
    pub(crate) async fn floor(&self, id: u64) -> u64 {
        let found: Option<u64> = self.ask(redis::cmd("GET").arg(format!("floor:{id}"))).await;
        let own = self.own[id as usize].load(SeqCst);
        found.unwrap_or_default().max(own)
    }

    /// An invalidation that began after `version` was committed has returned `Ok`.
    pub(crate) async fn is_final(&self, id: u64, version: u64) {
        const RAISE: &str = "if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then
                redis.call('SET', KEYS[1], ARGV[1])
            end";
        let mut raise = redis::cmd("EVAL");
        raise
            .arg(RAISE)
            .arg(1)
            .arg(format!("floor:{id}"))
            .arg(version);
        self.ask::<()>(&raise).await;
    }

    /// One has failed: this process makes up for it before it next reads.
    pub(crate) fn is_final_here(&self, id: u64, version: u64) {
        self.own[id as usize].fetch_max(version, SeqCst);
    }

    /// What a cached function does: it reads the source, takes its time, and fails now and then.
    pub(crate) async fn read(&self, id: u64) -> Result<u64, Failed> {
        pause().await;
        let version = self.version(id).await;
        pause().await;
        if chance(8) {
            return Err(Failed { version });
        }
        Ok(version)
    }

    pub(crate) async fn accuse(&self, what: &str) {
        self.ask::<()>(redis::cmd("RPUSH").arg("accusations").arg(what))
            .await;
    }

    pub(crate) async fn accusations(&self) -> Vec<String> {
        let list = redis::cmd("LRANGE")
            .arg("accusations")
            .arg(0)
            .arg(-1)
            .clone();
        self.ask(&list).await
    }

    /// Keeps what a process has counted so far, which may be killed at any moment.
    pub(crate) async fn keep(&self, process: &str, figures: &Figures) {
        let mut keep = redis::cmd("HSET");
        keep.arg(format!("figures:{process}")).arg(&figures.0);
        self.ask::<()>(&keep).await;
    }

    /// What all processes have counted.
    pub(crate) async fn figures(&self) -> Figures {
        let mut all = Figures::default();
        let processes: Vec<String> = self.ask(redis::cmd("KEYS").arg("figures:*")).await;
        for process in processes {
            let of_one: BTreeMap<String, u64> = self.ask(redis::cmd("HGETALL").arg(process)).await;
            for (name, n) in of_one {
                all.count(&name, n);
            }
        }
        all
    }
}

/// How often what happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(BTreeMap<String, u64>);

impl Figures {
    pub(crate) fn count(&mut self, name: &str, n: u64) {
        *self.0.entry(name.to_owned()).or_default() += n;
    }

    pub(crate) fn set(&mut self, name: &str, n: u64) {
        self.0.insert(name.to_owned(), n);
    }

    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures: Vec<_> = self
            .0
            .iter()
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        f.write_str(&figures.join(", "))
    }
}

/// How many functions read the same keys, each with other options.
pub(crate) const READERS: u64 = 9;

/// Calls one of them.
pub(crate) async fn read(
    cache: &Cache,
    source: &Source,
    reader: u64,
    id: u64,
) -> Result<u64, Failed> {
    let (cache, source) = (cache.clone(), source.clone());
    match reader {
        0 => plain(cache, source, id).await,
        1 => revalidating(cache, source, id).await,
        2 => on_error(cache, source, id).await,
        3 => ahead(cache, source, id).await,
        4 => ahead_at_random(cache, source, id).await,
        5 => impatient(cache, source, id).await,
        6 => cluster(cache, source, id).await,
        7 => everything(cache, source, id).await,
        _ => {
            let entry = plain_entry(cache, id);
            entry.get_or_compute(|| source.read(id)).await
        }
    }
}

pub(crate) fn invalidate(cache: &Cache, id: u64) -> impl Future<Output = Result<(), Error>> {
    let entry = plain_entry(cache.clone(), id);
    async move { entry.invalidate().await }
}

#[redis_cached(ttl = "500ms", key = "item:{id}", skip(cache, source), cache = &cache)]
pub(crate) async fn plain(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}

#[redis_cached(ttl = "50ms", key = "item:{id}", skip(cache, source), cache = &cache, stale_while_revalidate = "3s")]
pub(crate) async fn revalidating(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}

#[redis_cached(ttl = "50ms", key = "item:{id}", skip(cache, source), cache = &cache, stale_if_error = "3s")]
async fn on_error(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}

#[redis_cached(ttl = "300ms", key = "item:{id}", skip(cache, source), cache = &cache, refresh_ahead = 0.2)]
async fn ahead(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}

#[redis_cached(
    ttl = "300ms", key = "item:{id}", skip(cache, source), cache = &cache, refresh_ahead = "xfetch", jitter = 0.5
)]
async fn ahead_at_random(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}

#[redis_cached(
    ttl = "50ms", key = "item:{id}", skip(cache, source), cache = &cache,
    stale_if_error = "3s", soft_timeout = "4ms"
)]
async fn impatient(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}

#[redis_cached(ttl = "200ms", key = "item:{id}", skip(cache, source), cache = &cache, coalesce = "cluster")]
async fn cluster(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}

#[redis_cached(
    ttl = "100ms", key = "item:{id}", skip(cache, source), cache = &cache,
    stale_while_revalidate = "200ms", stale_if_error = "3s", refresh_ahead = 0.5,
    soft_timeout = "4ms", jitter = 0.3, coalesce = "cluster"
)]
pub(crate) async fn everything(cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
    source.read(id).await
}
