//! A Redis that is killed, and one that freezes: what callers have meanwhile, and afterwards.
//!
//! **Each contender has a server of its own**, and a few seconds: whoever still waits then is counted as unanswered.

mod callers;

use std::time::Duration;

use cache_tests::RedisServer;
use tokio::time::sleep;

use self::callers::{Callers, Outage};
use super::hits::time;
use crate::contenders::slow::{Function, ON_REDIS, source_takes};
use crate::section::Section;
use crate::settings::Settings;

const SOURCE: Duration = Duration::from_millis(1);
/// How long after Redis's return hits are waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after that a call may still wait without being counted as unanswered.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum Fault {
    Killed,
    Frozen,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed, restarted empty",
            Self::Frozen => "frozen, thawed",
        }
    }

    fn begin(self, server: &RedisServer) {
        match self {
            Self::Killed => server.kill(),
            Self::Frozen => server.stop(),
        }
    }

    async fn end(self, server: &RedisServer) {
        match self {
            Self::Killed => server.restart().await,
            Self::Frozen => server.cont(),
        }
    }
}

/// Both faults, all contenders.
pub(crate) async fn run(settings: &Settings) -> Section {
    source_takes(SOURCE);
    let lasts = Duration::from_millis(if settings.quick { 500 } else { 2_000 });
    let mut rows = Vec::new();
    for fault in [Fault::Killed, Fault::Frozen] {
        for make in ON_REDIS {
            let server = RedisServer::start().await;
            let function = make(&server.url()).await;
            rows.push(row(&server, &function, fault, lasts).await);
        }
    }
    Section {
        title: "Redis is away".to_owned(),
        reading: format!(
            "{} callers, each on a key of its own with a millisecond's pause between calls, over a source that takes {} ms; Redis is away for \
             {} s. The figures are of calls that ended or waited meanwhile. *errors* reach the caller; *unanswered* calls still waited {} s after \
             hits were back. *p99* and *longest* are best near what the source takes. *hits again* is how long after Redis's return the source is \
             hardly asked any more. `cached` could be built to reconnect, by a feature that its default for Redis does not turn on.",
            Callers::COUNT,
            SOURCE.as_millis(),
            lasts.as_secs_f64(),
            GRACE.as_secs(),
        ),
        header: [
            "Redis is",
            "contender",
            "answered",
            "errors",
            "unanswered",
            "p99",
            "longest",
            "hits again",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
        bars: None,
    }
}

async fn row(
    server: &RedisServer,
    function: &Function,
    fault: Fault,
    lasts: Duration,
) -> Vec<String> {
    let outage = Outage::to_come();
    let callers = Callers::start(function, &outage);
    sleep(Duration::from_millis(500)).await;
    outage.begin();
    fault.begin(server);
    sleep(lasts).await;
    outage.end();
    fault.end(server).await;
    let hits = callers.hits_within(PATIENCE).await;
    // Others may still hang where some are served at once.
    sleep(GRACE).await;
    let tally = callers.end();
    let hits = match hits {
        None => format!("not in {} s", PATIENCE.as_secs()),
        Some(after) if after < Callers::LOOK => "at once".to_owned(),
        Some(after) => format!("{} ms", after.as_millis()),
    };
    vec![
        fault.name().to_owned(),
        function.name().to_owned(),
        tally.answered.to_string(),
        tally.errors.to_string(),
        tally.unanswered.to_string(),
        time(tally.waits.value_at_quantile(0.99) as f64),
        time(tally.waits.max() as f64),
        hits,
    ]
}
