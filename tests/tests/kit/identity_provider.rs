//! The identity provider, asked by Azure's own clients wherever they can.

#[path = "identity_provider/assertions.rs"]
mod assertions;
#[path = "identity_provider/faults.rs"]
mod faults;
#[path = "identity_provider/tools.rs"]
mod tools;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use azure_core::base64::decode_url_safe;
use azure_core::credentials::{AccessToken, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureDeveloperCliCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use cache_tests::identity_provider::{Issued, Source, http_client};
use cache_tests::wait::SOON;
use cache_tests::{
    Child, IdentityProvider, RedisServer, assert_never_holds, child, eventually, within,
};
use serde_json::Value;

const SCOPE: &str = "https://redis.azure.com/.default";
const RESOURCE: &str = "https://redis.azure.com";

async fn token(credential: &Arc<dyn TokenCredential>) -> azure_core::Result<AccessToken> {
    within(
        "a token or an error",
        SOON,
        credential.get_token(&[SCOPE], None),
    )
    .await
}

/// One request for a managed identity's token, as a client without any credential's cache makes it.
async fn ask(
    provider: &IdentityProvider,
    client_id: Option<&str>,
) -> reqwest::Result<(u16, Value)> {
    let url = url::Url::parse_with_params(
        &provider.url_of_managed_identity(),
        [("api-version", "2019-08-01"), ("resource", RESOURCE)]
            .into_iter()
            .chain(client_id.map(|id| ("client_id", id))),
    );
    let request = provider
        .http_client()
        .get(url.unwrap())
        .header("X-IDENTITY-HEADER", provider.identity_header());
    let response = within("an answer", SOON, request.send()).await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    Ok((
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| text()),
    ))
}

async fn ask_token(provider: &IdentityProvider, client_id: Option<&str>) -> String {
    let (status, answer) = ask(provider, client_id).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

/// One request to the token endpoint.
async fn post(provider: &IdentityProvider, tenant: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", "app")
        .append_pair("scope", SCOPE)
        .extend_pairs(form);
    let response = provider
        .http_client()
        .post(format!(
            "{}/{tenant}/oauth2/v2.0/token",
            provider.authority()
        ))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body.finish())
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
    )
}

fn claims(token: &str) -> Value {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "three parts");
    serde_json::from_slice(&decode_url_safe(parts[1]).unwrap()).unwrap()
}

fn only(issued: Vec<Issued>) -> Issued {
    assert_eq!(issued.len(), 1, "{issued:?}");
    issued.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_real_credential_gets_a_token_by_its_secret_and_keeps_it() {
    let provider = IdentityProvider::start();
    let credential = provider.credential("app");
    let got = token(&credential).await.unwrap();
    let issued = only(provider.issued());
    assert_eq!(got.token.secret(), issued.token);
    assert_eq!(issued.client_id.as_deref(), Some("app"));
    let claims = claims(&issued.token);
    assert_eq!(claims["oid"].as_str(), issued.oid.as_deref());
    assert_eq!(claims["exp"], issued.expires_on());
    assert_eq!(claims["aud"], RESOURCE);
    let told = SystemTime::from(got.expires_on);
    let left = told.duration_since(SystemTime::now()).unwrap();
    assert!(
        left > Duration::from_secs(3_000) && left < Duration::from_secs(3_601),
        "{left:?}"
    );

    assert_eq!(
        token(&credential).await.unwrap().token.secret(),
        issued.token
    );
    assert_eq!(provider.requests(), 1);
    assert_eq!(provider.asked()[0].resource, SCOPE);
}

#[tokio::test]
async fn two_identities_get_tokens_of_their_own() {
    let provider = IdentityProvider::builder()
        .life(Duration::from_secs(4))
        .start();
    let (a, b) = (provider.identity(Some("a")), provider.identity(Some("b")));
    b.oid(Some("user-b"));
    b.life(Duration::from_secs(100));
    for client_id in ["a", "b", "a"] {
        token(&provider.credential(client_id)).await.unwrap();
    }
    assert_eq!((a.requests(), b.requests(), provider.requests()), (2, 1, 3));
    let [first, second] = a.issued().try_into().unwrap();
    assert_ne!(first.token, second.token);
    assert_eq!(first.oid, second.oid);
    assert!(first.oid.is_some());
    let third = only(b.issued());
    assert_eq!(third.oid.as_deref(), Some("user-b"));
    assert!(third.expires > first.expires + Duration::from_secs(90));
}

#[tokio::test]
async fn a_token_is_a_jwt_without_an_oid_or_no_jwt_where_the_test_says_so() {
    let provider = IdentityProvider::builder().oid(None).start();
    let without = ask_token(&provider, None).await;
    assert_eq!(claims(&without).get("oid"), None);
    let opaque = IdentityProvider::builder().opaque().start();
    let token = ask_token(&opaque, None).await;
    assert!(token.len() > 40 && !token.contains('.'), "{token}");
    let oids: Vec<_> = [&provider, &opaque]
        .map(|provider| only(provider.issued()).oid)
        .to_vec();
    assert_eq!(oids, [None, None]);
}

/// The child's part: it finds all that it needs in its environment.
async fn one_token_by_each_means() {
    let options = || ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::new(http_client(
            std::env::var_os("SSL_CERT_FILE").unwrap().as_ref(),
        )))),
        ..ClientOptions::default()
    };
    let var = |name: &str| std::env::var(name).unwrap();
    let managed = |id: Option<UserAssignedId>| {
        ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
            user_assigned_id: id,
            client_options: options(),
        }))
        .unwrap()
    };
    let assertion = || ClientAssertionCredentialOptions {
        client_options: options(),
    };
    let id = UserAssignedId::ClientId(var("AZURE_CLIENT_ID"));
    let credentials: [Arc<dyn TokenCredential>; 6] = [
        managed(None),
        managed(Some(id)),
        ClientSecretCredential::new(
            &var("AZURE_TENANT_ID"),
            var("AZURE_CLIENT_ID"),
            var("AZURE_CLIENT_SECRET").into(),
            Some(ClientSecretCredentialOptions {
                client_options: options(),
            }),
        )
        .unwrap(),
        WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            credential_options: assertion(),
            ..Default::default()
        }))
        .unwrap(),
        AzureCliCredential::new(None).unwrap(),
        AzureDeveloperCliCredential::new(None).unwrap(),
    ];
    for credential in &credentials {
        let got = token(credential).await.unwrap();
        let expires = SystemTime::from(got.expires_on);
        let left = expires.duration_since(SystemTime::now()).unwrap();
        assert!(left.as_secs().abs_diff(100) < 10, "{left:?}");
    }
}

#[tokio::test]
async fn azure_s_own_clients_get_tokens_by_every_means_through_the_environment() {
    const NAME: &str =
        "identity_provider::azure_s_own_clients_get_tokens_by_every_means_through_the_environment";
    if child::role().is_some() {
        return one_token_by_each_means().await;
    }
    let provider = IdentityProvider::builder()
        .life(Duration::from_secs(100))
        .start();
    let all = [
        Source::ManagedIdentity,
        Source::ClientSecret,
        Source::WorkloadIdentity,
        Source::AzureCli,
    ];
    let child = all.into_iter().fold(Child::of_test(NAME), |child, source| {
        child.envs(provider.environment(source, Some("app")))
    });
    let ended = child.run();
    ended.assert_passed();
    let app = || Some("app".to_owned());
    let by: Vec<_> = provider
        .issued()
        .into_iter()
        .map(|issued| (issued.source, issued.client_id))
        .collect();
    assert_eq!(
        by,
        [
            (Source::ManagedIdentity, None),
            (Source::ManagedIdentity, app()),
            (Source::ClientSecret, app()),
            (Source::WorkloadIdentity, app()),
            (Source::AzureCli, None),
            (Source::AzureDeveloperCli, None),
        ]
    );
    assert_eq!(provider.concurrent_max(), 1);
    let resources: Vec<_> = provider.asked().into_iter().map(|a| a.resource).collect();
    assert_eq!(resources[..2], [RESOURCE, RESOURCE]);
    assert_eq!(resources[2..], [SCOPE; 4]);
    for secret in provider.secrets() {
        assert_never_holds(
            &secret,
            &format!("{provider:?} {:?} {}", provider.issued(), ended.text()),
        );
    }
}

#[tokio::test]
async fn a_token_s_life_is_told_in_whole_seconds_and_never_too_long() {
    let provider = IdentityProvider::builder()
        .life(Duration::from_millis(2_500))
        .start();
    let told: u64 = ask(&provider, None).await.unwrap().1["expires_on"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let issued = only(provider.issued());
    let told = SystemTime::UNIX_EPOCH + Duration::from_secs(told);
    assert!(told <= issued.expires && issued.expires < told + Duration::from_secs(1));
    let (_, answer) = post(
        &provider,
        provider.tenant(),
        &[("client_secret", provider.client_secret())],
    )
    .await;
    assert!(answer["expires_in"].as_u64().unwrap() <= 2, "{answer}");
}

#[tokio::test]
async fn a_listener_knows_a_token_before_anybody_has_it() {
    let provider = IdentityProvider::start();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listening = told.clone();
    provider.on_issue(move |issued| {
        let told = listening.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            told.lock().unwrap().push(issued);
        }
    });
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = calls.clone();
    provider.on_issue(move |_| {
        counting.fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    });
    let got = ask_token(&provider, Some("a")).await;
    let issued = only(told.lock().unwrap().clone());
    assert_eq!((issued.token, calls.load(Ordering::SeqCst)), (got, 1));
    assert_eq!(issued.client_id.as_deref(), Some("a"));

    // Nothing new, nothing to tell.
    provider.repeat_token();
    ask_token(&provider, Some("a")).await;
    provider.refuse();
    ask(&provider, Some("a")).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_listener_is_heard_out_also_when_the_client_has_gone() {
    let provider = IdentityProvider::start();
    let (begun, ended) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(AtomicBool::new(false)),
    );
    let (begin, end, go_on) = (
        begun.clone(),
        ended.clone(),
        Arc::new(tokio::sync::Notify::new()),
    );
    let go = go_on.clone();
    provider.on_issue(move |_| {
        let (begin, end, go) = (begin.clone(), end.clone(), go.clone());
        async move {
            begin.notify_one();
            go.notified().await;
            end.store(true, Ordering::SeqCst);
        }
    });
    tokio::select! {
        answer = ask(&provider, None) => panic!("the listener is not done: {answer:?}"),
        () = begun.notified() => {}
    }
    eventually("the request to end", SOON, async || {
        provider.in_progress() == 0
    })
    .await;
    go_on.notify_one();
    eventually("the listener's end", SOON, async || {
        ended.load(Ordering::SeqCst)
    })
    .await;
    provider.wait_for_issued(1).await;
}

#[tokio::test]
async fn one_ca_file_is_enough_for_all_servers() {
    let provider = IdentityProvider::start();
    let server = RedisServer::builder().tls().start().await;
    let pem = |path| std::fs::read_to_string(path).unwrap();
    assert_eq!(pem(server.ca_path()), pem(provider.ca_path()));
}
