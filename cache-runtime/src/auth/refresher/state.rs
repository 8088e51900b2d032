//! What is known of the tokens, and what follows from it.
//!
//! The one rule: **a new connection is offered the token that the server is most likely to take.** A token is
//! replaced, never taken away: one that has expired by this machine's clock is offered until there is another,
//! because the server judges. Pure: every function takes the time, and the random number where it uses one.
//!
//! | | says | and so |
//! |---|---|---|
//! | [`Hand`] | which token there is, and what the server said of it | which one is offered |
//! | [`Inquiry`] | whether the provider is asked | whether a connection waits for the next token |
//! | [`Outage`] | what the log was told since there was a token last | whether it is told again, and what a connection without a token is told |
//!
//! The three are independent: all sixteen combinations are legal.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    super::{
        login::Login,
        schedule::{NextAsk, Now, Schedule},
    },
    hand::{AccessToken, Hand},
};
use crate::{
    error::{Error, ErrorKind},
    observe::stats::TokenStats,
};

/// Whether the provider is asked for the next token.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Inquiry {
    /// Not before the schedule says so.
    #[default]
    Resting,
    /// Now, or as soon as the task runs.
    Asked,
}

/// The questions since there was a token last brought none; this is what came of the latest.
#[derive(Debug)]
struct Outage {
    error: Error,
    /// Whether there was a valid token then.
    had_valid_token: bool,
}

/// What came of an answer that holds a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenArrival {
    /// The token, or another life of it, takes the place of what there was.
    Taken { user: Option<String> },
    /// It is the present token, none the better for coming again.
    Again,
    /// It came expired, and a better one is in hand.
    Expired,
}

/// What the log is told of an answer that holds no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutageReport {
    pub(super) next_try: Duration,
    pub(super) token_is_valid: bool,
    /// Whether the log was told as much before: an outage is told when it begins and when it begins to hurt,
    /// not every second.
    pub(super) is_known: bool,
}

/// Everything that is known of one cache's tokens.
#[derive(Debug)]
pub(super) struct State {
    schedule: Schedule,
    hand: Hand,
    inquiry: Inquiry,
    outage: Option<Outage>,
    /// The credential that answered last, for people.
    credential: Option<&'static str>,
    refreshes: u64,
    failures: u64,
    last_error: Option<ErrorKind>,
}

impl State {
    /// `margin` is how long before its end a token is replaced.
    pub(super) fn new(margin: Duration) -> Self {
        Self {
            schedule: Schedule::new(margin),
            hand: Hand::default(),
            inquiry: Inquiry::default(),
            outage: None,
            credential: None,
            refreshes: 0,
            failures: 0,
            last_error: None,
        }
    }

    /// What the task is to do.
    pub(super) fn next(&self, now: Now) -> NextAsk {
        self.schedule.next(now)
    }

    pub(super) fn held(&self) -> Option<&Arc<AccessToken>> {
        self.hand.token()
    }

    /// The token in hand, if it came after `token`.
    pub(super) fn newer(&self, token: &AccessToken) -> Option<&Arc<AccessToken>> {
        self.hand
            .token()
            .filter(|held| held.number() > token.number())
    }

    /// What a connection that is made now logs in with.
    ///
    /// # Errors
    ///
    /// The last answer's error if no token has come yet, or that there was no answer.
    pub(super) fn offered(&self, now: Now) -> Result<&Arc<AccessToken>, Error> {
        if let Some(token) = self.hand.stand_in(now).or(self.hand.token()) {
            return Ok(token);
        }
        Err(match &self.outage {
            Some(outage) => outage.error.clone(),
            None => Error::new(
                ErrorKind::Timeout,
                "no Entra ID token yet: the identity provider has not answered",
            ),
        })
    }

    /// Whether a connection that is made now has nothing to wait for.
    pub(super) fn is_settled(&self, now: Now) -> bool {
        if self.hand.token().is_none() {
            return self.outage.is_some();
        }
        let is_replaced_soon = self.hand.is_refused() && self.inquiry == Inquiry::Asked;
        !is_replaced_soon || self.hand.stand_in(now).is_some()
    }

    /// The number of tokens there have been.
    pub(super) fn refreshes(&self) -> u64 {
        self.refreshes
    }

    pub(super) fn stats(&self, now: Now) -> TokenStats {
        let token = self.hand.token();
        TokenStats {
            credential: self.credential,
            user: token.and_then(|token| token.login().username.clone()),
            age: token.map(|token| token.life().age(now)),
            expires_in: token.map(|token| token.left(now)),
            refreshes: self.refreshes,
            failures: self.failures,
            last_error: self.last_error,
        }
    }

    /// The server took `token`. `true` if it had refused it before, which ends the wait for the next one.
    pub(super) fn accepted(&mut self, token: &AccessToken) -> bool {
        if !self.holds(token) {
            return false;
        }
        self.schedule.accepted();
        let was_refused = self.hand.is_refused();
        self.change(Hand::accepted);
        was_refused
    }

    /// The server refused `token`. `true` if that is news: it is the token in hand, and any number of
    /// connections may say so.
    pub(super) fn refused(&mut self, token: &AccessToken, now: Now, draw: f64) -> bool {
        self.hand.disprove(token);
        if !self.holds(token) || self.hand.is_refused() {
            return false;
        }
        self.change(Hand::refused);
        self.fail(ErrorKind::Auth);
        // Decided here, so that no connection takes the refused token before the task wakes up.
        if self.schedule.refused(now, draw) && self.schedule.next(now) == NextAsk::Now {
            self.inquiry = Inquiry::Asked;
        }
        true
    }

    /// The server hung up on a login with `token`, which may be a refusal. `true` if the next token is asked
    /// for because of that: a fresh one will show.
    pub(super) fn suspect(&mut self, token: &AccessToken, now: Now, draw: f64) -> bool {
        self.holds(token) && self.schedule.refused(now, draw)
    }

    /// The provider is asked.
    pub(super) fn asked(&mut self) {
        self.inquiry = Inquiry::Asked;
    }

    /// The provider is no longer asked, because it answered or because the task ended. `true` if it was asked.
    pub(super) fn rest(&mut self) -> bool {
        std::mem::take(&mut self.inquiry) == Inquiry::Asked
    }

    /// The provider gave a token.
    pub(super) fn granted(
        &mut self,
        login: Login,
        expires: SystemTime,
        credential: Option<&'static str>,
        now: Now,
        draw: f64,
    ) -> TokenArrival {
        self.rest();
        self.credential = credential;
        self.outage = None;
        let held = self.hand.token();
        let is_again = held.is_some_and(|held| held.login().password == login.password);
        let number = match held {
            // The number stays, because another life of the same token is no reason to log in again.
            Some(held) if is_again => held.number(),
            Some(held) => held.number() + 1,
            None => 0,
        };
        let is_taken = self.schedule.granted(now, expires, is_again, draw);
        // The schedule has the life of what it took.
        let Some(life) = self.schedule.life().filter(|_| is_taken) else {
            self.fail(ErrorKind::Identity);
            return if is_again {
                TokenArrival::Again
            } else {
                TokenArrival::Expired
            };
        };
        self.refreshes += 1;
        let user = login.username.clone();
        let token = Arc::new(AccessToken::new(number, login, life));
        self.change(|hand| hand.granted(token));
        TokenArrival::Taken { user }
    }

    /// The provider gave no token. `is_lasting` says that this will not change until somebody mends it.
    pub(super) fn denied(
        &mut self,
        error: &Error,
        retry_after: Option<Duration>,
        is_lasting: bool,
        now: Now,
        draw: f64,
    ) -> OutageReport {
        self.rest();
        self.fail(error.kind());
        self.schedule.failed(now, retry_after, draw);
        if is_lasting {
            self.schedule.will_last();
        }
        let next_try = match self.schedule.next(now) {
            NextAsk::Now => Duration::ZERO,
            NextAsk::Wait(pause) => pause,
        };
        let token_is_valid = self.schedule.is_valid(now);
        let before = self.outage.replace(Outage {
            error: error.clone(),
            had_valid_token: token_is_valid,
        });
        OutageReport {
            next_try,
            token_is_valid,
            is_known: before.is_some_and(|before| {
                before.error.kind() == error.kind() && before.had_valid_token == token_is_valid
            }),
        }
    }

    fn holds(&self, token: &AccessToken) -> bool {
        self.hand.token().is_some_and(|held| held.is(token))
    }

    fn change(&mut self, change: impl FnOnce(Hand) -> Hand) {
        self.hand = change(std::mem::take(&mut self.hand));
    }

    fn fail(&mut self, kind: ErrorKind) {
        self.failures += 1;
        self.last_error = Some(kind);
    }
}

#[cfg(test)]
mod tests;
