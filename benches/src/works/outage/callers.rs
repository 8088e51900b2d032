//! Callers who never stop, and what the calls had that were under way during an outage.
//!
//! **A call counts if it ended after the outage began and began before its end**, or never ended.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::contenders::slow::Function;
use crate::values::{Size, times_asked};

/// When the outage was; nothing of it before it was.
#[derive(Clone, Default)]
pub(super) struct Outage(Arc<(OnceLock<Instant>, OnceLock<Instant>)>);

impl Outage {
    pub(super) fn to_come() -> Self {
        Self::default()
    }

    pub(super) fn begin(&self) {
        self.0.0.get_or_init(Instant::now);
    }

    pub(super) fn end(&self) {
        self.0.1.get_or_init(Instant::now);
    }

    /// Whether a call was under way in it that began then and ends now.
    fn met(&self, began: Instant) -> bool {
        self.0.0.get().is_some() && self.0.1.get().is_none_or(|end| began < *end)
    }
}

/// What the calls of an outage had.
pub(super) struct Tally {
    pub(super) answered: u64,
    pub(super) errors: u64,
    pub(super) unanswered: u64,
    /// How many nanoseconds each of them took, or waited so far.
    pub(super) waits: Histogram<u64>,
    /// All values so far, also before and after the outage.
    values: u64,
    /// All errors so far.
    failures: u64,
    /// When the calls began that are under way, by caller.
    under_way: Vec<Option<Instant>>,
}

impl Tally {
    fn empty() -> Self {
        Self {
            answered: 0,
            errors: 0,
            unanswered: 0,
            waits: Histogram::new(3).expect("three digits are among the possible"),
            values: 0,
            failures: 0,
            under_way: vec![None; Callers::COUNT as usize],
        }
    }

    fn wait(&mut self, began: Instant) {
        let wait = began.elapsed().as_nanos() as u64;
        self.waits.record(wait).expect("a histogram that grows");
    }

    /// A caller's call has ended.
    fn ended(&mut self, caller: u64, began: Instant, well: bool, outage: &Outage) {
        self.under_way[caller as usize] = None;
        let counts = outage.met(began);
        if well {
            self.values += 1;
            self.answered += u64::from(counts);
        } else {
            self.failures += 1;
            self.errors += u64::from(counts);
        }
        if counts {
            self.wait(began);
        }
    }
}

/// Callers on keys of their own; dropped, they end.
pub(super) struct Callers {
    tally: Arc<Mutex<Tally>>,
    outage: Outage,
    _calling: JoinSet<()>,
}

impl Callers {
    pub(super) const COUNT: u64 = 64;
    /// How long hits are counted at a time.
    pub(super) const LOOK: Duration = Duration::from_millis(20);

    pub(super) fn start(function: &Function, outage: &Outage) -> Self {
        let tally = Arc::new(Mutex::new(Tally::empty()));
        let mut calling = JoinSet::new();
        for caller in 0..Self::COUNT {
            let (function, tally, outage) = (function.clone(), Arc::clone(&tally), outage.clone());
            calling.spawn(async move {
                loop {
                    let began = Instant::now();
                    lock(&tally).under_way[caller as usize] = Some(began);
                    let answer = function.call(Size::B330.first_id() + caller).await;
                    lock(&tally).ended(caller, began, answer.is_ok(), &outage);
                    sleep(Duration::from_millis(1)).await;
                }
            });
        }
        Self {
            tally,
            outage: outage.clone(),
            _calling: calling,
        }
    }

    /// How long it takes from now until nine calls in ten are hits and none fails, at most this long.
    pub(super) async fn hits_within(&self, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        while start.elapsed() < limit {
            let since = start.elapsed();
            let (values, failures, asked) = self.so_far();
            sleep(Self::LOOK).await;
            let (more_values, more_failures, more_asked) = self.so_far();
            let values = more_values - values;
            if values >= Self::COUNT
                && more_failures == failures
                && (more_asked - asked) * 10 <= values
            {
                return Some(since);
            }
        }
        None
    }

    fn so_far(&self) -> (u64, u64, u64) {
        let tally = lock(&self.tally);
        (tally.values, tally.failures, times_asked())
    }

    /// Ends it, and counts those who still wait.
    pub(super) fn end(self) -> Tally {
        let mut tally = std::mem::replace(&mut *lock(&self.tally), Tally::empty());
        for began in std::mem::take(&mut tally.under_way).into_iter().flatten() {
            if self.outage.met(began) {
                tally.unanswered += 1;
                tally.wait(began);
            }
        }
        tally
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
