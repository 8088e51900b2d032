//! A service as it runs on Azure: the environment says where and who, and the rest is `get_cache()`.

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use cache_runtime::{Cache, ErrorKind, StoreStats, TokenStats, get_cache};
use tokio::{
    pin, select,
    time::{MissedTickBehavior, interval_at, sleep},
};
use tracing_subscriber::{filter::Targets, prelude::*};

use crate::{
    Options,
    latency::Latencies,
    load::{self, Seen},
};

/// How long the first login may take; `az` may need some seconds.
const LOGIN_LIMIT: Duration = Duration::from_secs(60);

const NO_TOKEN: &str =
    "this login needs no token of Entra ID; unset REDIS_PASSWORD, and set REDIS_AUTH=entra";

/// Lines between two headings.
const PAGE: u64 = 20;

pub(crate) async fn run(options: &Options) -> Result<ExitCode, String> {
    // What is in a service's log anyway tells of each token and each failure.
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .without_time()
                .with_target(false),
        )
        .with(Targets::new().with_target("cache_runtime", tracing::Level::INFO))
        .init();

    let cache = get_cache().await.map_err(|error| chain(&error))?;
    let StoreStats::Redis { endpoint, .. } = cache.stats().store else {
        return Err("`REDIS_HOST` is set, but values are kept in this process".to_owned());
    };
    println!("Connecting to {endpoint}.");
    let token = log_in(&cache).await?;
    println!(
        "Logged in as {}, with a token of {} that expires in {}.\n",
        token.user.as_deref().unwrap_or("nobody"),
        token.credential.unwrap_or("nobody"),
        whole(token.expires_in)
    );

    let (callers, seen) = load::start(&cache).map_err(|error| chain(&error))?;
    let mut report = Report::new(&cache, &seen, token.refreshes);
    let every = options.every.unwrap_or(Duration::from_secs(5));
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    // A machine that slept prints one line for that time, not all at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let end = end(options.seconds);
    pin!(end);
    loop {
        select! {
            // First, so that nothing is printed behind the end.
            biased;
            ended = &mut end => break ended?,
            _ = ticks.tick() => report.line(),
        }
    }
    drop(callers);
    report.summary();
    let closed = cache.shutdown().await;
    closed.map_err(|error| chain(&error))?;
    Ok(if seen.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Ctrl-C, or the end of the time that was given.
async fn end(seconds: Option<Duration>) -> Result<(), String> {
    let time = async {
        match seconds {
            Some(seconds) => sleep(seconds).await,
            None => std::future::pending().await,
        }
    };
    select! {
        () = time => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed.map_err(|error| format!("no signals: {error}")),
    }
}

/// Waits for the first login. A service would not: until it is logged in, its calls run their bodies.
async fn log_in(cache: &Cache) -> Result<TokenStats, String> {
    let known = || token(cache).ok_or(NO_TOKEN);
    known()?;
    let start = Instant::now();
    let mut why = None;
    loop {
        match cache.ping().await {
            Ok(()) => return Ok(known()?),
            // It was not tried, because of an error that was told before.
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => why = Some(chain(&error)),
        }
        if start.elapsed() > LOGIN_LIMIT {
            return Err(why.unwrap_or_else(|| "redis does not answer".to_owned()));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn token(cache: &Cache) -> Option<TokenStats> {
    match cache.stats().store {
        StoreStats::Redis { token, .. } => token,
        _ => None,
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// A duration in whole seconds, as `19s` or `57m 12s`.
fn whole(time: Option<Duration>) -> String {
    match time {
        Some(time) => humantime::format_duration(Duration::from_secs(time.as_secs())).to_string(),
        None => "-".to_owned(),
    }
}

fn millis(time: Option<Duration>) -> String {
    match time {
        Some(time) => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        None => "-".to_owned(),
    }
}

/// What is shown of the service's state, line by line.
struct Report<'a> {
    cache: &'a Cache,
    seen: &'a Seen,
    start: Instant,
    lines: u64,
    /// Tokens that had come at the start: the first one is no rotation.
    refreshes_before: u64,
    /// Rotations at the last line.
    rotations: u64,
    hits: Latencies,
}

impl<'a> Report<'a> {
    fn new(cache: &'a Cache, seen: &'a Seen, refreshes_before: u64) -> Self {
        Self {
            cache,
            seen,
            start: Instant::now(),
            lines: 0,
            refreshes_before,
            rotations: 0,
            hits: Latencies::default(),
        }
    }

    fn rotations_so_far(&self) -> u64 {
        let refreshes = token(self.cache).map_or(0, |token| token.refreshes);
        refreshes.saturating_sub(self.refreshes_before)
    }

    fn line(&mut self) {
        if self.lines.is_multiple_of(PAGE) {
            println!(
                "{:>9} {:>8} {:>8} {:>7} {:>7} {:>7} {:>9} | {:>9} {:>10} {:>6} {:>8} | connections",
                "time",
                "calls",
                "hits",
                "bodies",
                "errors",
                "failed",
                "p99 hit",
                "token age",
                "expires in",
                "tokens",
                "failures"
            );
        }
        self.lines += 1;
        let latest = self.seen.take_hits();
        self.hits.add_all(&latest);
        let stats = self.cache.stats();
        let StoreStats::Redis {
            connections,
            connections_tried,
            token: Some(token),
            ..
        } = stats.store
        else {
            return;
        };
        let sum = |of: fn(&cache_runtime::SiteStats) -> u64| -> u64 {
            stats.sites.iter().map(|site| of(&site.stats)).sum()
        };
        let rotations = token.refreshes.saturating_sub(self.refreshes_before);
        let mark = if rotations > self.rotations {
            format!("  <- rotation {rotations}")
        } else {
            String::new()
        };
        self.rotations = rotations;
        println!(
            "{:>9} {:>8} {:>8} {:>7} {:>7} {:>7} {:>9} | {:>9} {:>10} {:>6} {:>8} | {connections} open of {connections_tried}{mark}",
            whole(Some(self.start.elapsed())),
            self.seen.calls(),
            sum(|stats| stats.hits),
            sum(|stats| stats.body_runs),
            sum(|stats| stats.errors.total()),
            self.seen.failed(),
            millis(latest.percentile(99)),
            whole(token.age),
            whole(token.expires_in),
            token.refreshes,
            token.failures,
        );
    }

    fn summary(mut self) {
        self.hits.add_all(&self.seen.take_hits());
        println!(
            "\nIn {}: {} calls and {} commands, {} failed; {} rotations.",
            whole(Some(self.start.elapsed())),
            self.seen.calls(),
            self.seen.commands(),
            self.seen.failed(),
            self.rotations_so_far(),
        );
        if let Some(why) = self.seen.last_failure() {
            println!("The last that failed: {why}");
        }
        for site in self.cache.stats().sites {
            let stats = site.stats;
            println!(
                "{}: {} hits, {} body runs, cache errors: {}; half of the hits took {} at most, 99 of 100 {}.",
                site.function,
                stats.hits,
                stats.body_runs,
                stats.errors,
                millis(self.hits.percentile(50)),
                millis(self.hits.percentile(99)),
            );
        }
    }
}
