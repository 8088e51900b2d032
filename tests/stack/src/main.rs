//! Calls a function on a thread with so much stack, for its parent to see whether that is enough.
//!
//! The one rule: **an end by a signal means too little stack**; whatever else goes wrong has an exit code.

use std::{
    env,
    error::Error,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cache_runtime::{Cache, CacheControl, redis_cached, set_cache, sites};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::runtime::Builder;

/// A value of `N` bytes that lie in it, and not behind a pointer. Its JSON is short, so that the value itself is all
/// that is large.
#[derive(Debug, Clone)]
struct Inline<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Inline<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0[N - 1].serialize(serializer)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Inline<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(|byte| Self([byte; N]))
    }
}

/// Enough for any future here.
const ROOM: usize = 1 << 30;

/// How often a body ran.
static BODIES: AtomicU32 = AtomicU32::new(0);

#[redis_cached(ttl = 3600)]
async fn value<const N: usize>(byte: u8) -> Inline<N> {
    BODIES.fetch_add(1, Ordering::Relaxed);
    Inline([byte; N])
}

/// Calls itself, as a cached function may that walks a tree.
#[redis_cached(ttl = 3600)]
async fn depth(levels: u64) -> u64 {
    match levels {
        0 => 0,
        levels => 1 + Box::pin(depth(levels - 1)).await,
    }
}

/// A miss, and hits until one is counted. Under `NoStore`: two misses.
async fn value_twice<const N: usize>(is_bypass: bool) -> Result<(), String> {
    let limit = Instant::now() + Duration::from_secs(60);
    for call in 0.. {
        if value::<N>(7).await.0[0] != 7 {
            return Err("another value".to_owned());
        }
        let hits: u64 = sites().iter().map(|site| site.stats.hits).sum();
        match is_bypass {
            true if call == 1 => break,
            false if hits > 0 => break,
            _ if Instant::now() > limit => return Err("no hit".to_owned()),
            _ => {}
        }
    }
    let bodies = BODIES.load(Ordering::Relaxed);
    match (is_bypass, bodies) {
        (true, 2) | (false, 1) => Ok(()),
        _ => Err(format!("{bodies} bodies ran")),
    }
}

async fn levels(levels: u64) -> Result<(), String> {
    match depth(levels).await {
        counted if counted == levels => Ok(()),
        counted => Err(format!("{counted} levels")),
    }
}

type Call = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A call under `NoStore`, or not.
fn call(
    future: impl Future<Output = Result<(), String>> + Send + 'static,
    is_bypass: bool,
) -> Call {
    match is_bypass {
        true => Box::pin(CacheControl::NoStore.scope(future)),
        false => Box::pin(future),
    }
}

fn made(what: &str, much: u64, is_bypass: bool) -> Result<Call, String> {
    match (what, much) {
        ("value", 1) => Ok(call(value_twice::<1>(is_bypass), is_bypass)),
        ("value", 1024) => Ok(call(value_twice::<1024>(is_bypass), is_bypass)),
        ("value", 32_768) => Ok(call(value_twice::<32_768>(is_bypass), is_bypass)),
        ("value", 262_144) => Ok(call(value_twice::<262_144>(is_bypass), is_bypass)),
        ("depth", much) => Ok(call(levels(much), is_bypass)),
        _ => Err("`value` 1, 1024, 32768 or 262144, or `depth` and a number".to_owned()),
    }
}

fn prefix() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = now.expect("a clock after 1970").as_nanos();
    format!("{}-{since}", std::process::id())
}

/// `WHERE WHAT MUCH STACK`: `WHERE` is `process`, `bypass`, or the URL of a Redis; `STACK` has bytes.
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [place, what, much, stack] = &arguments[..] else {
        return Err("WHERE WHAT MUCH STACK".into());
    };
    let builder = Cache::builder().timeout(Duration::from_secs(60));
    let cache = match &**place {
        "process" | "bypass" => builder.in_memory().build()?,
        // One of its own, so that it finds nothing of another process.
        url => builder.url(url).prefix(prefix()).build()?,
    };
    set_cache(cache);
    let stack = stack.parse()?;
    let (what, much, is_bypass) = (what.clone(), much.parse()?, place == "bypass");
    // Made on a thread with room: what is measured is what it takes to poll it.
    let call = on_thread(ROOM, move || made(&what, much, is_bypass))??;
    // Of one thread, because a runtime with workers would have other features of tokio built than the counts of
    // instructions are made with.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    on_thread(stack, move || runtime.block_on(call))??;
    Ok(())
}

fn on_thread<T: Send + 'static>(
    stack: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Box<dyn Error>> {
    let thread = thread::Builder::new().stack_size(stack).spawn(run)?;
    Ok(thread.join().map_err(|_| "a panic")?)
}
