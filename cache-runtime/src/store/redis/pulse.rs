//! Whether a server that owes answers still says something.
//!
//! The one rule: **any byte counts**, so a reply that takes long is told from a server that hangs by whether bytes
//! come, however soon the callers give up.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Since when the server owes an answer, on all connections that share this.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Milliseconds from [`EPOCH`], and one more; 0 where nothing is owed.
    asked: AtomicU64,
    /// The first operation since then that waited in vain, in the same measure; and [`UNPROVED`].
    stalled: AtomicU64,
}

/// The bit that says that no byte has come since the login. It is in `stalled`, so that the first byte clears it by the
/// same store as every later one.
const UNPROVED: u64 = 1 << 63;

/// An `Instant` does not fit into an atomic; its distance from this one does.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Pulse {
    /// A pulse of which nobody has asked anything.
    pub(crate) fn new() -> Self {
        Self {
            asked: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        }
    }

    /// Marks that a request is sent now.
    pub(crate) fn asked(&self, now: Instant) {
        if self.asked.load(Ordering::Relaxed) == 0 {
            let now = mark_of(now);
            // Fails where another request was first, which has waited for longer.
            let _ = self
                .asked
                .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Marks that a byte came.
    pub(crate) fn mark(&self) {
        self.asked.store(0, Ordering::Relaxed);
        self.stalled.store(0, Ordering::Relaxed);
    }

    /// Marks that the server took the login, and has answered nothing else yet.
    pub(crate) fn logged_in(&self) {
        self.stalled.store(UNPROVED, Ordering::Relaxed);
    }

    /// Whether the server has answered anything since the login.
    pub(crate) fn is_proved(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) & UNPROVED == 0
    }

    /// The first request that was sent after the last byte came, at most a millisecond too early;
    /// `None` if there is none.
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        let millis = self.asked.load(Ordering::Relaxed).checked_sub(1)?;
        Some(*EPOCH + Duration::from_millis(millis))
    }

    /// An operation waited in vain. `true` if another one did so at least `after` earlier, and no
    /// byte came since: the connection is dead.
    pub(crate) fn stall(&self, after: Duration) -> bool {
        let now = mark_of(Instant::now());
        let before = self.stalled.load(Ordering::Relaxed);
        match before & !UNPROVED {
            0 => {
                // Fails where a byte came, or where another operation was first at the same time.
                let _ = self.stalled.compare_exchange(
                    before,
                    before | now,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                false
            }
            first => Duration::from_millis(now.saturating_sub(first)) >= after,
        }
    }
}

/// Milliseconds from [`EPOCH`], and one more, so that it is not 0.
fn mark_of(now: Instant) -> u64 {
    // The first request makes the epoch after it has read the clock.
    let millis = now.saturating_duration_since(*EPOCH).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asked_first_says_how_long_the_silence_is() {
        let pulse = Pulse::new();
        let before = Instant::now();
        pulse.asked(before);
        let since = pulse.silent_since().unwrap();
        assert!(since + Duration::from_millis(1) >= before && since <= Instant::now());
        while before.elapsed() < Duration::from_millis(5) {
            std::thread::yield_now();
        }
        pulse.asked(Instant::now());
        assert_eq!(pulse.silent_since(), Some(since));
        pulse.mark();
        assert_eq!(pulse.silent_since(), None);
    }
}
