//! Callers of a function over a source that takes its time.
//!
//! **Every caller is a task of its own and has ids of its own**, which do not depend on how fast it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::hits::time;
use crate::contenders::slow::Function;
use crate::values::times_asked;

/// What the callers had.
pub(super) struct Answers {
    /// How many calls there were.
    pub(super) calls: u64,
    /// How many of them ended in an error.
    pub(super) errors: u64,
    /// How often the source was asked.
    pub(super) runs: u64,
    /// How long all of it took.
    pub(super) time: Duration,
    /// How many nanoseconds each call took.
    waits: Histogram<u64>,
}

/// Lets each caller ask for its ids, one call after the other; all begin at once.
pub(super) async fn ask<I>(function: &Function, callers: impl Iterator<Item = I>) -> Answers
where
    I: Iterator<Item = u64> + Send + 'static,
{
    ask_with(function, callers, Duration::ZERO).await
}

/// As [`ask`], with a pause after each call.
pub(super) async fn ask_with<I>(
    function: &Function,
    callers: impl Iterator<Item = I>,
    pause: Duration,
) -> Answers
where
    I: Iterator<Item = u64> + Send + 'static,
{
    let callers: Vec<_> = callers.collect();
    let gate = Arc::new(Barrier::new(callers.len() + 1));
    let mut asking = JoinSet::new();
    for ids in callers {
        let (function, gate) = (function.clone(), Arc::clone(&gate));
        asking.spawn(async move {
            gate.wait().await;
            ask_for(&function, ids, pause).await
        });
    }
    let asked = times_asked();
    gate.wait().await;
    let callers = asking.join_all().await;
    let start = callers.iter().map(|caller| caller.start).min();
    let end = callers.iter().map(|caller| caller.end).max();
    let mut waits = Histogram::new(3).expect("three digits are among the possible");
    // Only now: a histogram takes longer to make than a call takes.
    for wait in callers.iter().flat_map(|caller| &caller.waits) {
        waits.record(*wait).expect("a histogram that grows");
    }
    Answers {
        calls: waits.len(),
        errors: callers.iter().map(|caller| caller.errors).sum(),
        runs: times_asked() - asked,
        time: end
            .zip(start)
            .map_or(Duration::ZERO, |(end, start)| end - start),
        waits,
    }
}

/// What one caller had.
struct Asked {
    start: Instant,
    end: Instant,
    errors: u64,
    /// In nanoseconds.
    waits: Vec<u64>,
}

async fn ask_for(function: &Function, ids: impl Iterator<Item = u64>, pause: Duration) -> Asked {
    let start = Instant::now();
    let mut asked = Asked {
        start,
        end: start,
        errors: 0,
        waits: Vec::new(),
    };
    for id in ids {
        let start = Instant::now();
        asked.errors += u64::from(function.call(id).await.is_err());
        asked.end = Instant::now();
        asked.waits.push((asked.end - start).as_nanos() as u64);
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    asked
}

/// The columns that [`Answers::row`] fills.
pub(super) const HEADER: [&str; 8] = [
    "contender",
    "source runs",
    "hits",
    "errors",
    "calls a second",
    "p50",
    "p99",
    "p99.9",
];

impl Answers {
    /// A line of the table.
    pub(super) fn row(&self, function: &Function) -> Vec<String> {
        let hits = self.calls.saturating_sub(self.runs) as f64 / self.calls as f64;
        let at = |quantile| time(self.waits.value_at_quantile(quantile) as f64);
        vec![
            function.name().to_owned(),
            self.runs.to_string(),
            format!("{:.1} %", 100.0 * hits),
            self.errors.to_string(),
            format!("{:.0}", self.calls as f64 / self.time.as_secs_f64()),
            at(0.5),
            at(0.99),
            at(0.999),
        ]
    }
}
