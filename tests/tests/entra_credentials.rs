//! Every credential of the chain, from the environment of a process to the token, and what is said where there is none.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use cache_runtime::{StoreStats, TokenStats, get_cache};
use cache_tests::identity_provider::{Reply, Source};
use cache_tests::{
    Child, IdentityProvider, Logs, assert_never_holds, child,
    child::{Ended, tell},
    eventually,
    wait::SOON,
};

const SERVES: &str = "the child asks until something came of it";

/// Longer than every credential of the chain may take together.
const ALL: Duration = Duration::from_secs(60);

const SOURCES: [(Source, &str); 6] = [
    (Source::ClientSecret, "EnvironmentCredential"),
    (Source::ClientCertificate, "EnvironmentCredential"),
    (Source::WorkloadIdentity, "WorkloadIdentityCredential"),
    (Source::ManagedIdentity, "ManagedIdentityCredential"),
    (Source::AzureCli, "AzureCliCredential"),
    (Source::AzureDeveloperCli, "AzureDeveloperCliCredential"),
];

type Variables = BTreeMap<&'static str, OsString>;

fn environment(provider: &IdentityProvider, source: Source) -> Variables {
    let variables = provider.environment(source, Some("an-app"));
    variables.into_iter().collect()
}

/// All that the chain can use, but the certificate, which a secret hides.
fn whole_environment(provider: &IdentityProvider) -> Variables {
    let mut all = Variables::new();
    for (source, _) in SOURCES {
        if source != Source::ClientCertificate {
            all.extend(environment(provider, source));
        }
    }
    all.remove("AZURE_TOKEN_CREDENTIALS");
    all
}

/// A process that asks for tokens until something came of it: one, or none.
fn ask(provider: &IdentityProvider, variables: Variables) -> Ended {
    // Else the chain would ask at an address outside this machine.
    assert!(
        variables.contains_key("IDENTITY_ENDPOINT")
            || variables
                .get("AZURE_TOKEN_CREDENTIALS")
                .is_some_and(|word| !["prod", "ManagedIdentityCredential"]
                    .contains(&&*word.to_string_lossy())),
        "managed identity is not on this machine: {variables:?}"
    );
    // Redis takes connections and never answers: the token is needed before that.
    let redis = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = redis.local_addr().unwrap().port();
    let ended = Child::of_test("asks")
        .envs(variables)
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_AUTH", "entra")
        .env("REDIS_PORT", port.to_string())
        .run();
    ended.assert_passed();
    for secret in provider.secrets() {
        assert_never_holds(&secret, &ended.text());
    }
    ended
}

/// The child of all the tests.
#[test]
fn asks() {
    if child::role().is_none() {
        return;
    }
    let logs = Logs::global();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cache = match get_cache().await {
            Ok(cache) => cache,
            Err(error) => return tell(&format!("refused: {error} {error:?}")),
        };
        let token = || match cache.stats().store {
            StoreStats::Redis { token, .. } => token.expect("the login is Entra ID's"),
            store => panic!("not Redis: {store:?}"),
        };
        let has_settled = |token: TokenStats| token.refreshes > 0 || token.failures > 0;
        eventually(SERVES, ALL, async || {
            let error = cache.get::<u64>("key").await;
            tell(&format!("get: {error:?}"));
            has_settled(token())
        })
        .await;
        tell(&format!("token: {:?}", token()));
        tell(&format!("cache: {cache:?}"));
    });
    // What is under way ends with its runtime.
    drop(runtime);
    tell(&logs.text());
}

/// Asserts which credential serves, and gives what the process printed.
#[track_caller]
fn assert_served_by(name: &str, ended: &Ended) {
    let expected = format!("credential: Some(\"{name}\")");
    assert!(ended.text().contains(&expected), "{name}: {}", ended.text());
}

/// The one error's text.
#[track_caller]
fn why_none(ended: &Ended) -> String {
    let text = ended.text();
    let line = text
        .lines()
        // The breaker's line, which may come before, quotes this one without the colon.
        .find(|line| line.contains(": no new Entra ID token"));
    line.unwrap_or_else(|| panic!("a token came: {text}"))
        .to_owned()
}

#[test]
fn each_credential_serves() {
    let provider = IdentityProvider::start();
    for (source, name) in SOURCES {
        let ended = ask(&provider, environment(&provider, source));
        assert_served_by(name, &ended);
        let identities = provider.source(source);
        assert_eq!(identities.requests(), 1, "{source:?}");
        let issued = identities.issued();
        let user = issued[0].oid.clone().expect("an object id");
        let expected = format!("user: Some({user:?})");
        assert!(
            ended.text().contains(&expected),
            "{source:?}: {}",
            ended.text()
        );
        let scope = "https://redis.azure.com";
        assert!(
            identities.asked()[0].resource.starts_with(scope),
            "{source:?}"
        );
    }
}

#[test]
fn a_managed_identity_is_the_systems_or_the_users() {
    let provider = IdentityProvider::start();
    for client in [None, Some("an-identity")] {
        let variables = provider.environment(Source::ManagedIdentity, client);
        let ended = ask(&provider, variables.into_iter().collect());
        assert_served_by("ManagedIdentityCredential", &ended);
        let asked = provider.asked();
        let last = asked.last().expect("a request");
        assert_eq!(last.client_id.as_deref(), client);
    }
}

#[test]
fn no_proxy_stands_before_a_managed_identity() {
    let provider = IdentityProvider::start();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", proxy.local_addr().unwrap());
    let mut variables = environment(&provider, Source::ManagedIdentity);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        variables.insert(name, proxy.clone().into());
    }
    let ended = ask(&provider, variables);
    assert_served_by("ManagedIdentityCredential", &ended);
}

#[test]
fn the_first_that_serves_is_taken() {
    let provider = IdentityProvider::start();
    let chain = SOURCES
        .into_iter()
        .filter(|(source, _)| *source != Source::ClientCertificate);
    for (place, (source, name)) in chain.enumerate() {
        let before = provider.requests();
        let ended = ask(&provider, whole_environment(&provider));
        assert_served_by(name, &ended);
        // Those before it were asked, and none after it.
        assert_eq!(provider.requests() - before, place + 1, "{name}");
        provider.source(source).refuse();
    }
}

#[test]
fn a_word_narrows_the_choice() {
    for (word, source, name) in [
        ("prod", Source::ClientSecret, "EnvironmentCredential"),
        ("dev", Source::AzureCli, "AzureCliCredential"),
        (
            "managedidentitycredential",
            Source::ManagedIdentity,
            "ManagedIdentityCredential",
        ),
    ] {
        let provider = IdentityProvider::start();
        let mut variables = whole_environment(&provider);
        variables.insert("AZURE_TOKEN_CREDENTIALS", word.into());
        assert_served_by(name, &ask(&provider, variables));
        assert_eq!(
            (provider.requests(), provider.source(source).requests()),
            (1, 1)
        );
    }
}

#[test]
fn an_unknown_word_is_refused_before_anybody_is_asked() {
    let provider = IdentityProvider::start();
    let mut variables = whole_environment(&provider);
    variables.insert("AZURE_TOKEN_CREDENTIALS", "VisualStudioCredential".into());
    let text = ask(&provider, variables).text();
    assert!(
        text.contains("refused: `AZURE_TOKEN_CREDENTIALS` is \"VisualStudioCredential\""),
        "{text}"
    );
    assert!(text.contains("`AzureDeveloperCliCredential`"), "{text}");
    assert_eq!(provider.requests(), 0);
}

#[test]
fn if_none_serves_one_error_lists_each_with_its_reason() {
    let provider = IdentityProvider::start();
    provider.refuse();
    let mut variables = whole_environment(&provider);
    let secret = "AZURE_CLIENT_SECRET";
    variables.insert(secret, "a wrong secret".into());
    variables.remove("AZURE_FEDERATED_TOKEN_FILE");
    let ended = ask(&provider, variables);
    let why = why_none(&ended);
    for part in [
        "no Entra ID credential gave a token: EnvironmentCredential: status 4",
        "; WorkloadIdentityCredential: AZURE_FEDERATED_TOKEN_FILE is not set; ",
        "; ManagedIdentityCredential: status 4",
        "; AzureCliCredential: `az` says: Please run 'az login'",
        "; AzureDeveloperCliCredential: `azd` says: not logged in",
        "if this is no cache of Azure's, set `REDIS_AUTH=none` or `REDIS_PASSWORD`, or say with `REDIS_URL` where it is",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(
        ended.text().contains("last_error: Some(Identity)"),
        "{}",
        ended.text()
    );
    assert_never_holds("a wrong secret", &ended.text());
}

#[test]
fn an_answer_that_is_no_token_is_not_repeated() {
    for (source, name) in SOURCES {
        let provider = IdentityProvider::start();
        provider.garbage();
        let ended = ask(&provider, environment(&provider, source));
        let why = why_none(&ended);
        let expected = format!("no token from {name}: the answer is not a token");
        assert!(why.contains(&expected), "{why}");
        assert!(
            ended.text().contains("last_error: Some(Decode)"),
            "{}",
            ended.text()
        );
    }
}

#[test]
fn a_refusal_is_told_in_the_providers_words_and_asked_once() {
    for (status, code) in [(400, 700_016), (429, 50_196), (500, 90_033), (503, 90_036)] {
        let provider = IdentityProvider::start();
        let reply = Reply::entra(status, "an_error", code, "It cannot be.");
        provider.answer(reply.header("Retry-After", "120"));
        for source in [Source::ClientSecret, Source::ManagedIdentity] {
            let ended = ask(&provider, environment(&provider, source));
            let expected = format!("status {status}: AADSTS{code}: It cannot be.");
            let why = why_none(&ended);
            assert!(why.contains(&expected), "{why}");
            // The SDK repeats none by itself.
            assert_eq!(provider.source(source).requests(), 1, "{status} {source:?}");
        }
    }
}

#[test]
fn a_provider_that_is_down_is_named() {
    let provider = IdentityProvider::start();
    let variables = environment(&provider, Source::ClientSecret);
    let authority = provider.authority();
    provider.down();
    let ended = ask(&provider, variables);
    let why = why_none(&ended);
    let address = authority.trim_start_matches("https://");
    assert!(
        why.contains(&format!("no answer from {address}: ")),
        "{why}"
    );
    assert!(
        ended.text().contains("last_error: Some(Connect)"),
        "{}",
        ended.text()
    );
}

#[test]
fn an_authority_that_nobody_trusts_is_not_told_the_secret() {
    let provider = IdentityProvider::start();
    let mut variables = environment(&provider, Source::ClientSecret);
    let strangers = tempfile::NamedTempFile::new().unwrap();
    let other = rcgen::generate_simple_self_signed(["a-stranger".to_owned()]).unwrap();
    std::fs::write(strangers.path(), other.cert.pem()).unwrap();
    variables.insert("SSL_CERT_FILE", strangers.path().into());
    let ended = ask(&provider, variables);
    let why = why_none(&ended);
    assert!(why.contains("UnknownIssuer"), "{why}");
    assert_eq!(provider.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_replaced_counts_at_the_next_question() {
    let provider = IdentityProvider::builder()
        .life(Duration::from_secs(2))
        .start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.pem");
    let put = |pem: &str| {
        // At once, as a volume of Kubernetes' does it.
        let new = folder.path().join("new");
        std::fs::write(&new, pem).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    let known = std::fs::read_to_string(provider.client_certificate_path()).unwrap();
    let unknown = concat!(
        include_str!("../../cache-runtime/src/auth/credential/assertion/test-keys/key.pem"),
        include_str!("../../cache-runtime/src/auth/credential/assertion/test-keys/certificate.pem"),
    );
    put(&known);
    let mut variables = environment(&provider, Source::ClientCertificate);
    variables.insert("AZURE_CLIENT_CERTIFICATE_PATH", file.clone().into());
    let redis = TcpListener::bind("127.0.0.1:0").unwrap();
    let child = Child::of_test("asks_again_and_again")
        .envs(variables)
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_AUTH", "entra")
        .env("REDIS_PORT", redis.local_addr().unwrap().port().to_string())
        .spawn();
    provider.wait_for_issued(2).await;
    put(unknown);
    child.wait_for_line("last_error: Some(Identity)").await;
    let issued = provider.issued().len();
    let refused = provider.requests();
    // No token that was kept hides it.
    provider.wait_for_requests(refused + 2).await;
    assert_eq!(provider.issued().len(), issued);
    put(&known);
    provider.wait_for_issued(issued + 2).await;
}

/// The child of the test above.
#[test]
fn asks_again_and_again() {
    if child::role().is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cache = get_cache().await.unwrap();
        // Until the parent has seen enough, and kills it.
        loop {
            let _ = cache.get::<u64>("key").await;
            tell(&format!("{:?}", cache.stats().store));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_hangs_is_ended_and_the_next_one_serves() {
    let provider = IdentityProvider::start();
    provider.source(Source::AzureCli).hang();
    let mut variables = whole_environment(&provider);
    variables.insert("AZURE_TOKEN_CREDENTIALS", "dev".into());
    let start = Instant::now();
    let ended = ask(&provider, variables);
    assert!(
        start.elapsed() >= Duration::from_secs(9),
        "it was not waited for"
    );
    assert_served_by("AzureDeveloperCliCredential", &ended);
    let text = ended.text();
    assert!(text.contains("no answer within 10 s"), "{text}");
    eventually("az and what it started end", SOON, async || {
        provider.in_progress() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_ends_with_the_cache() {
    let provider = IdentityProvider::start();
    provider.hang();
    let variables = environment(&provider, Source::AzureCli);
    let redis = TcpListener::bind("127.0.0.1:0").unwrap();
    let child = Child::of_test("drops_its_cache")
        .envs(variables)
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_AUTH", "entra")
        .env("REDIS_PORT", redis.local_addr().unwrap().port().to_string())
        .spawn();
    eventually("az runs", SOON, async || provider.in_progress() == 1).await;
    child.wait_for_line("the cache is shut down").await;
    // The process lives on, and the attempt's ten seconds are not over.
    let start = Instant::now();
    eventually("az and what it started end", SOON, async || {
        provider.in_progress() == 0
    })
    .await;
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "only its time ended it"
    );
    child.wait_for_line("still here").await;
}

/// The child of the test above.
#[test]
fn drops_its_cache() {
    if child::role().is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cache = get_cache().await.unwrap();
        let _ = cache.get::<u64>("key").await;
        let _ = cache.shutdown().await;
        tell("the cache is shut down");
        tell("still here");
        // Until the parent has seen enough, and kills it.
        std::future::pending::<()>().await;
    });
}
