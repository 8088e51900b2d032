//! When not to ask Redis.
//!
//! The one rule: **a user's call never finds out whether Redis is back; a background probe does.**
//! Pure: every function takes the time.
//!
//! | state | what happens | then |
//! |---|---|---|
//! | closed | no connection could be made | open |
//! | closed | a stall, and a second one at least `stall_after` later with no reply between | open |
//! | closed | a reply | the first stall is forgotten |
//! | open | a probe fails | open, the next probe later: 50 ms doubled up to 2 s |
//! | open | a probe succeeds | half-open, one call at a time |
//! | half-open | a reply | twice as many calls at a time, closed at 32 |
//! | half-open | no connection, or a stall | open, with the next pause |
//!
//! A *stall* is an operation that waited for `stall_after` while no byte came on its connection.
//! What a single command, a single caller or its own shorter timeout can cause does not count:
//! `OOM`, `WRONGTYPE`, `NOPERM`, dropped futures.

use std::time::{Duration, Instant};

use crate::{base::backoff::Pauses, observe::stats::BreakerState};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The limit at which a half-open breaker closes.
const ENOUGH: u32 = 32;
/// After this long without an admission, calls that are still admitted are taken for abandoned: a
/// future that is kept and not polled says nothing.
const ABANDONED: Duration = Duration::from_secs(5);

/// A circuit breaker for one cache's Redis.
#[derive(Debug)]
pub(crate) struct Breaker {
    stall_after: Duration,
    state: State,
    /// The pauses before the next probes, if there are to be any.
    pauses: Pauses,
    opened: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        stalled: Option<Instant>,
    },
    Open,
    HalfOpen {
        running: u32,
        limit: u32,
        /// When the latest call was admitted.
        since: Instant,
    },
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Ask.
    Granted,
    /// Ask, and say how it went: the breaker is half-open.
    Counted,
    /// Do not ask.
    Refused,
}

impl Breaker {
    pub(crate) fn new(stall_after: Duration) -> Self {
        Self {
            stall_after,
            state: State::Closed { stalled: None },
            pauses: Pauses::new(FIRST_PAUSE, LONGEST_PAUSE),
            opened: 0,
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether nothing is amiss, so that neither admission nor replies need the breaker.
    pub(crate) fn is_calm(&self) -> bool {
        self.state == State::Closed { stalled: None }
    }

    pub(crate) fn admit(&mut self, now: Instant) -> Admission {
        match &mut self.state {
            State::Closed { .. } => Admission::Granted,
            State::Open => Admission::Refused,
            State::HalfOpen {
                running,
                limit,
                since,
            } => {
                if now.saturating_duration_since(*since) >= ABANDONED {
                    *running = 0;
                }
                if *running >= *limit {
                    return Admission::Refused;
                }
                *running += 1;
                *since = now;
                Admission::Counted
            }
        }
    }

    /// A call admitted as [`Admission::Counted`] is over; `replied` if it had a reply.
    pub(crate) fn release(&mut self, replied: bool) {
        let State::HalfOpen { running, limit, .. } = &mut self.state else {
            return;
        };
        *running = running.saturating_sub(1);
        if replied {
            *limit *= 2;
            if *limit >= ENOUGH {
                self.state = State::Closed { stalled: None };
                self.pauses.restart();
            }
        }
    }

    /// A reply came.
    pub(crate) fn replied(&mut self) {
        if let State::Closed { stalled } = &mut self.state {
            *stalled = None;
        }
    }

    /// No connection could be made. `true` if that opened the breaker.
    pub(crate) fn connection_failed(&mut self) -> bool {
        self.open()
    }

    /// An operation waited for `stall_after`, and no byte came. `true` if that opened the breaker.
    pub(crate) fn stalled(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { stalled: None } => {
                self.state = State::Closed { stalled: Some(now) };
                false
            }
            // Another caller of the stall that is known.
            State::Closed {
                stalled: Some(first),
            } if now.saturating_duration_since(first) < self.stall_after => false,
            State::Closed { .. } | State::HalfOpen { .. } => self.open(),
            State::Open => false,
        }
    }

    fn open(&mut self) -> bool {
        if self.state == State::Open {
            return false;
        }
        self.state = State::Open;
        self.opened += 1;
        true
    }

    /// How long to wait before the next probe. `draw` is in `[0, 1)`.
    pub(crate) fn next_pause(&mut self, draw: f64) -> Duration {
        self.pauses.next(draw)
    }

    /// A probe had its reply.
    pub(crate) fn probe_succeeded(&mut self, now: Instant) {
        if self.state == State::Open {
            self.state = State::HalfOpen {
                running: 0,
                limit: 1,
                since: now,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_millis(250);

    fn open() -> Breaker {
        let mut breaker = Breaker::new(STALL);
        assert!(breaker.connection_failed());
        breaker
    }

    #[test]
    fn many_callers_of_one_stall_are_one_event() {
        let mut breaker = Breaker::new(STALL);
        let now = Instant::now();
        for _ in 0..64 {
            assert!(!breaker.stalled(now));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.stalled(now + STALL));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn a_reply_forgets_the_first_stall() {
        let mut breaker = Breaker::new(STALL);
        let now = Instant::now();
        breaker.stalled(now);
        assert!(!breaker.is_calm());
        breaker.replied();
        assert!(breaker.is_calm());
        assert!(!breaker.stalled(now + STALL));
    }

    #[test]
    fn an_open_breaker_refuses_until_a_probe_succeeds() {
        let mut breaker = open();
        assert_eq!(breaker.admit(Instant::now()), Admission::Refused);
        breaker.replied();
        assert_eq!(breaker.admit(Instant::now()), Admission::Refused);
        breaker.probe_succeeded(Instant::now());
        assert_eq!(breaker.admit(Instant::now()), Admission::Counted);
        assert_eq!(breaker.admit(Instant::now()), Admission::Refused);
    }

    #[test]
    fn half_open_doubles_with_each_reply_and_closes() {
        let mut breaker = open();
        breaker.probe_succeeded(Instant::now());
        for limit in [1, 2, 4, 8, 16] {
            for _ in 0..limit {
                assert_eq!(
                    breaker.admit(Instant::now()),
                    Admission::Counted,
                    "limit {limit}"
                );
            }
            assert_eq!(
                breaker.admit(Instant::now()),
                Admission::Refused,
                "limit {limit}"
            );
            for _ in 1..limit {
                breaker.release(false);
            }
            breaker.release(true);
        }
        assert!(breaker.is_calm());
    }

    #[test]
    fn a_failure_while_half_open_opens_it_again_with_a_longer_pause() {
        let mut breaker = open();
        assert_eq!(breaker.next_pause(0.0), FIRST_PAUSE);
        breaker.probe_succeeded(Instant::now());
        assert!(breaker.stalled(Instant::now()));
        assert_eq!(breaker.next_pause(0.0), FIRST_PAUSE * 2);
        for _ in 0..10 {
            breaker.next_pause(0.0);
        }
        assert_eq!(breaker.next_pause(0.0), LONGEST_PAUSE);
    }

    #[test]
    fn pauses_double_from_50_milliseconds_to_two_seconds_and_begin_anew_once_closed() {
        let mut breaker = open();
        let pauses = |breaker: &mut Breaker| [(); 8].map(|()| breaker.next_pause(0.0).as_millis());
        let all = [50, 100, 200, 400, 800, 1600, 2000, 2000];
        assert_eq!(pauses(&mut breaker), all);
        breaker.probe_succeeded(Instant::now());
        assert!(breaker.connection_failed());
        assert_eq!(pauses(&mut breaker), [2000; 8], "it was half-open at most");
        breaker.probe_succeeded(Instant::now());
        for _ in 0..5 {
            breaker.admit(Instant::now());
            breaker.release(true);
        }
        assert!(breaker.is_calm());
        assert!(breaker.connection_failed());
        assert_eq!(pauses(&mut breaker), all);
    }

    #[test]
    fn a_call_that_is_kept_and_not_polled_does_not_keep_it_half_open() {
        let mut breaker = open();
        let now = Instant::now();
        breaker.probe_succeeded(now);
        assert_eq!(breaker.admit(now), Admission::Counted);
        assert_eq!(breaker.admit(now), Admission::Refused);
        assert_eq!(breaker.admit(now + ABANDONED), Admission::Counted);
    }

    #[test]
    fn five_seconds_without_an_admission_are_needed_for_that() {
        let (mut breaker, now) = (open(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        breaker.probe_succeeded(now);
        assert_eq!(breaker.admit(at(4)), Admission::Counted);
        assert_eq!(
            breaker.admit(at(8)),
            Admission::Refused,
            "the latest is young"
        );
        assert_eq!(breaker.admit(at(9)), Admission::Counted);
    }

    #[test]
    fn a_breaker_opens_once_for_all_that_goes_wrong() {
        let mut breaker = open();
        assert!(!breaker.connection_failed());
        assert!(!breaker.stalled(Instant::now() + STALL));
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn a_probe_that_nobody_needs_changes_nothing() {
        let (mut breaker, now) = (Breaker::new(STALL), Instant::now());
        breaker.probe_succeeded(now);
        assert!(breaker.is_calm());
        let mut breaker = open();
        breaker.probe_succeeded(now);
        assert_eq!(breaker.admit(now), Admission::Counted);
        breaker.probe_succeeded(now);
        assert_eq!(breaker.admit(now), Admission::Refused, "one is under way");
    }
}
