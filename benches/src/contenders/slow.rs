//! The same contenders over a source that takes its time, each on a store of its own.
//!
//! **A call answers as its caller has it**: with the value, or with the contender's error.

mod amalgam;
mod by_hand;
mod cached;
mod hitbox;
mod moka;
mod redis_cached;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::values::{User, user_from_source};

type Answer = Pin<Box<dyn Future<Output = Result<User, String>> + Send>>;

/// A cached function of an id; its type is forgotten, at the price of one allocation a call.
#[derive(Clone)]
pub(crate) struct Function {
    name: &'static str,
    call: Arc<dyn Fn(u64) -> Answer + Send + Sync>,
}

impl Function {
    /// A function under its name in the tables.
    fn new<F, A>(name: &'static str, call: F) -> Self
    where
        F: Fn(u64) -> A + Send + Sync + 'static,
        A: Future<Output = Result<User, String>> + Send + 'static,
    {
        Self {
            name,
            call: Arc::new(move |id| Box::pin(call(id))),
        }
    }

    /// Its name in the tables.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Asks for a user.
    pub(crate) fn call(&self, id: u64) -> Answer {
        (self.call)(id)
    }
}

/// How many microseconds the source takes.
static SOURCE_TAKES: AtomicU64 = AtomicU64::new(0);

/// How long the source takes from now on: one for the process, as works run one after the other.
pub(crate) fn source_takes(time: Duration) {
    SOURCE_TAKES.store(time.as_micros() as u64, Ordering::Relaxed);
}

/// The body of all cached functions.
async fn source(id: u64) -> User {
    let time = Duration::from_micros(SOURCE_TAKES.load(Ordering::Relaxed));
    if !time.is_zero() {
        sleep(time).await;
    }
    user_from_source(id)
}

/// No value ends while it is measured.
const TTL: Duration = Duration::from_secs(3600);
/// Where values end while they are measured.
const SHORT_TTL: Duration = Duration::from_secs(1);
/// How many entries a store in memory holds at most, where one has to say it: more than any work has keys, since
/// some stores divide their room.
const ROOM: usize = 400_000;

/// Makes a function on the Redis at a URL.
pub(crate) type Make = for<'a> fn(&'a str) -> Pin<Box<dyn Future<Output = Function> + 'a>>;

/// In Redis, with nothing in memory.
pub(crate) const ON_REDIS: [Make; 6] = [
    |url| Box::pin(by_hand::multiplexed(url)),
    |url| Box::pin(by_hand::with_manager(url)),
    |url| Box::pin(async { redis_cached::on(url) }),
    |url| Box::pin(cached::on(url)),
    |url| Box::pin(async { hitbox::on(url) }),
    |url| Box::pin(amalgam::on(url)),
];

/// In Redis, hits to compare with, and those with a short lifetime: as they are, and with what is recommended against waiting at its end.
pub(crate) async fn short_lived(url: &str) -> Vec<Function> {
    let mut functions = redis_cached::short_lived(url);
    functions.push(hitbox::stale(url));
    functions.push(amalgam::eager(url).await);
    functions
}

/// In this process's memory, with room for [`ROOM`] entries.
pub(crate) fn in_memory() -> Vec<Function> {
    vec![
        redis_cached::in_memory(),
        cached::sharded(),
        cached::by_key(),
        moka::in_memory(),
        hitbox::in_memory(),
        amalgam::in_memory(),
    ]
}
