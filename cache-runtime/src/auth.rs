//! Who a connection says it is.
//!
//! The one rule: **a connection asks here, each time it is made, and nowhere else**; and a connection whose login
//! runs out hears of the next one from here. So a login that changes with time has one place to come from.
//!
//! | module | what it does |
//! |---|---|
//! | this one | hands out the credentials of one connection |
//! | `refresher` | holds the token of Entra ID and renews it |
//! | `schedule` | says when to ask for the next token |
//! | `claims` | reads the user's name in a token |
//! | `login` | the settings: how a cache was told to log in |
//! | `credential` | asks the identity provider |
//! | `secret` | a text that no formatting shows |
//!
//! Imports go down this table, never up, and from here on to `tls`, `error` and others that know nothing of
//! logins. The settings stand above.

#[cfg(feature = "entra-id")]
mod claims;
mod credential;
mod login;
#[cfg(feature = "entra-id")]
mod refresher;
#[cfg(feature = "entra-id")]
mod schedule;
mod secret;

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, SemaphorePermit};

#[cfg(feature = "entra-id")]
use self::{
    refresher::{AccessToken, Refresher},
    schedule::Now,
};
use crate::{error::Error, observe::stats::TokenStats};

#[cfg(feature = "entra-id")]
pub(crate) use self::credential::OwnCredential;
#[cfg(feature = "entra-id")]
pub use self::credential::azure_core;
pub(crate) use self::{
    login::{Auth, EntraLogin, Login},
    secret::Secret,
};

/// How the connections to one server log in.
#[derive(Debug)]
pub(crate) enum Authenticator {
    /// The server asks for nothing.
    None,
    Password(Arc<Login>),
    #[cfg(feature = "entra-id")]
    Entra(Arc<Refresher>),
}

/// What one connection logs in with.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    None,
    Password(Arc<Login>),
    #[cfg(feature = "entra-id")]
    Token(Arc<AccessToken>),
}

impl Credentials {
    pub(crate) fn login(&self) -> Option<&Login> {
        match self {
            Self::None => None,
            Self::Password(login) => Some(login),
            #[cfg(feature = "entra-id")]
            Self::Token(token) => Some(token.login()),
        }
    }

    /// Whether the two are not one and the same.
    pub(crate) fn is_other_than(&self, other: &Self) -> bool {
        match (self, other) {
            #[cfg(feature = "entra-id")]
            (Self::Token(token), Self::Token(other)) => !Arc::ptr_eq(token, other),
            _ => false,
        }
    }

    /// How long they are good for; `None` if for ever.
    pub(crate) fn left(&self) -> Option<Duration> {
        match self {
            Self::None | Self::Password(_) => None,
            #[cfg(feature = "entra-id")]
            Self::Token(token) => Some(token.left(Now::read())),
        }
    }

    /// The end of a message that says that the server refused them: what else may be wrong.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::None => "; set `REDIS_PASSWORD`, or `REDIS_AUTH=entra` for tokens of Entra ID",
            Self::Password(login) => login.hint(),
            #[cfg(feature = "entra-id")]
            Self::Token(_) => {
                "; the identity needs an access policy of this cache, and its object id as the user name"
            }
        }
    }
}

impl Authenticator {
    /// Checks that this build can log in so. `token_renewed` is notified of each new token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    #[cfg_attr(
        not(feature = "entra-id"),
        expect(unused_variables, reason = "a password is never renewed")
    )]
    pub(crate) fn new(auth: &Auth, token_renewed: &Arc<Notify>) -> Result<Self, Error> {
        match auth {
            Auth::None => Ok(Self::None),
            Auth::Password(login) => Ok(Self::Password(Arc::new(login.clone()))),
            #[cfg(feature = "entra-id")]
            Auth::Entra(login) => Ok(Self::Entra(Arc::new(Refresher::new(
                login.clone(),
                Arc::clone(token_renewed),
            )?))),
            #[cfg(not(feature = "entra-id"))]
            Auth::Entra(_) => Err(credential::refusal()),
        }
    }

    /// What a connection that is made now logs in with.
    ///
    /// # Errors
    ///
    /// If there is no token, and the last attempt to get one failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn credentials(&self) -> Result<Credentials, Error> {
        match self {
            Self::None => Ok(Credentials::None),
            Self::Password(login) => Ok(Credentials::Password(Arc::clone(login))),
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.current().await.map(Credentials::Token),
        }
    }

    /// The credentials that take the place of `present`, once there are any; for ever pending where there will be none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn newer(&self, present: &Credentials) -> Credentials {
        match (self, present) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Credentials::Token(token)) => {
                Credentials::Token(refresher.tokens().newer(token).await)
            }
            _ => pending().await,
        }
    }

    /// The turn of one connection to move from `present` to newer credentials: one connection after the other, unless time
    /// is short.
    pub(crate) async fn turn(&self, present: &Credentials) -> Option<SemaphorePermit<'_>> {
        match (self, present) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Credentials::Token(token)) => {
                refresher.tokens().turn(token).await
            }
            _ => None,
        }
    }

    /// The server took `credentials`.
    pub(crate) fn accepted(&self, credentials: &Credentials) {
        match (self, credentials) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Credentials::Token(token)) => {
                refresher.tokens().accepted(token);
            }
            _ => {}
        }
    }

    /// The server refused `credentials`: the login itself, not the right to a command.
    pub(crate) fn refused(&self, credentials: &Credentials) {
        match (self, credentials) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Credentials::Token(token)) => {
                refresher.tokens().refused(token);
            }
            _ => {}
        }
    }

    /// The server hung up on a login with `credentials`, which may be a refusal.
    pub(crate) fn suspect(&self, credentials: &Credentials) {
        match (self, credentials) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Credentials::Token(token)) => {
                refresher.tokens().suspect(token);
            }
            _ => {}
        }
    }

    /// Whether there is something to log in with, or nothing is needed.
    pub(crate) fn has_credentials(&self) -> bool {
        match self {
            Self::None | Self::Password(_) => true,
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.tokens().has_any(),
        }
    }

    /// The number of tokens there have been. A login that failed may succeed once the number is another.
    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::None | Self::Password(_) => 0,
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.tokens().refreshes(),
        }
    }

    /// Starts the task that renews tokens, unless one lives or none is needed; costs next to nothing then.
    #[cfg_attr(
        not(feature = "entra-id"),
        expect(unused_variables, reason = "a password is never renewed")
    )]
    pub(crate) fn ensure_refresher(&self, now: Instant) {
        match self {
            Self::None | Self::Password(_) => {}
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.ensure_task(now),
        }
    }

    /// Ends the task that renews tokens, for good.
    pub(crate) fn close(&self) {
        match self {
            Self::None | Self::Password(_) => {}
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.close(),
        }
    }

    pub(crate) fn stats(&self) -> Option<TokenStats> {
        match self {
            Self::None | Self::Password(_) => None,
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => Some(refresher.tokens().stats()),
        }
    }
}
