//! Everybody at once on a key that nobody has: a hot key after a deployment.
//!
//! **Every round has a key of its own**, on which each caller calls once.

use std::iter::once;
use std::time::{Duration, Instant};

use cache_tests::RedisServer;

use super::callers::{Answers, ask};
use super::hits::time;
use crate::contenders::slow::{Function, ON_REDIS, in_memory, source_takes};
use crate::section::Section;
use crate::settings::Settings;
use crate::values::Size;

const SOURCE: Duration = Duration::from_millis(50);
/// After so long a contender has no further round.
const ENOUGH: Duration = Duration::from_secs(1);

/// On Redis and in memory.
pub(crate) async fn run(settings: &Settings) -> Section {
    let server = RedisServer::start().await;
    source_takes(SOURCE);
    let callers: usize = if settings.quick { 1_000 } else { 10_000 };
    let mut rows = Vec::new();
    for make in ON_REDIS {
        let function = make(&server.url()).await;
        rows.push(row("Redis", &function, callers).await);
    }
    for function in in_memory() {
        rows.push(row("memory", &function, callers).await);
    }
    Section {
        title: "A stampede".to_owned(),
        reading: format!(
            "{callers} callers ask at once for one key that is not stored, and the source takes {} ms. *source runs* are best where there is \
             one; *until all were answered* is best near what the source takes. The middle one of three rounds; who is slow has fewer.",
            SOURCE.as_millis(),
        ),
        header: [
            "store",
            "contender",
            "source runs",
            "errors",
            "until all were answered",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
        bars: None,
    }
}

async fn row(store: &str, function: &Function, callers: usize) -> Vec<String> {
    let mut rounds: Vec<Answers> = Vec::new();
    let start = Instant::now();
    for round in 0..3 {
        if round > 0 && start.elapsed() > ENOUGH {
            break;
        }
        let id = Size::B330.first_id() + round;
        rounds.push(ask(function, (0..callers).map(|_| once(id))).await);
    }
    rounds.sort_by_key(|answers| answers.time);
    let middle = &rounds[rounds.len() / 2];
    vec![
        store.to_owned(),
        function.name().to_owned(),
        middle.runs.to_string(),
        middle.errors.to_string(),
        time(middle.time.as_nanos() as f64),
    ]
}
