//! Which Entra ID identity a connection has, and the tokens that prove it.
//!
//! The one rule: **a provider is asked once, when somebody says so**; when to ask again is decided elsewhere. Only
//! this folder names Azure's crates.
//!
//! | file | what it does |
//! |---|---|
//! | `chain` | asks the credentials in order, keeps the first that serves |
//! | `maker` | makes Azure's credentials |
//! | `wire` | their HTTP |
//! | `tool` | their `az` and `azd` |
//! | `assertion` | what an application shows in place of a client secret |
//! | `plan` | which credentials there are, from the environment |
//! | `own` | the user's own credential |
//! | `failure`, `redact` | what may be said about what went wrong |
//!
//! Imports go down this table, never up.

#[cfg(feature = "entra-id")]
mod assertion;
#[cfg(feature = "entra-id")]
mod chain;
#[cfg(feature = "entra-id")]
mod failure;
#[cfg(feature = "entra-id")]
mod maker;
#[cfg(feature = "entra-id")]
mod own;
#[cfg(feature = "entra-id")]
mod plan;
#[cfg(feature = "entra-id")]
mod redact;
#[cfg(feature = "entra-id")]
mod tool;
#[cfg(feature = "entra-id")]
mod wire;

#[cfg(feature = "entra-id")]
pub use azure_core;

#[cfg(feature = "entra-id")]
pub(crate) use self::{
    chain::{CredentialChain, TokenDenial, TokenGrant},
    own::OwnCredential,
};

/// Says why Entra ID cannot be used, and what can.
#[cfg(not(feature = "entra-id"))]
pub(crate) fn refusal() -> crate::error::Error {
    crate::error::Error::config(
        "Entra ID login (`REDIS_AUTH=entra`, `entra_id`), the default for a name of Azure's without a password, \
         is not in this build; add the feature `entra-id` of cache-runtime, give a password (`REDIS_PASSWORD`, `password`), or say that the server asks for none (`REDIS_AUTH=none`, `no_auth`)",
    )
}
