//! Which Entra ID identity a connection has.

#[cfg(feature = "entra-id")]
pub use azure_core;
#[cfg(feature = "entra-id")]
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

#[cfg(feature = "entra-id")]
use azure_core::credentials::TokenCredential;

use crate::error::Error;
#[cfg(feature = "entra-id")]
use crate::{config::Secret, error::ErrorKind};

/// Says why Entra ID cannot be used, and what can.
#[cfg(not(feature = "entra-id"))]
pub(crate) fn refusal() -> Error {
    Error::config(
        "Entra ID login (`REDIS_AUTH=entra`, `entra_id`), the default for a host without a password, \
         is not in this build; add the feature `entra-id` of cache-runtime, give a password (`REDIS_PASSWORD`, `password`), or say that the server asks for none (`REDIS_AUTH=none`, `no_auth`)",
    )
}

/// A token as the provider gave it.
#[cfg(feature = "entra-id")]
pub(crate) struct Granted {
    pub(crate) token: Secret,
    pub(crate) expires: SystemTime,
}

/// Why there is none.
#[cfg(feature = "entra-id")]
pub(crate) struct Denied {
    pub(crate) error: Error,
    pub(crate) retry_after: Option<Duration>,
}

/// The user's own credential.
#[cfg(feature = "entra-id")]
#[derive(Clone)]
pub(crate) struct OwnCredential(Arc<dyn TokenCredential>);

#[cfg(feature = "entra-id")]
impl From<Arc<dyn TokenCredential>> for OwnCredential {
    fn from(credential: Arc<dyn TokenCredential>) -> Self {
        Self(credential)
    }
}

#[cfg(feature = "entra-id")]
impl PartialEq for OwnCredential {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(feature = "entra-id")]
impl fmt::Debug for OwnCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnCredential")
    }
}

#[cfg(feature = "entra-id")]
#[derive(Clone)]
pub(crate) struct Credentials {
    own: OwnCredential,
    scope: String,
}

#[cfg(feature = "entra-id")]
impl Credentials {
    pub(crate) fn from_environment(_scope: String) -> Result<Self, Error> {
        Err(Error::config("no chain yet"))
    }

    pub(crate) fn own(own: OwnCredential, scope: String) -> Self {
        Self { own, scope }
    }

    pub(crate) async fn token(&mut self, _fresh: bool) -> Result<Granted, Denied> {
        match self.own.0.get_token(&[&self.scope], None).await {
            Ok(token) => Ok(Granted {
                token: Secret::new(token.token.secret()),
                expires: token.expires_on.into(),
            }),
            Err(_) => Err(Denied {
                error: Error::new(ErrorKind::Identity, "the credential gave no token"),
                retry_after: None,
            }),
        }
    }

    pub(crate) fn name(&self) -> Option<&'static str> {
        Some("own")
    }
}
