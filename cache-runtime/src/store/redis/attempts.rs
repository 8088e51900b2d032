//! When a connection to the server may be tried.
//!
//! The one rule: **all attempts to connect to one server share one back-off**: those of calls, of the breaker's probe,
//! of the user's own commands and of waits for locks, on whatever runtime. So no caller makes a cache knock oftener
//! than it would by itself.
//!
//! A connection counts once it has answered a command, because some peers accept, even log in, and hang up. A
//! connection that had answered and is lost is made anew at once. After one that had not, the login of the next ends no
//! pause, but its first answer does.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::Notified};

use super::pulse::Pulse;
use crate::{
    base::{
        backoff::{Backoff, Pauses},
        sharded::lock,
    },
    error::{Error, ErrorKind},
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The attempts of one cache to connect.
#[derive(Debug)]
pub(crate) struct Attempts {
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Debug)]
struct State {
    backoff: Backoff,
    /// Why the latest attempt failed; `None` if it did not.
    why: Option<Error>,
    /// How many tokens there have been.
    tokens: u64,
    /// Whether the connection that was lost last had answered nothing.
    hangs_up: bool,
    /// The latest connection since then, whose first answer shows that the server has changed.
    on_trial: Option<Arc<Pulse>>,
}

impl State {
    /// The next attempt need not wait.
    fn open(&mut self) {
        self.backoff.open();
        self.why = None;
        self.hangs_up = false;
        self.on_trial = None;
    }

    /// Looks whether the connection on trial has answered.
    fn judge(&mut self) {
        if self.on_trial.as_ref().is_some_and(|made| made.is_proved()) {
            self.open();
        }
    }
}

/// That no attempt may be made yet.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) until: Instant,
    /// Why the latest attempt failed.
    pub(crate) why: Error,
}

impl Attempts {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                backoff: Backoff::new(Pauses::new(FIRST_PAUSE, LONGEST_PAUSE), Instant::now()),
                why: None,
                tokens: 0,
                hangs_up: false,
                on_trial: None,
            }),
            opened: Notify::new(),
        }
    }

    /// Leave for one attempt. The first attempt after another token came need not wait, because the others may have
    /// failed of the token before; `tokens` is how many there have been.
    pub(crate) fn begin(&self, now: Instant, tokens: u64) -> Result<(), Later> {
        let mut state = lock(&self.state);
        state.judge();
        if tokens > state.tokens {
            state.tokens = tokens;
            state.backoff.open();
        }
        let begun = state.backoff.begin(now, fastrand::f64());
        begun.map_err(|until| Later {
            until,
            why: state.why.clone().unwrap_or_else(lost_early),
        })
    }

    /// A connection is logged in.
    pub(crate) fn made(&self, pulse: &Arc<Pulse>) {
        let mut state = lock(&self.state);
        state.judge();
        if state.hangs_up {
            state.on_trial = Some(Arc::clone(pulse));
            return;
        }
        state.open();
        drop(state);
        self.opened.notify_waiters();
    }

    /// Why the latest attempt failed, if it did.
    pub(crate) fn why(&self) -> Option<Error> {
        lock(&self.state).why.clone()
    }

    /// No connection could be made.
    pub(crate) fn failed(&self, why: &Error) {
        self.fail(why, false);
    }

    fn fail(&self, why: &Error, hangs_up: bool) {
        let mut state = lock(&self.state);
        state.why = Some(why.clone());
        state.hangs_up |= hangs_up;
        state.backoff.failed(Instant::now(), fastrand::f64());
    }

    /// The server ended a connection.
    pub(crate) fn lost(&self, pulse: &Pulse) {
        if pulse.is_proved() {
            let mut state = lock(&self.state);
            state.judge();
            state.backoff.worked(Instant::now());
        } else {
            self.fail(&lost_early(), true);
        }
    }

    /// Completes when a connection is made, so that other callers need not wait.
    pub(crate) fn opened(&self) -> Notified<'_> {
        self.opened.notified()
    }
}

fn lost_early() -> Error {
    Error::new(
        ErrorKind::Disconnected,
        "redis closed the connection before it answered a command",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        Error::new(ErrorKind::Auth, "redis refused the login")
    }

    #[test]
    fn whoever_has_to_wait_is_told_why_and_until_when() {
        let attempts = Attempts::new();
        let before = Instant::now();
        assert!(attempts.begin(before, 0).is_ok());
        attempts.failed(&refused());
        let later = attempts.begin(Instant::now(), 0).unwrap_err();
        assert!(later.why.is_auth());
        assert!(later.until >= before + FIRST_PAUSE / 2);
        assert!(later.until <= Instant::now() + FIRST_PAUSE);
        attempts.made(&Arc::new(Pulse::new()));
        assert!(attempts.why().is_none());
    }

    #[test]
    fn a_new_token_ends_the_pause_and_the_one_that_failed_does_not() {
        let attempts = Attempts::new();
        let now = Instant::now();
        attempts.begin(now, 1).unwrap();
        attempts.failed(&refused());
        assert!(attempts.begin(now, 1).is_err());
        assert!(attempts.begin(now, 2).is_ok());
    }

    /// A connection that was made just now.
    fn made(attempts: &Attempts) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::new());
        pulse.logged_in();
        attempts.made(&pulse);
        pulse
    }

    #[test]
    fn a_connection_that_answered_nothing_is_as_good_as_none() {
        let attempts = Attempts::new();
        attempts.lost(&made(&attempts));
        let later = attempts.begin(Instant::now(), 0).unwrap_err();
        assert_eq!(later.why.kind(), ErrorKind::Disconnected);
        let proved = made(&attempts);
        proved.mark();
        attempts.lost(&proved);
        assert!(attempts.begin(Instant::now(), 0).is_ok());
    }

    #[test]
    fn after_one_that_answered_nothing_a_login_opens_nothing_and_an_answer_does() {
        let attempts = Attempts::new();
        let (one, other) = (made(&attempts), made(&attempts));
        attempts.lost(&one);
        let next = made(&attempts);
        assert!(attempts.begin(Instant::now(), 0).is_err());
        attempts.lost(&other);
        next.mark();
        assert!(attempts.begin(Instant::now(), 0).is_ok());
        assert!(
            attempts.begin(Instant::now(), 0).is_ok(),
            "as long as it likes"
        );
        assert!(attempts.why().is_none());
    }
}
