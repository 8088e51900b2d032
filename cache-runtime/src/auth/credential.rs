//! Which Entra ID identity a connection has.
//!
//! There is none in this release, so that choice is refused when the cache is built.

use crate::error::Error;

/// Says why Entra ID cannot be used, and what can.
pub(crate) fn refusal() -> Error {
    // With the feature it is this release that lacks the login; without it, the build does.
    let why = if cfg!(feature = "entra-id") {
        "is not in cache-runtime 0.1"
    } else {
        "needs the feature `entra-id` of cache-runtime"
    };
    Error::config(format!(
        "Entra ID login, the default for a host without a password, {why}; \
         give a password (`REDIS_PASSWORD`, `password`), or say that the server asks for none (`REDIS_AUTH=none`, `no_auth`)"
    ))
}
