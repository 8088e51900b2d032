//! What time it is, for the ages of entries and the pauses of keys.
//!
//! The one rule: **ages are told by one clock**: an entry of the in-process store by this process's, an
//! entry in Redis by the server's own, of which a process only keeps an estimate. Deadlines of
//! operations are not asked of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::sharded::lock;

/// After this long, the server is asked for its time again: its clock may have been set.
const TRUSTED: Duration = Duration::from_secs(30);

/// What coarse times are counted from.
const ORIGIN: coarsetime::Instant = coarsetime::Instant::from_ticks(0);

/// This process's clock, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Option<ManualClock>);

/// A clock that stands still until it is moved, for tests of what a value's age does.
///
/// A cache that was built with it ([`CacheBuilder::clock`](crate::CacheBuilder::clock)) takes the ages of
/// its entries, and the pauses after a failed refresh, from it. In Redis, entries still end by the
/// server's clock, so what a test wants to find must not have ended there.
///
/// ```
/// use std::time::Duration;
/// use cache_runtime::{Cache, ManualClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cache_runtime::Error> {
/// let clock = ManualClock::new();
/// let cache = Cache::builder().in_memory().clock(&clock).build()?;
/// cache.set_ex("greeting", &1, Duration::from_secs(60)).await?;
///
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(cache.get::<u8>("greeting").await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    start: Instant,
    /// Milliseconds since 1970 at the start.
    epoch: u64,
    /// Nanoseconds since the start.
    moved: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows the present time, and stands still.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            epoch: wall(),
            moved: Arc::default(),
        }
    }

    /// Moves it, and all its clones, forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.moved.fetch_add(by, Ordering::Relaxed);
    }

    fn moved(&self) -> Duration {
        Duration::from_nanos(self.moved.load(Ordering::Relaxed))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    pub(crate) fn manual(clock: ManualClock) -> Self {
        Self(Some(clock))
    }

    pub(crate) fn now(&self) -> Instant {
        match &self.0 {
            Some(clock) => clock.start + clock.moved(),
            None => Instant::now(),
        }
    }

    /// The time since some moment, for the ages of entries in this process: a few milliseconds late, as the
    /// system last counted it, and several times cheaper to read than [`now`](Self::now).
    pub(crate) fn coarse(&self) -> Duration {
        match &self.0 {
            Some(clock) => clock.moved(),
            None => {
                // The other constructor also writes, to a place that all threads share.
                let now = coarsetime::Instant::now_without_cache_update();
                Duration::from_nanos(now.duration_since(ORIGIN).as_nanos())
            }
        }
    }

    /// What a test says the server's time is, in milliseconds since 1970.
    pub(crate) fn servers(&self) -> Option<u64> {
        let clock = self.0.as_ref()?;
        Some(clock.epoch.saturating_add(millis(clock.moved())))
    }
}

/// What a server last said of its time, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct ServerTime(Mutex<Option<Reading>>);

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    time: u64,
    /// When the next caller is told to take another one.
    due: Instant,
}

impl Reading {
    /// The server's time at `now`, if both clocks went on alike.
    fn counted_on(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.at);
        self.time.saturating_add(millis(since))
    }
}

impl ServerTime {
    /// The server said `time`, at `at` by this process's clock.
    pub(crate) fn read(&self, at: Instant, time: u64) {
        let due = at + TRUSTED;
        *lock(&self.0) = Some(Reading { at, time, due });
    }

    /// The server's time at `now`; `None` where it must be asked first. Every half a minute one caller
    /// is told to ask, and the others go on with what is known.
    pub(crate) fn at(&self, now: Instant) -> Option<u64> {
        let mut reading = lock(&self.0);
        let reading = reading.as_mut()?;
        if now >= reading.due {
            reading.due = now + TRUSTED;
            return None;
        }
        Some(reading.counted_on(now))
    }

    /// The server's time at `now` as far as anybody knows: this machine's, if it never said.
    pub(crate) fn guess(&self, now: Instant) -> u64 {
        lock(&self.0).map_or_else(wall, |reading| reading.counted_on(now))
    }
}

/// This machine's time in milliseconds since 1970.
fn wall() -> u64 {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_in_half_a_minute_asks_the_server() {
        let (time, start) = (ServerTime::default(), Instant::now());
        assert_eq!(time.at(start), None);
        time.read(start, 1000);
        assert_eq!(time.at(start + Duration::from_millis(5)), Some(1005));
        let later = start + TRUSTED;
        assert_eq!(time.at(later), None, "the one who asks");
        assert_eq!(time.at(later), Some(31_000), "the others go on");
        time.read(later, 50_000);
        assert_eq!(time.at(later), Some(50_000));
    }

    #[test]
    fn without_an_answer_the_last_one_counts_on() {
        let (time, start) = (ServerTime::default(), Instant::now());
        assert!(time.guess(start).abs_diff(wall()) < 60_000);
        time.read(start, 1000);
        assert_eq!(time.guess(start + TRUSTED * 4), 121_000);
    }

    #[test]
    fn a_manual_clock_stands_still_until_it_is_moved() {
        let manual = ManualClock::new();
        let clock = Clock::manual(manual.clone());
        let (now, server) = (clock.now(), clock.servers());
        assert_eq!((clock.now(), clock.servers()), (now, server));
        manual.advance(Duration::from_secs(5));
        assert_eq!(clock.now() - now, Duration::from_secs(5));
        assert_eq!(clock.servers(), server.map(|server| server + 5000));
        assert_eq!(Clock::default().servers(), None);
    }
}
