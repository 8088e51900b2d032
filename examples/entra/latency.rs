//! How long things took, in a fixed amount of memory however long the service runs.
//!
//! The one rule: **what is told is never less than what was measured**, and at most an eighth more.

use std::time::Duration;

/// Eight steps from each power of two of microseconds to the next.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: [u64; Self::STEPS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; Self::STEPS],
        }
    }
}

impl Latencies {
    /// Up to half an hour; what takes longer counts as that.
    const STEPS: usize = 30 * 8;

    pub(crate) fn add(&mut self, time: Duration) {
        // Below eight microseconds all are one.
        let micros = time.as_micros().max(8);
        let power = micros.ilog2() - 3;
        // From 8 to 15.
        let step = (micros >> power) as usize;
        let place = power as usize * 8 + step;
        self.counts[place.min(Self::STEPS - 1)] += 1;
    }

    pub(crate) fn add_all(&mut self, others: &Self) {
        for (count, other) in self.counts.iter_mut().zip(others.counts) {
            *count += other;
        }
    }

    /// The time within which so many of a hundred were done; `None` if there are none.
    pub(crate) fn percentile(&self, percent: u64) -> Option<Duration> {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all * percent).div_ceil(100);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen > 0 && seen >= wanted
        })?;
        let (power, step) = (place / 8 - 1, place % 8 + 8);
        Some(Duration::from_micros((step as u64 + 1) << power))
    }
}
