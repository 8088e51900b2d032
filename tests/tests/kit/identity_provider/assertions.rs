//! What the provider checks of those who ask.

use std::sync::Arc;
use std::time::SystemTime;

use azure_core::base64::{encode, encode_url_safe};
use azure_core::credentials::TokenCredential;
use azure_core::http::ClientMethodOptions;
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
};
use cache_tests::IdentityProvider;
use cache_tests::identity_provider::{Source, http_client};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{RESOURCE, post, token};

#[tokio::test]
async fn what_a_client_shows_is_checked() {
    let provider = IdentityProvider::start();
    let secret = ("client_secret", provider.client_secret());
    let (status, answer) = post(&provider, provider.tenant(), &[secret]).await;
    assert_eq!((status, &answer["token_type"]), (200, &json!("Bearer")));

    let refused = [
        (401, 7_000_215, vec![("client_secret", "guessed")]),
        (401, 7_000_216, vec![]),
        (400, 70_011, vec![secret, ("scope", RESOURCE)]),
        (400, 70_003, vec![secret, ("grant_type", "password")]),
    ];
    for (status, code, form) in refused {
        let (got, answer) = post(&provider, provider.tenant(), &form).await;
        assert_eq!(
            (got, &answer["error_codes"][0]),
            (status, &json!(code)),
            "{answer}"
        );
        let text = answer["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
    }
    let (status, answer) = post(&provider, "another-tenant", &[secret]).await;
    assert_eq!((status, &answer["error_codes"][0]), (400, &json!(90_002)));

    let response = provider
        .http_client()
        .get(format!(
            "{}?api-version=2019-08-01&resource=x",
            provider.url_of_managed_identity()
        ))
        .header("X-IDENTITY-HEADER", "guessed")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!((provider.requests(), provider.issued().len()), (7, 1));
}

#[tokio::test]
async fn a_kubernetes_token_counts_as_long_as_it_is_in_its_file() {
    let provider = IdentityProvider::start();
    let file = provider.federated_token_file();
    let old = std::fs::read_to_string(file).unwrap();
    let show = async |jwt: &str| {
        let form = [
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", jwt),
        ];
        post(&provider, provider.tenant(), &form).await.0
    };
    assert_eq!(show(&old).await, 200);
    std::fs::write(file, "e30.e30.renewed").unwrap();
    assert_eq!(show(&old).await, 401);
    assert_eq!(show("e30.e30.renewed").await, 200);
    assert_eq!(provider.source(Source::WorkloadIdentity).requests(), 3);
}

/// Signs assertions with the key of the client certificate.
#[derive(Debug)]
struct Signer {
    pem: Vec<u8>,
    header: Value,
    claims: Value,
    /// Whether the signature is changed afterwards.
    forged: bool,
}

impl Signer {
    fn new(provider: &IdentityProvider) -> Self {
        let pem = std::fs::read(provider.client_certificate_path()).unwrap();
        let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
        let print = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let now = unix_now();
        Self {
            pem,
            header: json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": encode_url_safe(print) }),
            claims: json!({
                "aud": format!("{}/{}/oauth2/v2.0/token", provider.authority(), provider.tenant()),
                "iss": "app", "sub": "app", "jti": "one", "nbf": now, "exp": now + 300,
            }),
            forged: false,
        }
    }

    fn sign(&self) -> String {
        let part = |value: &Value| encode_url_safe(value.to_string());
        let text = format!("{}.{}", part(&self.header), part(&self.claims));
        let key = PrivatePkcs8KeyDer::from_pem_slice(&self.pem).unwrap();
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        let padding: &dyn RsaEncoding = match self.header["alg"].as_str() {
            Some("RS256") => &RSA_PKCS1_SHA256,
            _ => &RSA_PSS_SHA256,
        };
        let mut signature = vec![0; key.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        key.sign(padding, &random, text.as_bytes(), &mut signature)
            .unwrap();
        signature[0] ^= u8::from(self.forged);
        format!("{text}.{}", encode_url_safe(signature))
    }
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

#[async_trait::async_trait]
impl ClientAssertion for Signer {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.sign())
    }
}

#[tokio::test]
async fn a_certificate_s_key_proves_who_a_client_is_and_nothing_else_does() {
    let provider = IdentityProvider::start();
    let ask = async |change: &dyn Fn(&mut Signer)| {
        let mut signer = Signer::new(&provider);
        change(&mut signer);
        let options = ClientAssertionCredentialOptions {
            client_options: provider.client_options(),
        };
        let tenant = provider.tenant().to_owned();
        let credential =
            ClientAssertionCredential::new(tenant, "app".to_owned(), signer, Some(options));
        let credential: Arc<dyn TokenCredential> = credential.unwrap();
        token(&credential)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    };
    ask(&|_| {}).await.unwrap();
    let certificate = CertificateDer::from_pem_file(provider.client_certificate_path()).unwrap();
    let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate);
    ask(&|signer| {
        signer.claims["jti"] = json!("two");
        signer.header =
            json!({ "alg": "RS256", "x5t": encode(sha1), "x5c": [encode(&certificate)] });
    })
    .await
    .unwrap();

    type Change = fn(&mut Signer);
    let wrong: [(&str, Change); 10] = [
        ("used before", |_| {}),
        ("signature is not the certificate's", |s| s.forged = true),
        ("not registered", |s| s.header["x5t#S256"] = json!("AAAA")),
        ("not registered", |s| s.header["x5t"] = json!("AAAA")),
        ("another certificate", |s| s.header["x5c"] = json!(["AAAA"])),
        ("neither PS256 nor RS256", |s| {
            s.header["alg"] = json!("none")
        }),
        ("audience", |s| {
            s.claims["aud"] = json!("https://login.microsoftonline.com/")
        }),
        ("not the client", |s| s.claims["iss"] = json!("another")),
        ("expired", |s| s.claims["exp"] = json!(unix_now() - 1)),
        ("not valid yet", |s| {
            s.claims["nbf"] = json!(unix_now() + 100)
        }),
    ];
    for (what, change) in wrong {
        let error = ask(&|signer| change(signer)).await.unwrap_err();
        assert!(
            error.contains("AADSTS700027") && error.contains(what),
            "{what}: {error}"
        );
    }
    let all = provider.source(Source::ClientCertificate);
    assert_eq!((all.requests(), all.issued().len()), (12, 2));
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_ca_gets_nothing() {
    let provider = IdentityProvider::start();
    let certificate = provider.client_certificate_path();
    let error = http_client(certificate)
        .post(format!("{}/x/oauth2/v2.0/token", provider.authority()))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(provider.requests(), 0);
}
