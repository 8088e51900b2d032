//! Who a connection says it is.
//!
//! The rule: a connection asks here, each time it is made, and nowhere else; and one whose login is
//! outdated hears of the next one from here. So a login that changes with time has one place to come from.

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

#[cfg(feature = "entra-id")]
pub(crate) use credential::OwnCredential;
#[cfg(feature = "entra-id")]
pub use credential::azure_core;
use tokio::sync::{Notify, SemaphorePermit};

#[cfg(feature = "entra-id")]
use self::refresher::{AccessToken, Refresher};
#[cfg(feature = "entra-id")]
use self::schedule::Now;
pub(crate) use self::{
    login::{Auth, EntraLogin, Login},
    secret::Secret,
};
use crate::{error::Error, stats::TokenStats};

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
pub(crate) enum Pass {
    None,
    Password(Arc<Login>),
    #[cfg(feature = "entra-id")]
    Token(Arc<AccessToken>),
}

impl Pass {
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

    /// How long it is good for; `None` if for ever.
    pub(crate) fn left(&self) -> Option<Duration> {
        match self {
            Self::None | Self::Password(_) => None,
            #[cfg(feature = "entra-id")]
            Self::Token(token) => Some(token.left(Now::read())),
        }
    }

    /// What else may be wrong where the server refuses it.
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
    /// Checks that this build can log in so. `good_news` is told of each new token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    #[cfg_attr(
        not(feature = "entra-id"),
        expect(unused_variables, reason = "a password is never news")
    )]
    pub(crate) fn new(auth: &Auth, good_news: &Arc<Notify>) -> Result<Self, Error> {
        match auth {
            Auth::None => Ok(Self::None),
            Auth::Password(login) => Ok(Self::Password(Arc::new(login.clone()))),
            #[cfg(feature = "entra-id")]
            Auth::Entra(login) => Ok(Self::Entra(Arc::new(Refresher::new(
                login.clone(),
                Arc::clone(good_news),
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
    pub(crate) async fn pass(&self) -> Result<Pass, Error> {
        match self {
            Self::None => Ok(Pass::None),
            Self::Password(login) => Ok(Pass::Password(Arc::clone(login))),
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.current().await.map(Pass::Token),
        }
    }

    /// The pass that takes the place of `pass`, once there is one; for ever pending where none will.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn newer(&self, pass: &Pass) -> Pass {
        match (self, pass) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Pass::Token(token)) => {
                Pass::Token(refresher.tokens().newer(token).await)
            }
            _ => pending().await,
        }
    }

    /// The turn to move a connection that is logged in with `pass` to a newer one: one connection after
    /// the other, unless time is short.
    pub(crate) async fn turn(&self, pass: &Pass) -> Option<SemaphorePermit<'_>> {
        match (self, pass) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Pass::Token(token)) => refresher.tokens().turn(token).await,
            _ => None,
        }
    }

    /// The server took `pass`.
    pub(crate) fn accepted(&self, pass: &Pass) {
        match (self, pass) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Pass::Token(token)) => refresher.tokens().accepted(token),
            _ => {}
        }
    }

    /// The server refused `pass`: not a right to a command, but the login itself.
    pub(crate) fn refused(&self, pass: &Pass) {
        match (self, pass) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Pass::Token(token)) => refresher.tokens().refused(token),
            _ => {}
        }
    }

    /// The server hung up on a login with `pass`.
    pub(crate) fn doubted(&self, pass: &Pass) {
        match (self, pass) {
            #[cfg(feature = "entra-id")]
            (Self::Entra(refresher), Pass::Token(token)) => refresher.tokens().suspect(token),
            _ => {}
        }
    }

    /// Whether there is something to log in with, or nothing is needed.
    pub(crate) fn has_pass(&self) -> bool {
        match self {
            Self::None | Self::Password(_) => true,
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.tokens().has_any(),
        }
    }

    /// How many tokens there have been: with another one, what failed may succeed.
    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::None | Self::Password(_) => 0,
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.tokens().refreshes(),
        }
    }

    /// Sees to it that somebody renews what has to be renewed; costs next to nothing where somebody does.
    #[cfg_attr(
        not(feature = "entra-id"),
        expect(unused_variables, reason = "a password is never renewed")
    )]
    pub(crate) fn tend(&self, now: Instant) {
        match self {
            Self::None | Self::Password(_) => {}
            #[cfg(feature = "entra-id")]
            Self::Entra(refresher) => refresher.ensure_task(now),
        }
    }

    /// Ends the background task, for good.
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
