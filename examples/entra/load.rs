//! The callers: some of a cached function, and one of a connection that is kept from the beginning to the end.
//!
//! The one rule: **every answer is checked**, so that one that belongs to another's question would be seen.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cache_runtime::{
    Cache, Connection, redis,
    redis::{FromRedisValue, RedisResult},
    redis_cached,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::latency::Latencies;

const CALLERS: usize = 8;
const ARTICLES: u32 = 100;
/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Serialize, Deserialize)]
struct Price {
    article: u32,
    cents: u32,
    /// When the database said so, in microseconds since 1970.
    read: u128,
}

/// What a service caches: a slow question to a database.
#[redis_cached(ttl = "5s")]
async fn price(article: u32) -> Price {
    tokio::time::sleep(Duration::from_millis(15)).await;
    Price {
        article,
        cents: cents(article),
        read: now(),
    }
}

fn cents(article: u32) -> u32 {
    article * 100 + 99
}

fn now() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros()
}

/// What the callers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    calls: AtomicU64,
    commands: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<String>>,
    hits: Mutex<Latencies>,
}

impl Seen {
    /// How many calls of the cached function were answered.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// How many commands were answered on the connection.
    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Relaxed)
    }

    /// How many of both were not answered, or wrongly.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn last_failure(&self) -> Option<String> {
        lock(&self.last_failure).clone()
    }

    /// How long hits took since this was last asked.
    pub(crate) fn take_hits(&self) -> Latencies {
        mem::take(&mut lock(&self.hits))
    }

    fn failure(&self, why: String) {
        self.failed.fetch_add(1, Relaxed);
        *lock(&self.last_failure) = Some(why);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the callers; dropped, they end.
pub(crate) fn start(cache: &Cache) -> Result<(JoinSet<()>, Arc<Seen>), cache_runtime::Error> {
    let seen = Arc::new(Seen::default());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(ask_prices(seen.clone()));
    }
    callers.spawn(send_commands(cache.connection()?, seen.clone()));
    Ok((callers, seen))
}

async fn ask_prices(seen: Arc<Seen>) {
    loop {
        let article = fastrand::u32(..ARTICLES);
        let (start, began) = (Instant::now(), now());
        let answer = price(article).await;
        let time = start.elapsed();
        if answer.article == article && answer.cents == cents(article) {
            seen.calls.fetch_add(1, Relaxed);
        } else {
            seen.failure(format!(
                "article {article}: an answer about article {} came",
                answer.article
            ));
        }
        // Older than the question, so no body that ran meanwhile has given it.
        if answer.read < began {
            lock(&seen.hits).add(time);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same connection for ever, as a service keeps it in its state.
async fn send_commands(mut connection: Connection, seen: Arc<Seen>) {
    for number in 0_u64.. {
        let answer: RedisResult<String> = ping(&mut connection, number).await;
        match answer {
            Ok(text) if text == number.to_string() => {
                seen.commands.fetch_add(1, Relaxed);
            }
            Ok(text) => seen.failure(format!("PING {number}: `{text}` came back")),
            Err(error) => seen.failure(format!("PING {number}: {error}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ping<T: FromRedisValue>(connection: &mut Connection, number: u64) -> RedisResult<T> {
    redis::cmd("PING").arg(number).query_async(connection).await
}
