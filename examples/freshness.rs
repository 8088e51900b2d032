//! What callers see while the source of a cached function is slow, falls over, and comes back.
//!
//! ```text
//! cargo run --example freshness                                 # values are kept in this process
//! REDIS_URL=redis://127.0.0.1 cargo run --example freshness     # in Redis
//! ```
//!
//! One call each half a second: what it got, where from, and how old that was. It takes about eight
//! seconds.
#![allow(clippy::print_stdout)] // what an example is for

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use cache_runtime::{Cache, Outcome, Source, StoreStats, redis_cached, set_cache};

/// The headline of a section: the edition's number, so that one sees which run of the body it is from.
///
/// `newsroom` is copied where the body goes on behind the call, so it is `Clone`.
#[redis_cached(
    ttl = "1s",
    stale_while_revalidate = "1s",
    stale_if_error = "1m",
    soft_timeout = "100ms",
    skip(newsroom)
)]
async fn headline(newsroom: &Newsroom, section: &str) -> Result<String, NewsroomDown> {
    let edition = newsroom.ask().await?;
    Ok(format!("{section}, edition {edition}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::builder()
        .from_env()
        .refresh_pause(Duration::from_secs(1)..=Duration::from_secs(2))
        .build()?;
    match cache.stats().store {
        StoreStats::Redis { endpoint, .. } => println!("Values are kept in Redis at {endpoint}."),
        StoreStats::Off => println!("Nothing is kept: REDIS_CACHE=off"),
        _ => println!("Values are kept in this process. With Redis: REDIS_URL=redis://127.0.0.1"),
    }
    set_cache(cache);
    // What an earlier run left in Redis.
    headline_entry("sport").invalidate().await?;

    let newsroom = Newsroom::new();
    let mut log = Log::new(newsroom.clone());

    println!("\nThe source takes 300 ms.\n\n{HEADING}");
    log.call_until(|log| log.edition >= 2 && log.last == Some(Source::Hit))
        .await?;

    println!("\nIt falls over: from now on it takes 300 ms, and fails.\n\n{HEADING}");
    newsroom.is_down(true);
    log.call_until(|log| log.newsroom.failed() >= 2).await?;

    println!("\nIt is back.\n\n{HEADING}");
    newsroom.is_down(false);
    let before = log.edition;
    log.call_until(|log| log.edition > before && log.last == Some(Source::Hit))
        .await?;

    let Log { calls, errors, .. } = log;
    let (asked, failed) = (newsroom.asked(), newsroom.failed());
    println!(
        "\n{calls} calls, {errors} errors. The source was asked {asked} times, and failed {failed} times."
    );
    Ok(())
}

const HEADING: &str = "    at  waited  answer            from     age  source";

/// The calls, as they are told.
struct Log {
    newsroom: Newsroom,
    start: Instant,
    calls: u32,
    errors: u32,
    /// Of the last answer.
    edition: u32,
    last: Option<Source>,
}

impl Log {
    fn new(newsroom: Newsroom) -> Self {
        Self {
            newsroom,
            start: Instant::now(),
            calls: 0,
            errors: 0,
            edition: 0,
            last: None,
        }
    }

    /// One call each half a second, until `enough`.
    async fn call_until(&mut self, enough: impl Fn(&Self) -> bool) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        while !enough(self) {
            if start.elapsed() > Duration::from_secs(60) {
                return Err("a minute was not enough; is this machine very busy?".into());
            }
            let next = Instant::now() + Duration::from_millis(500);
            self.call().await;
            tokio::time::sleep_until(next.into()).await;
        }
        Ok(())
    }

    async fn call(&mut self) {
        let at = self.start.elapsed().as_secs_f64();
        let (asked, begin) = (self.newsroom.asked(), Instant::now());
        let outcome = Outcome::of(headline(&self.newsroom, "sport")).await;
        let waited = begin.elapsed().as_millis();
        // What began behind the call gets the time to begin.
        tokio::time::sleep(Duration::from_millis(20)).await;

        let answer = match outcome.value {
            Ok(headline) => {
                let number = headline.rsplit(' ').next().map(str::parse);
                self.edition = number.and_then(Result::ok).unwrap_or(0);
                headline
            }
            Err(error) => {
                self.errors += 1;
                error.to_string()
            }
        };
        let age = outcome.age.map_or_else(
            || "    -".to_owned(),
            |age| format!("{:3.1} s", age.as_secs_f64()),
        );
        let from = format!("{:?}", outcome.source);
        let source = if self.newsroom.asked() > asked {
            "is asked"
        } else {
            ""
        };
        let line = format!("{at:4.1} s {waited:4} ms  {answer:16}  {from:5}  {age}  {source}");
        println!("{}", line.trim_end());
        self.calls += 1;
        self.last = Some(outcome.source);
    }
}

/// A source that is slow at best. Clones are the same source.
#[derive(Clone)]
struct Newsroom(Arc<State>);

struct State {
    down: AtomicBool,
    asked: AtomicU32,
    failed: AtomicU32,
}

impl Newsroom {
    fn new() -> Self {
        Self(Arc::new(State {
            down: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            failed: AtomicU32::new(0),
        }))
    }

    async fn ask(&self) -> Result<u32, NewsroomDown> {
        let number = self.0.asked.fetch_add(1, Relaxed) + 1;
        let down = self.0.down.load(Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        if down {
            self.0.failed.fetch_add(1, Relaxed);
            return Err(NewsroomDown);
        }
        Ok(number - self.0.failed.load(Relaxed))
    }

    fn is_down(&self, down: bool) {
        self.0.down.store(down, Relaxed);
    }

    fn asked(&self) -> u32 {
        self.0.asked.load(Relaxed)
    }

    fn failed(&self) -> u32 {
        self.0.failed.load(Relaxed)
    }
}

/// `Clone`, so that callers who waited for one run share it.
#[derive(Debug, Clone)]
struct NewsroomDown;

impl fmt::Display for NewsroomDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the newsroom is down")
    }
}

impl Error for NewsroomDown {}
