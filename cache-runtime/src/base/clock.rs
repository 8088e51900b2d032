//! What time it is, for the ages of entries and the pauses of keys.
//!
//! The one rule: **ages are told by one clock**: an entry of the in-process store by this process's, an entry in Redis
//! by the server's own, of which a process only keeps an estimate. Operations take their deadlines from neither.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::base::sharded::lock;

/// After this long, the server is asked for its time again: its clock may have been set.
const TRUSTED: Duration = Duration::from_secs(30);

/// After this long, the server is asked again where the known time makes an entry too old, or one of the future.
const DOUBTED: Duration = Duration::from_secs(1);

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
        self.moved.fetch_add(nanos(by), Ordering::Relaxed);
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
        Duration::from_nanos(self.coarse_nanos())
    }

    /// As [`coarse`](Self::coarse), in nanoseconds, which are cheaper to compare.
    #[inline]
    pub(crate) fn coarse_nanos(&self) -> u64 {
        match &self.0 {
            Some(clock) => clock.moved.load(Ordering::Relaxed),
            None => {
                // `now` would also write, to a place that all threads share.
                let now = coarsetime::Instant::now_without_cache_update();
                now.duration_since(ORIGIN).as_nanos()
            }
        }
    }

    /// The server's time as a test says it, in milliseconds since 1970.
    pub(crate) fn servers(&self) -> Option<u64> {
        let clock = self.0.as_ref()?;
        Some(clock.epoch.saturating_add(millis(clock.moved())))
    }
}

/// Lets something be said once a minute at most.
#[derive(Debug)]
pub(crate) struct Seldom(AtomicU64);

impl Seldom {
    const NEVER: u64 = u64::MAX;

    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(Self::NEVER))
    }

    /// Whether to say it; `true` for one caller in a minute.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_at(Clock::default().coarse().as_secs())
    }

    fn is_due_at(&self, now: u64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        (last == Self::NEVER || now.saturating_sub(last) >= 60)
            && self
                .0
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// What a server last said of its time, in milliseconds since 1970. It counts until another connection is
/// made, which may lead to another server.
#[derive(Debug, Default)]
pub(crate) struct ServerTime(Mutex<Readings>);

#[derive(Debug, Default)]
struct Readings {
    last: Option<Reading>,
    /// How many servers there may have been before the present one.
    server: u64,
}

/// Which server is asked for its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked(u64);

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    time: u64,
    server: u64,
    /// When the next caller is told to take another one.
    due: Instant,
    /// When the next caller that doubts this one is told to take another one.
    doubted: Instant,
}

impl Reading {
    /// The server's time at `now`, if both clocks went on alike.
    fn counted_on(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.at);
        self.time.saturating_add(millis(since))
    }
}

impl ServerTime {
    /// The present server is about to be asked.
    pub(crate) fn ask(&self) -> Asked {
        Asked(lock(&self.0).server)
    }

    /// The server said `time`, at `at` by this process's clock.
    pub(crate) fn read(&self, Asked(server): Asked, at: Instant, time: u64) {
        let mut readings = lock(&self.0);
        // The answer came late, from a server that is gone.
        if readings.last.is_some_and(|last| last.server > server) {
            return;
        }
        readings.last = Some(Reading {
            at,
            time,
            server,
            due: at + TRUSTED,
            doubted: at + DOUBTED,
        });
    }

    /// There is another connection, whose server has a clock of its own.
    pub(crate) fn forget(&self) {
        lock(&self.0).server += 1;
    }

    /// The server's time at `now`; `None` where it must be asked first. Every half a minute one caller
    /// is told to ask, and the others go on with what is known.
    pub(crate) fn at(&self, now: Instant) -> Option<u64> {
        let mut readings = lock(&self.0);
        let server = readings.server;
        let reading = readings
            .last
            .as_mut()
            .filter(|last| last.server == server)?;
        if now >= reading.due {
            reading.due = now + TRUSTED;
            return None;
        }
        Some(reading.counted_on(now))
    }

    /// Whether a caller who doubts what [`at`](Self::at) said is to ask: one in a second.
    pub(crate) fn is_to_be_asked(&self, now: Instant) -> bool {
        let mut readings = lock(&self.0);
        let reading = readings.last.as_mut();
        reading.is_none_or(|reading| {
            let is_due = now >= reading.doubted;
            if is_due {
                reading.doubted = now + DOUBTED;
            }
            is_due
        })
    }

    /// The server's time at `now` as far as anybody knows: this machine's, if it never said.
    pub(crate) fn guess(&self, now: Instant) -> u64 {
        let last = lock(&self.0).last;
        last.map_or_else(wall, |reading| reading.counted_on(now))
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

/// Whole nanoseconds; the most that fit, which is more than five hundred years, where there are more.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whole milliseconds; the most that fit where there are more.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole milliseconds as Redis takes them for an expiry: one at least, because it refuses 0.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    millis(duration).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_in_half_a_minute_asks_the_server() {
        let (time, start) = (ServerTime::default(), Instant::now());
        assert_eq!(time.at(start), None);
        time.read(time.ask(), start, 1000);
        assert_eq!(time.at(start + Duration::from_millis(5)), Some(1005));
        let later = start + TRUSTED;
        assert_eq!(time.at(later), None, "the one who asks");
        assert_eq!(time.at(later), Some(31_000), "the others go on");
        time.read(time.ask(), later, 50_000);
        assert_eq!(time.at(later), Some(50_000));
    }

    #[test]
    fn what_another_server_said_is_a_guess_at_most() {
        let (time, start) = (ServerTime::default(), Instant::now());
        let asked = time.ask();
        time.read(asked, start, 1000);
        time.forget();
        assert_eq!((time.at(start), time.guess(start)), (None, 1000));
        // An answer that comes when its server is gone.
        time.read(asked, start, 2000);
        assert_eq!((time.at(start), time.guess(start)), (None, 2000));
        time.read(time.ask(), start, 3000);
        time.read(asked, start, 4000);
        assert_eq!(time.at(start), Some(3000));
    }

    #[test]
    fn one_caller_in_a_second_asks_because_it_doubts() {
        let (time, start) = (ServerTime::default(), Instant::now());
        assert!(time.is_to_be_asked(start));
        time.read(time.ask(), start, 1000);
        let later = start + DOUBTED;
        assert!(!time.is_to_be_asked(later - Duration::from_millis(1)));
        assert!(time.is_to_be_asked(later), "the one who asks");
        assert!(!time.is_to_be_asked(later), "the others go on");
        assert!(time.is_to_be_asked(later + DOUBTED), "no answer came");
    }

    #[test]
    fn what_is_to_be_said_seldom_is_due_once_a_minute() {
        let seldom = Seldom::new();
        let due = [0, 0, 59, 60, 61, 119, 120, 500].map(|now| seldom.is_due_at(now));
        assert_eq!(due, [true, false, false, true, false, false, true, true]);
        assert!(
            !seldom.is_due_at(499),
            "another thread's clock is a little behind"
        );
    }

    #[test]
    fn without_an_answer_the_last_one_counts_on() {
        let (time, start) = (ServerTime::default(), Instant::now());
        assert!(time.guess(start).abs_diff(wall()) < 60_000);
        time.read(time.ask(), start, 1000);
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
