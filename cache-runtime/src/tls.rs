//! What every TLS connection is set up with, be it to Redis or to the identity provider.
//!
//! The one rule: **the caller says whom to trust, and nothing is taken from the process-wide defaults**,
//! because they may be absent, or another library's choice.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The settings of a client that takes certificates from these authorities.
pub(crate) fn client_trusting(
    authorities: Arc<rustls::RootCertStore>,
) -> Result<rustls::ClientConfig, Error> {
    // The provider is named, because the process-wide default may be absent or another's choice.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::with_source(ErrorKind::Connect, "no TLS version to offer", error))?
        .with_root_certificates(authorities)
        .with_no_client_auth())
}

/// The authorities that the system trusts. Blocks, because it reads files.
pub(crate) fn system_authorities() -> Result<Arc<rustls::RootCertStore>, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = rustls::RootCertStore::empty();
    // A system's store may hold certificates that rustls cannot use; the others serve.
    authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        let message =
            "this system has no certificate authorities; name a file of them in `REDIS_TLS_CA`";
        return Err(match found.errors.into_iter().next() {
            Some(error) => Error::with_source(ErrorKind::Connect, message, error),
            None => Error::new(ErrorKind::Connect, message),
        });
    }
    Ok(Arc::new(authorities))
}
