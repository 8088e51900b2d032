//! The token in hand, for all connections that are made at the same time.
//!
//! The one rule: **nobody here asks the provider, and nobody waits for it for longer than
//! [`LONGEST_WAIT`].** What is decided is decided in [`State`], under its lock; the log is written, and the
//! others are told, once the lock is free.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, watch},
    time::timeout,
};

use super::{
    super::{
        claims,
        credential::{TokenDenial, TokenGrant},
        login::Login,
        schedule::{NextAsk, Now},
    },
    hand::AccessToken,
    state::{OutageReport, State, TokenArrival},
};
use crate::{error::Error, observe::stats::TokenStats};

/// How long a connection that is being made waits for a token.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The tokens of one cache, one after the other.
pub(crate) struct Tokens {
    /// The Redis user; without it, the one that each token names.
    username: Option<String>,
    /// Notified of each new token.
    token_renewed: Arc<Notify>,
    state: watch::Sender<State>,
    /// One connection at a time moves to a new token.
    turns: Semaphore,
}

impl Tokens {
    /// No token yet. `margin` is how long before its end a token is replaced.
    pub(super) fn new(
        username: Option<String>,
        margin: Duration,
        token_renewed: Arc<Notify>,
    ) -> Self {
        Self {
            username,
            token_renewed,
            state: watch::Sender::new(State::new(margin)),
            turns: Semaphore::new(1),
        }
    }

    /// Hears of each change of the state.
    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The token in hand; where there is none, or the server refused it, the next one.
    pub(super) async fn current(&self) -> Result<Arc<AccessToken>, Error> {
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| state.is_settled(Now::read()));
        // Past the time, or where the sender has gone, the state counts as it is. The result holds a lock, and is
        // dropped at once, because to read again while a writer waits would take for ever.
        drop(timeout(LONGEST_WAIT, settled).await);
        self.state.borrow().offered(Now::read()).cloned()
    }

    /// The first token that comes after `token`.
    pub(crate) async fn newer(&self, token: &AccessToken) -> Arc<AccessToken> {
        let mut states = self.state.subscribe();
        loop {
            if let Some(newer) = states.borrow_and_update().newer(token) {
                return Arc::clone(newer);
            }
            states
                .changed()
                .await
                .expect("the sender is borrowed with `self`");
        }
    }

    /// The turn of one connection to move away from `token`. Connections move one after the other; a connection that
    /// would be too late by that, as the end of `token` has it, does not wait.
    pub(crate) async fn turn(&self, token: &AccessToken) -> Option<SemaphorePermit<'_>> {
        let left = token.life().move_within(Now::read());
        // Never closed.
        timeout(left, self.turns.acquire()).await.ok()?.ok()
    }

    /// The server took `token`.
    pub(crate) fn accepted(&self, token: &AccessToken) {
        self.state.send_if_modified(|state| state.accepted(token));
    }

    /// The server refused `token`.
    pub(crate) fn refused(&self, token: &AccessToken) {
        let is_news = self
            .state
            .send_if_modified(|state| state.refused(token, Now::read(), fastrand::f64()));
        if is_news {
            tracing::warn!(
                user = token.login().username,
                age = ?token.life().age(Now::read()),
                "redis refused the Entra ID token"
            );
        }
    }

    /// The server hung up on a login with `token`, as some do in place of an answer.
    pub(crate) fn suspect(&self, token: &AccessToken) {
        self.state
            .send_if_modified(|state| state.suspect(token, Now::read(), fastrand::f64()));
    }

    /// Whether there is a token, be it an old one.
    pub(crate) fn has_any(&self) -> bool {
        self.state.borrow().held().is_some()
    }

    /// The number of tokens there have been.
    pub(crate) fn refreshes(&self) -> u64 {
        self.state.borrow().refreshes()
    }

    pub(crate) fn stats(&self) -> TokenStats {
        self.state.borrow().stats(Now::read())
    }

    /// What the task is to do.
    pub(super) fn next(&self) -> NextAsk {
        self.state.borrow().next(Now::read())
    }

    /// The provider is asked.
    pub(super) fn asked(&self) {
        self.state.send_modify(State::asked);
    }

    /// The provider is no longer asked.
    pub(super) fn rest(&self) {
        self.state.send_if_modified(State::rest);
    }

    /// The provider answered; `credential` is the one that it answered to.
    pub(super) fn answered(
        &self,
        answer: Result<TokenGrant, TokenDenial>,
        credential: Option<&'static str>,
    ) {
        match answer {
            Ok(grant) => self.granted(grant, credential),
            Err(denial) => self.denied(&denial, credential),
        }
    }

    fn granted(&self, grant: TokenGrant, credential: Option<&'static str>) {
        let TokenGrant { token, expires } = grant;
        let named = self.username.clone();
        let username = named.or_else(|| claims::object_id(token.expose()));
        let login = Login {
            // A token that cannot be read names nobody.
            username: Some(username.unwrap_or_else(|| "default".to_owned())),
            password: token,
        };
        let now = Now::read();
        let arrival =
            self.change(|state| state.granted(login, expires, credential, now, fastrand::f64()));
        let expires_in = expires.duration_since(now.wall).unwrap_or_default();
        match arrival {
            TokenArrival::Taken { user } => {
                tracing::info!(credential, user, ?expires_in, "got an Entra ID token");
                self.token_renewed.notify_waiters();
            }
            // A provider that keeps tokens does so until shortly before their end.
            TokenArrival::Again => tracing::debug!(
                credential,
                ?expires_in,
                "the identity provider gave the present Entra ID token again"
            ),
            TokenArrival::Expired => tracing::warn!(
                credential,
                "the identity provider gave an Entra ID token that has expired"
            ),
        }
    }

    fn denied(&self, denial: &TokenDenial, credential: Option<&'static str>) {
        let TokenDenial {
            error,
            retry_after,
            is_lasting,
        } = denial;
        let now = Now::read();
        let OutageReport {
            next_try,
            token_is_valid,
            is_known,
        } = self
            .change(|state| state.denied(error, *retry_after, *is_lasting, now, fastrand::f64()));
        let cause = error.cause();
        if is_known {
            tracing::debug!(%error, cause, credential, ?next_try, token_is_valid, "still no new Entra ID token");
        } else {
            tracing::warn!(%error, cause, credential, ?next_try, token_is_valid, "no new Entra ID token");
        }
    }

    /// Changes the state, and wakes the tasks that wait for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.state.send_modify(|state| result = Some(change(state)));
        result.expect("`send_modify` has called its closure")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("username", &self.username)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}
