//! P8 with Entra ID: no token, secret, key or header in anything that can be printed, nor in any log line at TRACE.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use cache_runtime::{
    Cache, Error, ErrorKind, StoreStats, TokenStats, get_cache, redis, redis_cached, sites,
};
use cache_tests::identity_provider::{Issued, Reply, Source};
use cache_tests::wait::{SOON, within};
use cache_tests::{
    AzureRedis, Body, Child, IdentityProvider, Logs, RedisServer, assert_holds_no_part,
    body::Failed, child, child::tell, eventually,
};

/// Of the tokens: half of it later the next one is asked for.
const LIFE: Duration = Duration::from_secs(2);

const MEANT: &str = "this panic is meant";

/// All that was printed, panics included.
static SAID: Mutex<String> = Mutex::new(String::new());

fn said() -> MutexGuard<'static, String> {
    SAID.lock().unwrap()
}

fn say(text: &str) {
    let mut said = said();
    said.push_str(text);
    said.push('\n');
}

fn debug(value: impl Debug) {
    say(&format!("{value:?}\n{value:#?}"));
}

fn both(value: impl Debug + Display) {
    say(&format!("{value}\n{value:#}"));
    debug(value);
}

fn error(error: Error) {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        both(inner);
        cause = inner.source();
    }
    both(error.kind());
    both(&error);
    let panic = catch_unwind(AssertUnwindSafe(|| panic!("{MEANT}: {error:?}")));
    assert!(panic.is_err());
}

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// Everything public that a cache gives away.
async fn everything_of(cache: &Cache) {
    debug(cache);
    user(cache, &Body::new(), 1).await.unwrap();
    let entry = user_entry(cache, 1);
    debug(&entry);
    for result in [
        entry.get().await.map(drop),
        entry.put(&1).await,
        entry.invalidate().await,
        cache.ping().await,
        cache.set_ex("k", &1, Duration::from_secs(1)).await,
    ] {
        if let Err(e) = result {
            error(e);
        }
    }
    let mut connection = cache.connection().unwrap();
    debug(&connection);
    if let Err(e) = ping(&mut connection).await {
        both(e);
    }
    debug(sites());
    debug(cache.stats());
    debug(token(cache));
}

async fn ping(connection: &mut cache_runtime::Connection) -> redis::RedisResult<String> {
    redis::cmd("PING").query_async(connection).await
}

fn token(cache: &Cache) -> TokenStats {
    match cache.stats().store {
        StoreStats::Redis { token, .. } => token.expect("the login is Entra ID's"),
        store => panic!("not Redis: {store:?}"),
    }
}

/// Prints everything again and again until the condition holds.
async fn print_until(what: &str, cache: &Cache, mut condition: impl FnMut() -> bool) {
    // Where a child process hangs, its parent shows this.
    eprintln!("until: {what}");
    eventually(what, SOON, async || {
        everything_of(cache).await;
        // What was printed is searched for every secret.
        tokio::time::sleep(Duration::from_millis(50)).await;
        condition()
    })
    .await;
}

/// In a process of its own, because the log of a process is one. Gives all that was printed and logged.
fn in_this_process(work: impl Future<Output = ()>) -> String {
    let logs = Logs::global();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string();
        say(&text);
        if !text.contains(MEANT) {
            hook(panic);
        }
    }));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
    let text = logs.text();
    // By `tracing`, and by `log`.
    for target in ["cache_runtime", "rustls"] {
        assert!(text.contains(target), "{target} logged nothing");
    }
    format!("{text}\n{}", said())
}

fn join(provider: &IdentityProvider, azure: &AzureRedis) {
    let grants = azure.grants();
    provider.on_issue(move |issued: Issued| {
        let user = issued.oid.as_deref().unwrap_or("default");
        grants.grant(user, &issued.token, issued.expires)
    });
}

/// What a provider that says too much may answer.
fn quotes(secrets: &[String]) -> Vec<Reply> {
    let quoted: Vec<_> = secrets.iter().map(|secret| format!("'{secret}'")).collect();
    let quoted = quoted.join(", ");
    let json = |status: u16, body: serde_json::Value| {
        Reply::status(status)
            .header("Content-Type", "application/json")
            .body(&body.to_string())
    };
    vec![
        Reply::entra(
            401,
            "invalid_client",
            7_000_215,
            &format!("what is {quoted}?"),
        ),
        json(400, serde_json::json!({ "error": { "message": quoted } })),
        Reply::status(500).body(&quoted),
        // Parsers repeat what they read.
        json(
            200,
            serde_json::json!({
                "token_type": "Bearer",
                "access_token": secrets[0],
                "expires_in": quoted,
                "expires_on": quoted,
                "expiresOn": quoted,
            }),
        ),
    ]
}

#[test]
fn p8_no_secret_of_a_credential_that_is_given() {
    const TEST: &str = "p8_no_secret_of_a_credential_that_is_given";
    if child::role().is_none() {
        return Child::of_test(TEST).run().assert_passed();
    }
    let provider = IdentityProvider::builder().life(LIFE).start();
    let text = in_this_process(async {
        let azure = AzureRedis::start().await;
        join(&provider, &azure);
        let builder = Cache::builder()
            .url(azure.url())
            .tls_ca_file(azure.ca_path())
            .credential(provider.credential("an-app"));
        debug(&builder);
        let cache = builder.build().unwrap();
        everything_of(&cache).await;
        // Connections that are replaced, and one that is logged in again in place.
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON");
        let mut connection = cache.connection().unwrap();
        let _: () = tracking.query_async(&mut connection).await.unwrap();
        let rotated = || azure.rotations() >= 3 && azure.logins_in_place() >= 1;
        print_until("rotations", &cache, rotated).await;

        azure.refuse_logins(true).await;
        let refused = || token(&cache).last_error == Some(ErrorKind::Auth);
        print_until("a refused token", &cache, refused).await;
        print_until("no login", &cache, || azure.proxy().logins().len() > 20).await;
        azure.refuse_logins(false).await;
        let refreshes = token(&cache).refreshes;
        print_until("a login", &cache, || {
            token(&cache).refreshes > refreshes + 1
        })
        .await;

        azure.revoke(&provider.issued().last().unwrap().token).await;
        let issued = provider.issued().len();
        print_until("another token", &cache, || provider.issued().len() > issued).await;

        let last = provider.issued().last().unwrap().token.clone();
        for reply in quotes(&[last, provider.client_secret().to_owned()]) {
            let asked = provider.requests();
            provider.answer(reply);
            print_until("a question", &cache, || provider.requests() > asked).await;
            // The pauses of who is refused grow; who has another token has dealt with the answer, and asks again soon.
            let issued = provider.issued().len();
            provider.well();
            print_until("a token", &cache, || provider.issued().len() > issued).await;
        }
        provider.down();
        let failures = token(&cache).failures;
        let down = || token(&cache).failures > failures + 1;
        print_until("no provider", &cache, down).await;
        if let Err(e) = within("the shutdown", SOON, cache.shutdown()).await {
            error(e);
        }
        print_until("the end", &cache, || true).await;
    });
    assert!(text.contains("got an Entra ID token"), "{text}");
    assert!(
        text.contains("AADSTS7000215: what is '<redacted>'"),
        "{text}"
    );
    assert_holds_no_part(&provider.secrets(), &text);
}

/// Where the credentials of the environment are used until the parent has seen enough.
const UNTIL: &str = "P8_UNTIL";

#[test]
fn p8_no_secret_of_the_environments_credentials() {
    const TEST: &str = "p8_no_secret_of_the_environments_credentials";
    if child::role().is_some() {
        let end = std::env::var_os(UNTIL).unwrap();
        let text = in_this_process(async {
            let cache = get_cache().await.unwrap();
            print_until("a rotation", &cache, || token(&cache).refreshes >= 2).await;
            tell("rotated");
            print_until("the end", &cache, || Path::new(&end).exists()).await;
        });
        return tell(&text);
    }
    let provider = IdentityProvider::builder().life(LIFE).start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let end = folder.path().join("end");
    let federated = std::fs::read_to_string(provider.federated_token_file()).unwrap();
    let key = provider.secrets()[3].clone();
    let sources = [
        (Source::ClientSecret, provider.client_secret()),
        (Source::ClientCertificate, &*key),
        (Source::WorkloadIdentity, &*federated),
        (Source::ManagedIdentity, provider.identity_header()),
        (Source::AzureCli, ""),
        (Source::AzureDeveloperCli, ""),
    ];
    let azure = runtime.block_on(AzureRedis::start());
    join(&provider, &azure);
    std::thread::scope(|scope| {
        let mut ended = Vec::new();
        for (source, _) in sources {
            let variables: BTreeMap<_, OsString> = provider
                .environment(source, Some("an-app"))
                .into_iter()
                .collect();
            let child = Child::of_test(TEST)
                .envs(variables)
                .env("REDIS_HOST", "127.0.0.1")
                .env("REDIS_AUTH", "entra")
                .env("REDIS_PORT", azure.port().to_string())
                .env("REDIS_TLS_CA", azure.ca_path())
                .env(UNTIL, &end);
            ended.push((source, scope.spawn(|| child.run())));
        }
        runtime.block_on(async {
            for (source, _) in sources {
                provider.source(source).wait_for_issued(3).await;
            }
            azure.refuse_logins(true).await;
            for (source, _) in sources {
                let issued = provider.source(source).issued().len();
                provider.source(source).wait_for_issued(issued + 1).await;
            }
            azure.refuse_logins(false).await;
            let replies = sources.map(|(source, secret)| {
                let last = provider.source(source).issued().pop().unwrap().token;
                let known = [last, secret.to_owned()];
                quotes(known.split(String::is_empty).next().unwrap())
            });
            for number in 0..replies[0].len() {
                for ((source, _), replies) in sources.iter().zip(&replies) {
                    provider.source(*source).answer(replies[number].clone());
                }
                let asked = sources.map(|(source, _)| provider.source(source).requests());
                for ((source, _), asked) in sources.iter().zip(asked) {
                    provider.source(*source).wait_for_requests(asked + 1).await;
                }
                // Who has another token has dealt with the answer, and asks again soon.
                let issued = sources.map(|(source, _)| provider.source(source).issued().len());
                // At once: the pauses of who is refused grow.
                for (source, _) in sources {
                    provider.source(source).well();
                }
                for ((source, _), issued) in sources.iter().zip(issued) {
                    provider.source(*source).wait_for_issued(issued + 1).await;
                }
            }
        });
        std::fs::write(&end, "").unwrap();
        for (source, ended) in ended {
            let ended = ended.join().unwrap();
            let text = ended.text();
            assert_holds_no_part(&provider.secrets(), &text);
            ended.assert_passed();
            assert!(text.contains("rotated\n"), "{source:?}");
            assert!(
                text.contains("redis refused the Entra ID token"),
                "{source:?}"
            );
            assert!(text.contains("'<redacted>'"), "{source:?}");
        }
    });
}

/// Old servers quote the command that they do not know.
#[test]
fn p8_no_token_of_a_login_that_the_server_does_not_understand() {
    const TEST: &str = "p8_no_token_of_a_login_that_the_server_does_not_understand";
    if child::role().is_none() {
        return Child::of_test(TEST).run().assert_passed();
    }
    // Short enough to be quoted whole, and nothing of them can be guessed.
    let provider = IdentityProvider::builder().life(LIFE).opaque().start();
    let text = in_this_process(async {
        // One that takes any token then, and one that takes none.
        let builder = || {
            RedisServer::builder()
                .tls()
                .option("rename-command", &["HELLO", ""])
        };
        for server in [builder(), builder().password("another")] {
            let server = server.start().await;
            let cache = Cache::builder()
                .host("127.0.0.1")
                .port(server.port())
                .tls_ca_file(server.ca_path())
                .credential(provider.credential("an-app"))
                .build()
                .unwrap();
            if let Err(e) = cache.ping().await {
                error(e);
            }
            print_until("a rotation", &cache, || token(&cache).refreshes >= 2).await;
        }
    });
    assert!(text.contains("redis has no RESP3"), "{text}");
    assert!(text.contains("it does not take the password"), "{text}");
    assert_holds_no_part(&provider.secrets(), &text);
}
