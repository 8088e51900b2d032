//! Certificates of servers, made at run time: none is in the repository, none ever expires there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The CA of all servers of this process: a client that is given one CA file, as by `SSL_CERT_FILE`,
/// can talk to all of them.
static AUTHORITY: LazyLock<(String, Issuer<'static, KeyPair>)> =
    LazyLock::new(|| authority("cache-tests CA"));

/// The files that a TLS server and its clients need.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) ca: PathBuf,
    pub(crate) unrelated_ca: PathBuf,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Tls {
    /// Issues a certificate for `localhost` and `127.0.0.1`, and a CA that has nothing to do with it.
    pub(crate) fn issue(dir: &Path) -> Self {
        let write = |name: &str, pem: &str| {
            let path = dir.join(name);
            std::fs::write(&path, pem).expect("a writable directory");
            path
        };
        let (ca_pem, ca) = &*AUTHORITY;
        let (unrelated_pem, _) = authority("cache-tests unrelated CA");
        let key = KeyPair::generate().expect("a key pair");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).expect("valid names");
        let certificate = server.signed_by(&key, ca).expect("a signed certificate");
        let text = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        Self {
            ca: write("ca.pem", ca_pem),
            unrelated_ca: write("unrelated-ca.pem", &unrelated_pem),
            certificate: text(write("server.pem", &certificate.pem())),
            key: text(write("server.key", &key.serialize_pem())),
        }
    }
}

/// What serves TLS in this process with a certificate and key in PEM.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .expect("a file with a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a file with a key");
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring knows the usual versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a key that fits the certificate");
    TlsAcceptor::from(Arc::new(config))
}

/// What a client in this process needs to trust one CA, and no other.
pub(crate) fn trusting(ca: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).expect("a file with a certificate"))
        .expect("a CA's certificate");
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring knows the usual versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Named in each place, so that nothing depends on the process' default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::ring::default_provider())
}

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key pair");
    let pem = params
        .self_signed(&key)
        .expect("a self-signed certificate")
        .pem();
    (pem, Issuer::new(params, key))
}
