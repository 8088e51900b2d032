//! The assertions by which a service principal proves that it holds its certificate's key.
//!
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::SystemTime;

use azure_core::base64::{decode_url_safe, encode, encode_url_safe};
use ring::digest::{self, digest};
use ring::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaKeyPair,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::issued::unix_seconds;

/// A key and its certificate, known to everybody who has this repository: ring makes no RSA keys.
pub(super) const CLIENT_CERTIFICATE: &str = include_str!("client_certificate.pem");

/// What the provider knows of the certificate.
struct Registered {
    public_key: Vec<u8>,
    certificate: CertificateDer<'static>,
}

static REGISTERED: LazyLock<Registered> = LazyLock::new(|| {
    let pem = CLIENT_CERTIFICATE.as_bytes();
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem).expect("the file holds a key");
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("the key is an RSA key");
    Registered {
        public_key: key.public_key().as_ref().to_vec(),
        certificate: CertificateDer::from_pem_slice(pem).expect("the file holds a certificate"),
    }
});

/// Whether an assertion is signed with a certificate's key; a Kubernetes token names none.
pub(super) fn names_a_certificate(jwt: &str) -> bool {
    let header = jwt.split('.').next().and_then(json);
    header.is_some_and(|h| h.get("x5t").is_some() || h.get("x5t#S256").is_some())
}

/// Whether the assertion is the client's, for this endpoint, and new; else what is wrong with it.
pub(super) fn check(
    jwt: &str,
    client_id: &str,
    endpoint: &str,
    used: &mut HashSet<String>,
) -> Result<(), &'static str> {
    let mut parts = jwt.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it has not three parts");
    };
    let signed = format!("{header}.{claims}");
    let signature = decode_url_safe(signature).map_err(|_| "its signature is not base64url")?;
    let header = json(header).ok_or("its header is not JSON")?;
    let claims = json(claims).ok_or("its claims are not JSON")?;

    check_certificate(&header)?;
    let algorithm: &dyn VerificationAlgorithm = match header["alg"].as_str() {
        Some("PS256") => &RSA_PSS_2048_8192_SHA256,
        Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err("its algorithm is neither PS256 nor RS256"),
    };
    UnparsedPublicKey::new(algorithm, &REGISTERED.public_key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "its signature is not the certificate's")?;

    let now = unix_seconds(SystemTime::now());
    let time = |name: &str| claims[name].as_u64();
    if claims["aud"] != endpoint {
        return Err("its audience is not this endpoint");
    }
    if claims["iss"] != client_id || claims["sub"] != client_id {
        return Err("its issuer and subject are not the client");
    }
    if time("exp").is_none_or(|end| end <= now) {
        return Err("it has expired");
    }
    if time("nbf").is_some_and(|begin| begin > now) {
        return Err("it is not valid yet");
    }
    match claims["jti"].as_str() {
        Some(id) if used.insert(id.to_owned()) => Ok(()),
        Some(_) => Err("it was used before"),
        None => Err("it has no identifier"),
    }
}

/// The header names the registered certificate in each way that it names one.
fn check_certificate(header: &Value) -> Result<(), &'static str> {
    let der: &[u8] = &REGISTERED.certificate;
    let sha1 = digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    let sha256 = encode_url_safe(digest(&digest::SHA256, der));
    let named = |name: &str| header.get(name).and_then(Value::as_str);
    // Azure's own libraries write the older one in the standard alphabet, too.
    let is_sha1 = |print: &str| print == encode_url_safe(sha1) || print == encode(sha1);
    if named("x5t#S256").is_some_and(|print| print != sha256)
        || named("x5t").is_some_and(|print| !is_sha1(print))
    {
        return Err("its certificate is not registered");
    }
    match header.get("x5c") {
        Some(chain) if chain[0] != encode(der) => Err("its chain begins with another certificate"),
        _ => Ok(()),
    }
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&decode_url_safe(part).ok()?).ok()
}
