//! How a cache was told to log in.
//!
//! The one rule: **these are plain values: nobody is asked here, and no secret is shown.** Settings become
//! these values, and an [`Authenticator`](super::Authenticator) is made from them.

use std::time::Duration;

#[cfg(feature = "entra-id")]
use super::credential::OwnCredential;
use super::secret::Secret;

/// How a connection says who it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Auth {
    None,
    Password(Login),
    /// A token from Microsoft Entra ID in the place of the password.
    Entra(EntraLogin),
}

/// How to get tokens of Entra ID, and for which user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EntraLogin {
    /// The Redis user; without it, the one that the token names.
    pub(crate) username: Option<String>,
    /// What the tokens are for.
    pub(crate) scope: String,
    /// How long before its expiry a token is replaced.
    pub(crate) margin: Duration,
    /// Whom to ask; without it, the chain that the environment's variables describe.
    #[cfg(feature = "entra-id")]
    pub(crate) credential: Option<OwnCredential>,
}

/// A user and a password; without a user, Redis takes `default`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Login {
    pub(crate) username: Option<String>,
    pub(crate) password: Secret,
}

impl Login {
    /// The end of a message that says that the server refused it: what may be wrong.
    pub(crate) fn hint(&self) -> &'static str {
        let password = self.password.expose();
        if password.is_empty() {
            "; there is no password: set `REDIS_PASSWORD`, or `nopass` for the ACL user"
        } else if password.trim() != password {
            "; the password begins or ends with white space, which is taken as a part of it"
        } else {
            ""
        }
    }
}
