//! What an application shows in place of a secret.
//!
//! The one rule: **the file is read for each request**, so that a file that was replaced counts at once. A
//! certificate's assertion is signed here, because azure_identity would need OpenSSL for it; its form is that of
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>, with PS256.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use azure_core::{
    Uuid,
    base64::{encode, encode_url_safe},
    http::ClientMethodOptions,
};
use azure_identity::ClientAssertion;
use ring::{rand::SystemRandom, rsa, signature::RSA_PSS_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use super::plan::{ENCRYPTED, Principal};
use crate::auth::secret::Secret;

/// How long an assertion may be used. It is sent at once, so nearly all of this is for clocks that differ.
const LIFE: Duration = Duration::from_secs(300);

/// An assertion for one request.
#[derive(Debug)]
pub(super) struct Assertion(Secret);

impl Assertion {
    /// The token that Kubernetes put into a file. Blocks.
    pub(super) fn from_token_file(file: &Path) -> Result<Self, String> {
        let token = read(file, "AZURE_FEDERATED_TOKEN_FILE")?;
        let token = String::from_utf8(token)
            .map_err(|_| "the file in AZURE_FEDERATED_TOKEN_FILE holds no token".to_owned())?;
        Ok(Self(Secret::new(token.trim())))
    }

    /// An assertion signed with the key in a PEM file. Blocks.
    pub(super) fn from_certificate_file(
        file: &Path,
        send_chain: bool,
        principal: &Principal,
    ) -> Result<Self, String> {
        let pem = read(file, "AZURE_CLIENT_CERTIFICATE_PATH")?;
        Signer::from_pem(&pem, send_chain)?
            .sign(principal, SystemTime::now())
            .map(Self)
    }

    /// The assertion's text, which no message may hold.
    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }
}

#[async_trait::async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose().to_owned())
    }
}

/// The address at which an application asks for tokens. Its assertion names the same address as its audience.
pub(super) fn token_endpoint(principal: &Principal) -> Url {
    let mut endpoint = principal.authority.clone();
    // As azure_identity joins them: a path of the authority's own is dropped.
    endpoint.set_path(&format!("/{}/oauth2/v2.0/token", principal.tenant));
    endpoint.set_query(None);
    endpoint.set_fragment(None);
    endpoint
}

fn read(file: &Path, variable: &str) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{variable} is `{}`: {error}", file.display()))
}

/// The key and the certificates of a PEM file.
struct Signer {
    key: rsa::KeyPair,
    /// The certificate of `key` first, then those of its issuers.
    certificates: Vec<CertificateDer<'static>>,
    send_chain: bool,
}

impl Signer {
    fn from_pem(pem: &[u8], send_chain: bool) -> Result<Self, String> {
        // A PKCS#12 file is a DER sequence.
        if pem.first() == Some(&0x30) {
            return Err(
                "the certificate's file is no PEM; convert it with `openssl pkcs12 -in FILE -out NEW_FILE -nodes`"
                    .to_owned(),
            );
        }
        let holds = |mark: &[u8]| pem.windows(mark.len()).any(|window| window == mark);
        // PKCS#8, and the older form (RFC 1421 §4.6.1.1).
        if holds(b"BEGIN ENCRYPTED") || holds(b"Proc-Type: 4,ENCRYPTED") {
            return Err(ENCRYPTED.to_owned());
        }
        let key = match PrivateKeyDer::from_pem_slice(pem) {
            Ok(PrivateKeyDer::Pkcs8(key)) => rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => rsa::KeyPair::from_der(key.secret_pkcs1_der()),
            Ok(_) => return Err("the certificate's key is no RSA key; Entra ID takes no other".to_owned()),
            Err(_) => {
                return Err(
                    "the certificate's file holds no key; write a `-----BEGIN PRIVATE KEY-----` block beside the certificate"
                        .to_owned(),
                );
            }
        }
        .map_err(|error| format!("the certificate's key cannot be used: {error}"))?;
        let mut certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "the certificate's file is broken PEM".to_owned())?;
        // A certificate holds its public key as it is encoded alone (RFC 5280 §4.1, RFC 8017 §A.1.1).
        let public = key.public().as_ref();
        let own = certificates
            .iter()
            .position(|certificate| {
                certificate
                    .windows(public.len())
                    .any(|window| window == public)
            })
            .ok_or_else(|| "the certificate's file holds no certificate of its key".to_owned())?;
        certificates[..=own].rotate_right(1);
        Ok(Self {
            key,
            certificates,
            send_chain,
        })
    }

    fn sign(&self, principal: &Principal, now: SystemTime) -> Result<Secret, String> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut header = json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": encode_url_safe(Sha256::digest(&self.certificates[0])),
        });
        if self.send_chain {
            header["x5c"] = self.certificates.iter().map(encode).collect();
        }
        let claims = json!({
            "aud": token_endpoint(principal).as_str(),
            "iss": principal.client,
            "sub": principal.client,
            "jti": Uuid::new_v4().to_string(),
            "nbf": now.as_secs(),
            "iat": now.as_secs(),
            "exp": (now + LIFE).as_secs(),
        });
        let signed = format!(
            "{}.{}",
            encode_url_safe(header.to_string()),
            encode_url_safe(claims.to_string())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| "the certificate's key cannot sign".to_owned())?;
        Ok(Secret::new(format!(
            "{signed}.{}",
            encode_url_safe(signature)
        )))
    }
}

#[cfg(test)]
mod tests;
