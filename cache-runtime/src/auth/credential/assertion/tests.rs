use azure_core::base64::{decode, decode_url_safe};
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::*;

const KEY: &str = include_str!("test-keys/key.pem");
const KEY_PKCS1: &str = include_str!("test-keys/key-pkcs1.pem");
const CERTIFICATE: &str = include_str!("test-keys/certificate.pem");
const ANOTHER: &str = include_str!("test-keys/another-certificate.pem");

fn principal() -> Principal {
    Principal {
        tenant: "a-tenant".into(),
        client: "a-client".into(),
        authority: Url::parse("https://127.0.0.1:1/ignored?too").expect("an address"),
    }
}

fn signer(pem: &[&str], send_chain: bool) -> Signer {
    Signer::from_pem(pem.concat().as_bytes(), send_chain).expect("a signer")
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// Header, claims, and whether the signature is that of the key.
fn read(jwt: &Secret) -> (Value, Value, bool) {
    let parts: Vec<_> = jwt.expose().split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts");
    };
    let json = |part| {
        let bytes = decode_url_safe(part).expect("base64url");
        serde_json::from_slice::<Value>(&bytes).expect("JSON")
    };
    let public = signer(&[KEY, CERTIFICATE], false)
        .key
        .public()
        .as_ref()
        .to_vec();
    let is_signed = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public)
        .verify(
            format!("{header}.{claims}").as_bytes(),
            &decode_url_safe(signature).expect("base64url"),
        )
        .is_ok();
    (json(header), json(claims), is_signed)
}

#[test]
fn an_assertion_has_the_form_that_entra_asks_for() {
    let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
    for key in [KEY, KEY_PKCS1] {
        let signer = signer(&[CERTIFICATE, key], false);
        let sign = || signer.sign(&principal(), now).expect("an assertion");
        let (header, claims, is_signed) = read(&sign());
        assert!(is_signed);
        let thumbprint = encode_url_safe(Sha256::digest(der(CERTIFICATE)));
        assert_eq!(
            header,
            json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint })
        );
        let jti = claims["jti"].as_str().expect("an id");
        assert_eq!(
            claims,
            json!({
                "aud": "https://127.0.0.1:1/a-tenant/oauth2/v2.0/token",
                "iss": "a-client",
                "sub": "a-client",
                "jti": jti,
                "nbf": 1_700_000_000,
                "iat": 1_700_000_000,
                "exp": 1_700_000_300,
            })
        );
        let (_, again, _) = read(&sign());
        assert_ne!(again["jti"], jti, "an assertion that was used is refused");
    }
}

#[test]
fn the_chain_is_sent_with_the_keys_own_certificate_first() {
    let signer = signer(&[ANOTHER, KEY, CERTIFICATE], true);
    let (header, _, is_signed) = read(&signer.sign(&principal(), UNIX_EPOCH).expect("signed"));
    assert!(is_signed);
    let sent: Vec<_> = header["x5c"].as_array().expect("a chain").iter().collect();
    let sent: Vec<_> = sent
        .into_iter()
        .map(|one| decode(one.as_str().expect("a text")).expect("base64"))
        .collect();
    assert_eq!(sent, [der(CERTIFICATE).to_vec(), der(ANOTHER).to_vec()]);
    assert_eq!(
        header["x5t#S256"],
        encode_url_safe(Sha256::digest(der(CERTIFICATE)))
    );
}

#[test]
fn a_file_that_does_not_serve_says_why() {
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n";
    let curve = "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n";
    let broken = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    for (pem, text) in [
        (
            "0\u{1}pkcs12".to_owned(),
            "the certificate's file is no PEM; convert it with `openssl pkcs12 -in FILE -out NEW_FILE -nodes`",
        ),
        ([encrypted, CERTIFICATE].concat(), ENCRYPTED),
        ([older, CERTIFICATE].concat(), ENCRYPTED),
        (
            [curve, CERTIFICATE].concat(),
            "the certificate's key is no RSA key; Entra ID takes no other",
        ),
        (
            [broken, CERTIFICATE].concat(),
            "the certificate's key cannot be used: InvalidEncoding",
        ),
        (
            CERTIFICATE.to_owned(),
            "the certificate's file holds no key; \
             write a `-----BEGIN PRIVATE KEY-----` block beside the certificate",
        ),
        (
            KEY.to_owned(),
            "the certificate's file holds no certificate of its key",
        ),
        (
            [KEY, ANOTHER].concat(),
            "the certificate's file holds no certificate of its key",
        ),
    ] {
        let error = Signer::from_pem(pem.as_bytes(), false).err();
        assert_eq!(error.as_deref(), Some(text));
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let file = Path::new("/nowhere/a.pem");
    let error = Assertion::from_certificate_file(file, false, &principal()).expect_err("no file");
    assert!(
        error.starts_with("AZURE_CLIENT_CERTIFICATE_PATH is `/nowhere/a.pem`: "),
        "{error}"
    );
    let error = Assertion::from_token_file(file).expect_err("no file");
    assert!(
        error.starts_with("AZURE_FEDERATED_TOKEN_FILE is `/nowhere/a.pem`: "),
        "{error}"
    );
}

#[test]
fn nothing_of_an_assertion_is_shown() {
    let assertion = Assertion(Secret::new("s3cr3t"));
    assert_eq!(format!("{assertion:?}"), "Assertion(<redacted>)");
}
