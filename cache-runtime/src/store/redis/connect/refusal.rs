//! Why there is no connection, and what may be said of it.
//!
//! The one rule: **no message that a server sends before the login is repeated unexamined**, because old servers quote
//! the command that they do not know, and that command holds the password.

use redis::RedisError;

use super::{Connector, addresses::Verdict};
use crate::{
    auth::{Credentials, Login},
    error::{Error, ErrorKind, kind_of, redis_text},
};

impl Connector {
    /// Says why the server did not take the connection, without what the login sent.
    pub(super) fn refusal(&self, error: &RedisError, credentials: &Credentials) -> Error {
        let (endpoint, login, hint) = (&self.endpoint, credentials.login(), credentials.hint());
        match kind_of(error) {
            // Of the answer to an `AUTH` without `HELLO`, redis-rs keeps no more than this.
            ErrorKind::Auth if error.kind() == redis::ErrorKind::AuthenticationFailed => {
                Error::new(
                    ErrorKind::Auth,
                    format!(
                        "redis at {endpoint} refused the login: it does not take the password{hint}"
                    ),
                )
            }
            ErrorKind::Auth if error.detail().is_some_and(|told| told.contains("'select'")) => {
                Error::new(
                    ErrorKind::Auth,
                    format!(
                        "redis at {endpoint} refused the database: {}; give the user the right with `+select`, or use \
                         database 0 (`REDIS_DB`)",
                        harmless(error, login)
                    ),
                )
            }
            ErrorKind::Auth => Error::new(
                ErrorKind::Auth,
                format!(
                    "redis at {endpoint} refused the login: {}{hint}",
                    harmless(error, login).trim_end_matches('.')
                ),
            ),
            ErrorKind::Disconnected => Error::new(
                ErrorKind::Connect,
                format!(
                    "redis at {endpoint} closed the connection before it answered ({error}); \
                     if it expects TLS, ask for it with `REDIS_TLS=true` or `rediss://`"
                ),
            ),
            _ if error.kind() == redis::ErrorKind::Parse => Error::new(
                ErrorKind::Connect,
                // The first byte of a TLS server's refusal is no type of a reply.
                format!(
                    "what answers at {endpoint} is not redis; if it expects TLS, ask for it with `REDIS_TLS=true` or `rediss://`"
                ),
            ),
            kind => Error::new(
                kind,
                format!(
                    "redis at {endpoint} refused the connection: {}",
                    harmless(error, login)
                ),
            ),
        }
    }
}

/// Why there is no connection at one address.
pub(super) enum NotMade {
    /// There is nobody to talk to.
    NoStream(Error),
    /// The server did not take the login, or hung up on it.
    Refused(RedisError),
}

impl From<Error> for NotMade {
    fn from(error: Error) -> Self {
        Self::NoStream(error)
    }
}

impl Verdict for NotMade {
    fn is_last_word(&self) -> bool {
        // All addresses are one server's, which would count a failed login for each address.
        matches!(self, Self::Refused(error) if kind_of(error) == ErrorKind::Auth)
    }

    fn weight(&self) -> u8 {
        match self {
            Self::NoStream(_) => 0,
            // Some servers refuse a login by nothing but this.
            Self::Refused(error) if kind_of(error) == ErrorKind::Disconnected => 1,
            Self::Refused(_) => 2,
        }
    }
}

/// The length of a beginning that gives a password away; shorter passwords are quoted whole or not at all.
const BEGINNING: usize = 8;

/// What the server said, without what it may have quoted of the login.
fn harmless(error: &RedisError, login: Option<&Login>) -> String {
    let text = redis_text(error);
    let Some(password) = login.map(|login| login.password.expose()) else {
        return text;
    };
    if password.is_empty() {
        return text;
    }
    let text = text.replace(password, "<redacted>");
    // A text that begins as the password does is taken for it, because servers cut what they quote.
    match password.get(..BEGINNING).and_then(|start| text.find(start)) {
        Some(at) => format!("{}<redacted>", &text[..at]),
        None => text,
    }
}
