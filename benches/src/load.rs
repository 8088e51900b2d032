//! Callers that call, one call after the other, and what a call took.
//!
//! **Every caller is a task of its own**, as in a service, and takes the answer as the value that it asked for.

use std::hint::black_box;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
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
        let own = (self.keys / callers).max(1);
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
    /// How much processor time of this process all of it took; a busy machine changes it little.
    pub(crate) processor: Duration,
    /// How many nanoseconds each call took, or each batch of calls, divided by their number.
    pub(crate) waits: Histogram<u64>,
}

impl Sample {
    /// Nothing so far.
    pub(crate) fn empty() -> Self {
        Self {
            calls: 0,
            time: Duration::ZERO,
            processor: Duration::ZERO,
            waits: Histogram::new(3).expect("three digits are among the possible"),
        }
    }

    /// How many nanoseconds passed for each call: with many callers less than one of them waits.
    pub(crate) fn per_call(&self) -> f64 {
        self.time.as_nanos() as f64 / self.calls as f64
    }

    /// How many nanoseconds of this process's processor time each call took.
    pub(crate) fn processor_per_call(&self) -> f64 {
        self.processor.as_nanos() as f64 / self.calls as f64
    }
}

impl AddAssign<&Self> for Sample {
    fn add_assign(&mut self, other: &Self) {
        self.calls += other.calls;
        self.time += other.time;
        self.processor += other.processor;
        self.waits += &other.waits;
    }
}

/// One caller's calls.
struct Calls {
    start: Instant,
    end: Instant,
    /// As in [`Sample`]; counted only when nobody calls any more.
    waits: Vec<u64>,
}

/// Lets all callers call for this long.
pub(crate) async fn drive<C: Contender>(contender: &C, load: Load, time: Duration) -> Sample {
    let used = processor_time();
    let gate = Arc::new(Barrier::new(load.callers as usize));
    let mut callers = JoinSet::new();
    for caller in 0..load.callers {
        let (contender, gate) = (contender.clone(), Arc::clone(&gate));
        callers.spawn(async move {
            gate.wait().await;
            call(&contender, load, caller, time).await
        });
    }
    let all = callers.join_all().await;
    let processor = processor_time() - used;
    let start = all.iter().map(|calls| calls.start).min();
    let end = all.iter().map(|calls| calls.end).max();
    let mut sample = Sample::empty();
    sample.time = end
        .zip(start)
        .map_or(Duration::ZERO, |(end, start)| end - start);
    sample.processor = processor;
    for wait in all.iter().flat_map(|calls| &calls.waits) {
        sample.waits.record(*wait).expect("a histogram that grows");
    }
    sample.calls = sample.waits.len() * u64::from(load.batch);
    sample
}

/// What this process had of the processors so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("more than none")
}

/// One caller's calls, one after the other.
async fn call<C: Contender>(contender: &C, load: Load, caller: u64, time: Duration) -> Calls {
    let mut next_id = load.ids(caller);
    let mut waits = Vec::with_capacity(1024);
    let start = Instant::now();
    let mut end = start;
    while end.duration_since(start) < time {
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
        let wait = now.duration_since(end).as_nanos() as u64;
        waits.push(wait / u64::from(load.batch));
        end = now;
    }
    Calls { start, end, waits }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Who asks for each id, of callers that ask for a thousand each.
    fn askers(callers: u64, keys: u64) -> HashMap<u64, Vec<u64>> {
        let load = Load {
            size: Size::B330,
            callers,
            keys,
            batch: 1,
        };
        let mut askers = HashMap::<u64, Vec<u64>>::new();
        for caller in 0..callers {
            let mut next_id = load.ids(caller);
            for _ in 0..1_000 {
                askers.entry(next_id()).or_default().push(caller);
            }
        }
        for all in askers.values_mut() {
            all.dedup();
        }
        askers
    }

    #[test]
    fn callers_share_no_key_where_there_are_enough() {
        for (callers, keys) in [(1, 10_000), (64, 10_000), (512, 10_000), (64, 64)] {
            let askers = askers(callers, keys);
            assert!(askers.values().all(|callers| callers.len() == 1));
            let first = Size::B330.first_id();
            assert!(askers.keys().all(|id| (first..first + keys).contains(id)));
        }
    }

    #[test]
    fn callers_share_the_only_key() {
        let askers = askers(64, 1);
        assert_eq!(askers.len(), 1);
        assert!(askers.values().all(|callers| callers.len() == 64));
    }
}
