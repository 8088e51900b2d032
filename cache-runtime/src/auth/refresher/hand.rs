//! The token in hand.
//!
//! The one rule: **what the server said of a token counts until the server says something else**, or until
//! the next token comes.
//!
//! | [`Hand`] | the token in hand | offered to a new connection |
//! |---|---|---|
//! | `Empty` | has not come yet | nothing; the connection waits for the first answer, and gets the error if that brings no token |
//! | `Untried` | came, and the server has said nothing of it | the token |
//! | `Accepted` | was taken by the server | the token |
//! | `Refused` | was refused by the server | the one before it, if the server took that one and it still lives; else the token, once the provider is asked no longer: until then the connection waits |
//!
//! | what happens | `Empty` | `Untried` | `Accepted` | `Refused` |
//! |---|---|---|---|---|
//! | the next token comes | `Untried` | `Untried` | `Untried`, the old one proved | `Untried` |
//! | the present token comes again, with a longer life | | `Untried` | `Accepted` | `Untried` |
//! | the server takes the token | | `Accepted` | `Accepted` | `Accepted` |
//! | the server refuses the token | | `Refused` | `Refused`, none proved | `Refused` |
//! | the server refuses the token before it | | none proved | `Accepted` | none proved |
//! | no token comes, or none that is of use | as before, in all four | | | |
//!
//! `Untried` and `Refused` keep the proved token that they had where nothing else is said.

use std::{fmt, sync::Arc, time::Duration};

use super::super::{
    login::Login,
    schedule::{Life, Now},
};

/// A token that the identity provider gave, and the user that it makes.
pub(crate) struct AccessToken {
    /// Tells this token from the next one.
    number: u64,
    login: Login,
    life: Life,
}

impl AccessToken {
    pub(super) fn new(number: u64, login: Login, life: Life) -> Self {
        Self {
            number,
            login,
            life,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    /// How long the token is good for.
    pub(crate) fn left(&self, now: Now) -> Duration {
        self.life.left(now)
    }

    /// Whether the two are one token, be it with two lives.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.number == other.number
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

/// The token in hand, and what the server said of it.
#[derive(Debug, Default)]
pub(super) enum Hand {
    #[default]
    Empty,
    Untried {
        token: Arc<AccessToken>,
        /// The last token before it that the server took, and has not refused since.
        proved: Option<Arc<AccessToken>>,
    },
    Accepted {
        token: Arc<AccessToken>,
    },
    Refused {
        token: Arc<AccessToken>,
        /// As in `Untried`.
        proved: Option<Arc<AccessToken>>,
    },
}

impl Hand {
    pub(super) fn token(&self) -> Option<&Arc<AccessToken>> {
        match self {
            Self::Empty => None,
            Self::Untried { token, .. }
            | Self::Accepted { token }
            | Self::Refused { token, .. } => Some(token),
        }
    }

    /// The proved token, while the server refuses the one in hand and the proved one lives.
    pub(super) fn stand_in(&self, now: Now) -> Option<&Arc<AccessToken>> {
        match self {
            Self::Refused {
                proved: Some(proved),
                ..
            } if !proved.left(now).is_zero() => Some(proved),
            _ => None,
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// `token` comes; the present one again where it has the same number.
    pub(super) fn granted(self, token: Arc<AccessToken>) -> Self {
        match self {
            Self::Empty => Self::Untried {
                token,
                proved: None,
            },
            Self::Untried { proved, .. } | Self::Refused { proved, .. } => {
                Self::Untried { token, proved }
            }
            Self::Accepted { token: held } if held.is(&token) => Self::Accepted { token },
            Self::Accepted { token: held } => Self::Untried {
                token,
                proved: Some(held),
            },
        }
    }

    /// The server takes the token in hand.
    pub(super) fn accepted(self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Untried { token, .. }
            | Self::Accepted { token }
            | Self::Refused { token, .. } => Self::Accepted { token },
        }
    }

    /// The server refuses the token in hand.
    pub(super) fn refused(self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Untried { token, proved } | Self::Refused { token, proved } => {
                Self::Refused { token, proved }
            }
            Self::Accepted { token } => Self::Refused {
                token,
                proved: None,
            },
        }
    }

    /// Forgets that the server took `refused` before.
    pub(super) fn disprove(&mut self, refused: &AccessToken) {
        if let Self::Untried { proved, .. } | Self::Refused { proved, .. } = self
            && proved.as_ref().is_some_and(|proved| proved.is(refused))
        {
            *proved = None;
        }
    }
}
