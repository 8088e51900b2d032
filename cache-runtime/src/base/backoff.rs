//! How long the pauses between attempts are.
//!
//! The one rule: **while attempts fail the pauses double, and each is shortened by a random share of up to half**, so
//! that callers which saw the same failure do not come back in step. Pure: every function takes the time and the random
//! number.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

/// A failure this long ago says nothing about the next attempt.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// Pauses that double, up to the longest.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The pause that is next: the whole of it for a `draw` of 0, half of it for one of 1.
    pub(crate) fn next(&mut self, draw: f64) -> Duration {
        let whole = self.next;
        self.next = self.longest.min(whole * 2);
        whole.mul_f64(1.0 - draw / 2.0)
    }

    /// The next pause is the first one again.
    pub(crate) fn restart(&mut self) {
        self.next = self.first;
    }
}

/// When one of several callers may try what all of them try: together they try no oftener than the pauses allow.
///
/// | what happened | the next attempt | the next pause |
/// |---|---|---|
/// | nothing yet, or what worked was lost | at once | the first one |
/// | an attempt failed | after a pause; but for the first none is longer than attempts have failed for | twice as long |
/// | an attempt is made after a pause | after another pause, whoever makes it, until that one succeeds | twice as long |
/// | an attempt succeeded | at once, also for the others | as it was: nothing has come of it yet |
/// | nothing failed for [`FORGOTTEN`] | at once | the first one |
#[derive(Debug)]
pub(crate) struct Backoff {
    pauses: Pauses,
    /// When the latest pause ends.
    until: Instant,
    /// Whether attempts wait for its end.
    waits: bool,
    /// The latest failure.
    failed: Option<Instant>,
    /// When the first of the present failures in a row was.
    since: Instant,
}

impl Backoff {
    pub(crate) fn new(pauses: Pauses, now: Instant) -> Self {
        Self {
            pauses,
            until: now,
            waits: false,
            failed: None,
            since: now,
        }
    }

    /// Begins an attempt.
    ///
    /// # Errors
    ///
    /// When the next one may begin, if not now.
    pub(crate) fn begin(&mut self, now: Instant, draw: f64) -> Result<(), Instant> {
        self.forget(now);
        if self.waits {
            if now < self.until {
                return Err(self.until);
            }
            // Other attempts wait for what comes of this one.
            self.pause(now, draw);
        }
        Ok(())
    }

    /// An attempt failed, or what it brought was of no use.
    pub(crate) fn failed(&mut self, now: Instant, draw: f64) {
        self.forget(now);
        if self.failed.replace(now).is_none() {
            self.since = now;
        }
        // Attempts that were made at the same time failed for the same reason, so all of them count once. An attempt
        // that was made after a pause has drawn the next pause already.
        if !self.waits && self.until <= now {
            self.pause(now, draw);
        }
        self.waits = true;
    }

    /// An attempt succeeded, or another one has reason to: the next need not wait.
    pub(crate) fn open(&mut self) {
        self.waits = false;
    }

    /// What an attempt had brought was lost, but it had been of use.
    pub(crate) fn worked(&mut self, now: Instant) {
        // Attempts that failed meanwhile are later news, and count.
        if !self.waits || self.until <= now {
            self.restart(now);
        }
    }

    fn forget(&mut self, now: Instant) {
        let since = self
            .failed
            .map(|failed| now.saturating_duration_since(failed));
        if since.is_some_and(|since| since >= FORGOTTEN) {
            self.restart(now);
        }
    }

    /// Begins the next pause. It is no longer than attempts have failed for, so that an operation that can wait for
    /// twice as long as a server takes to restart is not too early each time, whatever is drawn.
    fn pause(&mut self, now: Instant, draw: f64) {
        let lasted = now.saturating_duration_since(self.since);
        let longest = lasted.max(self.pauses.first);
        self.until = now + self.pauses.next(draw).min(longest);
    }

    fn restart(&mut self, now: Instant) {
        self.failed = None;
        self.until = now;
        self.waits = false;
        self.pauses.restart();
    }
}
