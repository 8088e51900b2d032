//! Callers that call, one call after the other, and what a call took.
//!
//! **Every caller is a task of its own**, as in a service, and takes the answer as the value that it asked for.

use std::hint::black_box;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

use crate::contenders::Contender;
use crate::values::Size;

/// Who calls, for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Of which size the values are.
    pub(crate) size: Size,
    /// How many tasks call.
    pub(crate) callers: u64,
    /// How many keys there are. Callers share none, unless there are fewer than callers.
    pub(crate) keys: u64,
    /// How many calls a caller makes between two looks at the clock: more than one where a call takes less
    /// than a few looks.
    pub(crate) batch: u32,
}

impl Load {
    /// The ids that a caller asks for, at random.
    fn ids(self, caller: u64) -> impl FnMut() -> u64 {
        let (first, callers) = (self.size.first_id(), self.callers);
        let own = self.keys.div_ceil(callers).max(1);
        let mut random = fastrand::Rng::with_seed(caller);
        move || first + (caller + callers * random.u64(..own)) % self.keys
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// How many calls there were.
    pub(crate) calls: u64,
    /// How long all of it took.
    pub(crate) time: Duration,
    /// How many nanoseconds each call took, or each batch of calls, divided by their number.
    pub(crate) waits: Histogram<u64>,
}

impl Sample {
    /// Nothing so far.
    pub(crate) fn empty() -> Self {
        Self {
            calls: 0,
            time: Duration::ZERO,
            waits: Histogram::new(3).expect("three digits are among the possible"),
        }
    }

    /// How many nanoseconds passed for each call: with many callers less than one of them waits.
    pub(crate) fn per_call(&self) -> f64 {
        self.time.as_nanos() as f64 / self.calls as f64
    }
}

impl AddAssign<&Self> for Sample {
    fn add_assign(&mut self, other: &Self) {
        self.calls += other.calls;
        self.time += other.time;
        self.waits += &other.waits;
    }
}

/// Lets all callers call for this long.
pub(crate) async fn drive<C: Contender>(contender: &C, load: Load, time: Duration) -> Sample {
    let gate = Arc::new(Barrier::new(load.callers as usize + 1));
    let mut callers = JoinSet::new();
    for caller in 0..load.callers {
        let (contender, gate) = (contender.clone(), Arc::clone(&gate));
        callers.spawn(async move {
            gate.wait().await;
            call(&contender, load, caller, time).await
        });
    }
    gate.wait().await;
    let start = Instant::now();
    let mut all = Sample::empty();
    while let Some(sample) = callers.join_next().await {
        all += &sample.expect("a caller that ends");
    }
    all.time = start.elapsed();
    all
}

/// One caller's calls.
async fn call<C: Contender>(contender: &C, load: Load, caller: u64, time: Duration) -> Sample {
    let mut sample = Sample::empty();
    let mut next_id = load.ids(caller);
    let start = Instant::now();
    let mut last = start;
    while last.duration_since(start) < time {
        for _ in 0..load.batch {
            let id = next_id();
            match load.size {
                Size::B50 => drop(black_box(contender.price(id).await)),
                _ => drop(black_box(contender.user(id).await)),
            }
        }
        if load.batch > 1 {
            // Nothing else here ever waits, and the other callers want their turn.
            yield_now().await;
        }
        let now = Instant::now();
        let wait = now.duration_since(last).as_nanos() as u64 / u64::from(load.batch);
        sample.waits.record(wait).expect("a histogram that grows");
        sample.calls += u64::from(load.batch);
        last = now;
    }
    sample
}
