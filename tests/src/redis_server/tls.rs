//! Certificates made at run time: none is in the repository, none ever expires there.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// The files that a TLS server and its clients need.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) ca: PathBuf,
    pub(super) unrelated_ca: PathBuf,
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Tls {
    /// Issues a certificate for `localhost` and `127.0.0.1`, and a CA that has nothing to do with it.
    pub(super) fn issue(dir: &Path) -> Self {
        let write = |name: &str, pem: &str| {
            let path = dir.join(name);
            std::fs::write(&path, pem).expect("a writable directory");
            path
        };
        let (ca_pem, ca) = authority("cache-tests CA");
        let (unrelated_pem, _) = authority("cache-tests unrelated CA");
        let key = KeyPair::generate().expect("a key pair");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).expect("valid names");
        let certificate = server.signed_by(&key, &ca).expect("a signed certificate");
        let text = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        Self {
            ca: write("ca.pem", &ca_pem),
            unrelated_ca: write("unrelated-ca.pem", &unrelated_pem),
            certificate: text(write("server.pem", &certificate.pem())),
            key: text(write("server.key", &key.serialize_pem())),
        }
    }
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
