//! How a TLS server proves itself.
//!
//! The one rule: **certificates are read and names are checked when the cache is configured**, so that a
//! connection can fail only at the other end.

use std::sync::Arc;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::setting::{Authorities, Setting, shown};
use crate::error::{Error, ErrorKind};

/// What a server's certificate must prove.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// The name that the certificate must be for.
    pub(crate) name: ServerName<'static>,
    /// The authorities that may have issued it; `None` for those that the system trusts.
    pub(crate) authorities: Option<Arc<RootCertStore>>,
}

impl Tls {
    /// `said` is the name of the setting that holds `host`.
    pub(super) fn new(
        said: &str,
        host: &str,
        authorities: Option<Setting<Authorities>>,
    ) -> Result<Self, Error> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            Error::config(format!(
                "`{said}` has the host `{}`, which no certificate can be for; TLS needs a DNS name or an address",
                shown(host)
            ))
        })?;
        let authorities = authorities.map(read).transpose()?.map(Arc::new);
        Ok(Self { name, authorities })
    }
}

fn read(Setting { value, name }: Setting<Authorities>) -> Result<RootCertStore, Error> {
    let (pem, what) = match value {
        Authorities::Pem(pem) => (pem, format!("`{name}`")),
        Authorities::File(path) => {
            let what = format!("`{name}` is `{}`, which", shown(&path.to_string_lossy()));
            match std::fs::read(&path) {
                Ok(pem) => (pem, what),
                Err(error) => {
                    let message =
                        format!("{what} cannot be read; name a file of certificates in PEM form");
                    return Err(Error::with_source(ErrorKind::Config, message, error));
                }
            }
        }
    };
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| {
            Error::config(format!(
                "{what} is broken PEM; write `-----BEGIN CERTIFICATE-----` blocks"
            ))
        })?;
        authorities.add(certificate).map_err(|error| {
            Error::config(format!(
                "{what} holds a certificate that cannot be used ({error})"
            ))
        })?;
    }
    if authorities.is_empty() {
        return Err(Error::config(format!(
            "{what} holds no certificate; write `-----BEGIN CERTIFICATE-----` blocks"
        )));
    }
    Ok(authorities)
}
