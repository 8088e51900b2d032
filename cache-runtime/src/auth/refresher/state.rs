//! What is known of the tokens.
//!
//! The one rule: **whoever makes a connection is offered what the server is most likely to take**: the token
//! in hand; the one that it took before, while it refuses that one and the other still lives; else the
//! one in hand all the same, for it is the server who judges.

use std::{fmt, sync::Arc, time::Duration};

use super::super::{
    login::Login,
    schedule::{Life, Now},
};
use crate::error::{Error, ErrorKind};

/// A token that the identity provider gave, and the user that it makes.
pub(crate) struct AccessToken {
    /// Tells this token from the next one.
    pub(super) number: u64,
    pub(super) login: Login,
    pub(super) life: Life,
}

impl AccessToken {
    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// How long it is good for.
    pub(crate) fn left(&self) -> Duration {
        self.life.left(Now::read())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            login,
            life,
        } = self;
        f.debug_struct("AccessToken")
            .field("number", number)
            .field("login", login)
            .field("life", life)
            .finish()
    }
}

/// The token in hand, and what happened to it and to the questions for the next.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) token: Option<Arc<AccessToken>>,
    /// The last one that the server took.
    pub(super) accepted: Option<Arc<AccessToken>>,
    /// Why the last question brought no token.
    pub(super) denied: Option<Error>,
    /// Whether there was a valid token when that was told last.
    pub(super) told_valid: bool,
    /// Whether the server refused the token in hand.
    pub(super) refused: bool,
    /// Whether the provider is being asked, or will be as soon as the task runs.
    pub(super) asking: bool,
    pub(super) credential: Option<&'static str>,
    pub(super) refreshes: u64,
    pub(super) failures: u64,
    pub(super) last_error: Option<ErrorKind>,
}

impl State {
    /// What a connection that is made now logs in with, be it a token that the server refused before.
    pub(super) fn offered(&self) -> Option<&Arc<AccessToken>> {
        let held = self.token.as_ref()?;
        // One that still lives serves while the server refuses the next.
        let proved = (self.accepted.as_ref())
            .filter(|proved| self.refused && !self.holds(proved) && !proved.left().is_zero());
        Some(proved.unwrap_or(held))
    }

    /// Whether a connection that is being made has nothing to wait for.
    pub(super) fn is_settled(&self) -> bool {
        match self.offered() {
            Some(token) => !(self.refused && self.asking && self.holds(token)),
            None => self.denied.is_some(),
        }
    }

    pub(super) fn holds(&self, token: &AccessToken) -> bool {
        self.token
            .as_ref()
            .is_some_and(|held| held.number == token.number)
    }

    pub(super) fn fail(&mut self, kind: ErrorKind) {
        self.failures += 1;
        self.last_error = Some(kind);
    }
}
