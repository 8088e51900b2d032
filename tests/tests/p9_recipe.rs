//! P9, line by line: what a client in Python did by hand for Azure's Redis, a host name does here.
//!
//! What an environment says is shown in child processes, each with an environment of its own, in which the
//! managed identity's endpoint is on this machine.
#![allow(missing_docs)]

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use cache_runtime::redis::{self, AsyncCommands, RedisResult};
use cache_runtime::{Cache, Connection, ErrorKind, StoreStats, TokenStats, get_cache};
use cache_tests::identity_provider::{Issued, Source};
use cache_tests::proxy::{Secret, named};
use cache_tests::{
    AzureRedis, Child, IdentityProvider, RedisServer, RedisVersion, assert_never_holds, child,
    eventually, redis_state, wait::SOON, within,
};

const TTL: Duration = Duration::from_secs(300);
const AN_HOUR: Duration = Duration::from_secs(3600);
/// The client id of the application in this process.
const APP: &str = "app";

/// Gives Redis each token, for the user that the token is to be used for.
fn join(
    provider: &IdentityProvider,
    azure: &AzureRedis,
    user: impl Fn(&Issued) -> String + Send + Sync + 'static,
) {
    let grants = azure.grants();
    provider.on_issue(move |issued| grants.grant(&user(&issued), &issued.token, issued.expires));
}

fn its_oid(issued: &Issued) -> String {
    issued.oid.clone().expect("the kit's tokens have one")
}

/// Runs a test on each version of the server, at the same time.
async fn on_each(test: impl AsyncFn(RedisVersion)) {
    let test = async |version| {
        test(version).await;
        eprintln!("{version}: as it should be");
    };
    tokio::join!(test(RedisVersion::OfPath), test(RedisVersion::V8_2));
}

/// A provider of tokens of this life, and a Redis that takes them.
async fn azure(version: RedisVersion, life: Duration) -> (IdentityProvider, AzureRedis) {
    let provider = IdentityProvider::builder().life(life).start();
    let azure = AzureRedis::start_with(RedisServer::builder().version(version)).await;
    join(&provider, &azure, its_oid);
    (provider, azure)
}

fn cache(azure: &AzureRedis, credential: Arc<dyn TokenCredential>) -> Cache {
    let builder = Cache::builder()
        .host("127.0.0.1")
        .port(azure.port())
        .tls_ca_file(azure.ca_path());
    let builder = builder.credential(credential).timeout(SOON);
    builder.build().unwrap()
}

fn token(cache: &Cache) -> TokenStats {
    match cache.stats().store {
        StoreStats::Redis {
            token: Some(token), ..
        } => token,
        other => panic!("no token: {other:?}"),
    }
}

async fn whoami(connection: &mut Connection) -> String {
    let mut command = redis::cmd("ACL");
    command.arg("WHOAMI");
    command.query_async(connection).await.unwrap()
}

/// The server's number of the connection that commands go to.
async fn client_id(connection: &mut Connection) -> u64 {
    let mut command = redis::cmd("CLIENT");
    command.arg("ID");
    command.query_async(connection).await.unwrap()
}

/// The environment of a process on Azure, and no other variable of Redis' or Azure's.
fn on_azure(provider: &IdentityProvider) -> Vec<(&'static str, OsString)> {
    let mut variables = provider.environment(Source::ManagedIdentity, None);
    variables.push(("REDIS_HOST", "127.0.0.1".into()));
    variables.push(("REDIS_AUTH", "entra".into()));
    variables.push(("REDIS_TIMEOUT", "30s".into()));
    // What the system trusts; the kit's CA signs for all its servers.
    variables.push(("SSL_CERT_FILE", provider.ca_path().into()));
    variables
}

/// Runs a child's part on a runtime of its own, as a service's `main` does.
fn run<F: Future>(part: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().unwrap().block_on(part)
}

#[test]
fn p9_the_host_alone_means_tls_and_entra_id_at_port_6380() {
    if child::role().is_some() {
        let cache = run(get_cache()).unwrap();
        let StoreStats::Redis {
            endpoint,
            tls,
            token,
            connections_tried,
            ..
        } = cache.stats().store
        else {
            panic!("not in redis");
        };
        assert_eq!((endpoint.as_str(), tls), ("127.0.0.1:6380", true));
        let token = token.expect("a login with Entra ID");
        assert_eq!((token.refreshes, connections_tried), (0, 0), "asks nobody");
        return;
    }
    let provider = IdentityProvider::start();
    let name = "p9_the_host_alone_means_tls_and_entra_id_at_port_6380";
    Child::of_test(name)
        .envs(on_azure(&provider))
        .run()
        .assert_passed();
}

#[test]
fn p9_without_host_and_url_values_are_kept_in_process() {
    if child::role().is_some() {
        run(async {
            let cache = get_cache().await.unwrap();
            cache.set_ex("k", &"v".to_owned(), TTL).await.unwrap();
            assert!(matches!(
                cache.stats().store,
                StoreStats::Memory { entries: 1, .. }
            ));
            // The same cache, whoever asks.
            let again: Option<String> = get_cache().await.unwrap().get("k").await.unwrap();
            assert_eq!(again.as_deref(), Some("v"));
        });
        return;
    }
    Child::of_test("p9_without_host_and_url_values_are_kept_in_process")
        .run()
        .assert_passed();
}

#[test]
fn p9_the_host_alone_serves_with_tokens_of_the_managed_identity() {
    if child::role().is_some() {
        run(async {
            let cache = get_cache().await.unwrap();
            cache.set_ex("k", &"value".to_owned(), TTL).await.unwrap();
            let got: Option<String> = cache.get("k").await.unwrap();
            assert_eq!(got.as_deref(), Some("value"));
            let token = token(&cache);
            assert_eq!(token.credential, Some("ManagedIdentityCredential"));
            child::tell(&format!("user={}", token.user.unwrap()));
        });
        return;
    }
    let name = "p9_the_host_alone_serves_with_tokens_of_the_managed_identity";
    for version in RedisVersion::ALL {
        let provider = IdentityProvider::start();
        let azure = AzureRedis::start_blocking(RedisServer::builder().version(version));
        join(&provider, &azure, its_oid);
        let ended = Child::of_test(name)
            .envs(on_azure(&provider))
            .env("REDIS_PORT", azure.port().to_string())
            .run();
        ended.assert_passed();
        let issued = provider.issued();
        assert_eq!(issued.len(), 1, "one token serves: {issued:?}");
        let user = format!("user={}", its_oid(&issued[0]));
        assert!(
            ended.stdout.lines().any(|line| line == user),
            "{}",
            ended.text()
        );
        assert_eq!(azure.proxy().connections(), 1);
        for secret in provider.secrets() {
            assert_never_holds(&secret, &ended.text());
        }
    }
}

#[test]
fn p9_the_user_is_the_one_said_else_the_tokens_oid_else_default() {
    if child::role().is_some() {
        let user = run(async {
            let cache = get_cache().await.unwrap();
            cache.ping().await.unwrap();
            let user = whoami(&mut cache.connection().unwrap()).await;
            assert_eq!(token(&cache).user.as_ref(), Some(&user));
            user
        });
        return child::tell(&format!("user={user}"));
    }
    let oid = "5f4dcc3b-0000-4000-8000-00000000002a";
    let opaque = || IdentityProvider::builder().oid(Some(oid)).opaque();
    let jwt = |oid| IdentityProvider::builder().oid(oid);
    let cases = [
        (Some("alice"), jwt(Some(oid)), "alice"),
        (Some("alice"), opaque(), "alice"),
        (None, jwt(Some(oid)), oid),
        (None, jwt(None), "default"),
        (None, opaque(), "default"),
    ];
    for (said, provider, expected) in cases {
        let provider = provider.start();
        let azure = AzureRedis::start_blocking(RedisServer::builder());
        join(&provider, &azure, |_| expected.to_owned());
        let ended = Child::of_test("p9_the_user_is_the_one_said_else_the_tokens_oid_else_default")
            .envs(on_azure(&provider))
            .envs(said.map(|user| ("REDIS_USERNAME", user)))
            .env("REDIS_PORT", azure.port().to_string())
            .run();
        ended.assert_passed();
        let line = format!("user={expected}");
        assert!(
            ended.stdout.lines().any(|is| is == line),
            "{}",
            ended.text()
        );
    }
}

#[test]
fn p9_the_scope_is_that_of_the_public_cloud_unless_another_is_said() {
    if child::role().is_some() {
        run(async {
            let cache = get_cache().await.unwrap();
            cache.ping().await.unwrap();
        });
        return;
    }
    // A managed identity is asked for a resource, an application for a scope.
    let cases = [
        (Source::ManagedIdentity, None, "https://redis.azure.com"),
        (
            Source::ManagedIdentity,
            Some("https://redis.azure.example/.default"),
            "https://redis.azure.example",
        ),
        (
            Source::ClientSecret,
            None,
            "https://redis.azure.com/.default",
        ),
        (
            Source::ClientSecret,
            Some("https://redis.azure.example/.default"),
            "https://redis.azure.example/.default",
        ),
    ];
    for (source, scope, expected) in cases {
        let provider = IdentityProvider::start();
        let azure = AzureRedis::start_blocking(RedisServer::builder());
        join(&provider, &azure, its_oid);
        Child::of_test("p9_the_scope_is_that_of_the_public_cloud_unless_another_is_said")
            .envs(on_azure(&provider))
            .envs(provider.environment(source, Some(APP)))
            .envs(scope.map(|scope| ("REDIS_ENTRA_SCOPE", scope)))
            .env("REDIS_PORT", azure.port().to_string())
            .run()
            .assert_passed();
        let asked = provider.asked();
        let of: Vec<_> = asked
            .iter()
            .map(|asked| (asked.source, asked.resource.as_str()))
            .collect();
        assert_eq!(of, [(source, expected)]);
    }
}

/// A real credential, and how it is asked.
#[derive(Debug)]
struct Counted {
    credential: Arc<dyn TokenCredential>,
    asked: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl TokenCredential for Counted {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.asked.fetch_add(1, SeqCst);
        self.most
            .fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let answer = self.credential.get_token(scopes, options).await;
        self.now.fetch_sub(1, SeqCst);
        answer
    }
}

fn counted(provider: &IdentityProvider) -> Arc<Counted> {
    Arc::new(Counted {
        credential: provider.credential(APP),
        asked: AtomicUsize::new(0),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_the_token_is_kept_and_asked_for_by_one_at_a_time() {
    let (provider, azure) = azure(RedisVersion::OfPath, AN_HOUR).await;
    let credential = counted(&provider);
    let cache = cache(&azure, credential.clone());
    // So that whoever wants it at the same time has to wait.
    provider.slow(Duration::from_millis(300));
    let on_its_own_runtime = |n| {
        let cache = cache.clone();
        move || {
            run(async {
                let calls = (0..16).map(|m| {
                    let cache = cache.clone();
                    tokio::spawn(async move {
                        let key = format!("{n}:{m}");
                        cache.set_ex(&key, &key, TTL).await.unwrap();
                        cache.connection().unwrap().ping::<()>().await.unwrap();
                    })
                });
                for call in calls.collect::<Vec<_>>() {
                    call.await.unwrap();
                }
            });
        }
    };
    let threads: Vec<_> = (0..4)
        .map(|n| std::thread::spawn(on_its_own_runtime(n)))
        .collect();
    tokio::task::block_in_place(|| {
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap())
    });
    // Whoever comes later takes the same.
    for _ in 0..5 {
        let before = azure.proxy().connections();
        azure.kill_connections();
        eventually("a new connection", SOON, async || {
            cache.ping().await.is_ok() && azure.proxy().connections() > before
        })
        .await;
    }
    // Of each runtime two, and those that came later.
    assert!(azure.proxy().connections() >= 8 + 5);
    assert_eq!(credential.asked.load(SeqCst), 1);
    assert_eq!(azure.rotations(), 1);
}

#[tokio::test]
async fn p9_a_token_is_asked_for_again_near_its_expiry_by_one_at_a_time() {
    let life = Duration::from_secs(8);
    let (provider, azure) = azure(RedisVersion::OfPath, life).await;
    let credential = counted(&provider);
    let cache = cache(&azure, credential.clone());
    provider.slow(Duration::from_millis(300));
    cache.ping().await.unwrap();
    cache.connection().unwrap().ping::<()>().await.unwrap();
    provider.wait_for_issued(3).await;
    let issued = provider.issued();
    let pause = issued[1].expires.duration_since(issued[0].expires).unwrap();
    // Half of such a short life is the margin; the life is told in whole seconds.
    assert!(pause >= Duration::from_secs(3), "{pause:?}");
    assert!(pause < life, "{pause:?}: before the first one's end");
    assert_eq!(provider.concurrent_max(), 1);
    assert_eq!(credential.most.load(SeqCst), 1);
    assert!(credential.asked.load(SeqCst) <= 4, "once for each");
}

#[test]
fn p9_get_cache_is_called_for_each_request() {
    if child::role().is_some() {
        run(async {
            let requests = (0..2000_u32).map(|n| {
                tokio::spawn(async move {
                    let key = n.to_string();
                    let cache = get_cache().await.unwrap();
                    cache.set_ex(&key, &n, TTL).await.unwrap();
                    let other = get_cache().await.unwrap();
                    assert_eq!(other.get::<u32>(&key).await.unwrap(), Some(n));
                })
            });
            for request in requests.collect::<Vec<_>>() {
                request.await.unwrap();
            }
            let cache = get_cache().await.unwrap();
            assert_eq!(redis_state(&cache).connections_tried, 1);
            let begun = Instant::now();
            for _ in 0..100_000 {
                get_cache().await.unwrap();
            }
            let each = begun.elapsed() / 100_000;
            // A connection takes milliseconds.
            assert!(each < Duration::from_micros(100), "{each:?}");
        });
        return;
    }
    let provider = IdentityProvider::start();
    let azure = AzureRedis::start_blocking(RedisServer::builder());
    join(&provider, &azure, its_oid);
    Child::of_test("p9_get_cache_is_called_for_each_request")
        .envs(on_azure(&provider))
        .env("REDIS_PORT", azure.port().to_string())
        .run()
        .assert_passed();
    assert_eq!(azure.proxy().connections(), 1);
    assert_eq!(provider.requests(), 1);
}

#[tokio::test]
async fn p9_near_expiry_a_new_connection_takes_over_and_the_old_one_drains_and_closes() {
    on_each(async |version| {
        let (provider, azure) = azure(version, Duration::from_secs(12)).await;
        let cache = cache(&azure, provider.credential(APP));
        let mut own = cache.connection().unwrap();
        let first = client_id(&mut own).await;
        assert_eq!(azure.proxy().open_connections(), 1);
        // One rotation is enough.
        provider.life(AN_HOUR);

        // Under way on the old one when the new one takes over.
        let slow = tokio::spawn({
            let mut own = own.clone();
            async move {
                let popped: RedisResult<(String, String)> = own.blpop("jobs", 0.0).await;
                popped
            }
        });
        azure.proxy().wait_for_command(named("BLPOP")).await;
        eventually("a second login", SOON, async || azure.rotations() == 2).await;
        let old = Secret::of(&provider.issued()[0].token);
        // Not closed at once, for it owes an answer.
        assert_eq!(azure.proxy().in_use()[&1], old);
        eventually("the take-over", SOON, async || {
            // What still goes to the old one waits behind the slow command.
            let id = tokio::time::timeout(Duration::from_millis(100), client_id(&mut own));
            id.await.is_ok_and(|id| id != first)
        })
        .await;
        assert_eq!(azure.proxy().open_connections(), 2);
        assert!(!slow.is_finished());

        let _: usize = own.rpush("jobs", "one").await.unwrap();
        let popped = within("the slow command", SOON, slow).await.unwrap();
        assert_eq!(popped.unwrap(), ("jobs".to_owned(), "one".to_owned()));
        eventually("the old one's end", SOON, async || {
            azure.proxy().open_connections() == 1
        })
        .await;
        // Long before its token's end would have closed it.
        assert!(provider.issued()[0].expires > SystemTime::now());
        own.ping::<()>().await.unwrap();
        assert_eq!(azure.proxy().connections(), 2);
        assert_eq!(azure.proxy().most_connections(), 2);
        assert_eq!(azure.logins_in_place(), 0);
        assert_eq!(azure.proxy().failures(), []);
        assert_eq!(azure.proxy().unanswered(), 0);
    })
    .await;
}

#[tokio::test]
async fn p9_handles_that_are_kept_unused_over_rotations_stay_good() {
    on_each(async |version| {
        let (provider, azure) = azure(version, Duration::from_secs(4)).await;
        let cache = cache(&azure, provider.credential(APP));
        let mut own = cache.connection().unwrap();
        cache.set_ex("k", &1_u32, TTL).await.unwrap();
        let _: () = own.set("own", 1).await.unwrap();
        // Every token that these logged in with has ended meanwhile, and nobody has called.
        eventually("five rotations", SOON, async || azure.rotations() > 5).await;
        let tried = redis_state(&cache).connections_tried;
        assert_eq!(cache.get::<u32>("k").await.unwrap(), Some(1));
        assert_eq!(own.get::<_, u32>("own").await.unwrap(), 1);
        // By what was renewed, not by a new connection.
        let after = redis_state(&cache);
        assert!(
            after.connections_tried <= tried + 2,
            "{after:?} after {tried}"
        );
        assert_eq!(after.connections, 2);
        assert_eq!(token(&cache).failures, 0);
        assert_eq!(azure.logins_in_place(), 0);
        assert_eq!(azure.proxy().failures(), []);
        assert_eq!(azure.proxy().unanswered(), 0);
    })
    .await;
}

#[tokio::test]
async fn p9_typed_values_and_every_command_of_redis() {
    on_each(async |version| {
        let (provider, azure) = azure(version, AN_HOUR).await;
        let cache = cache(&azure, provider.credential(APP));
        assert_eq!(cache.get::<String>("k").await.unwrap(), None);
        let value = "värde".to_owned();
        cache.set_ex("k", &value, TTL).await.unwrap();
        assert_eq!(cache.get::<String>("k").await.unwrap(), Some(value));

        let mut own = cache.connection().unwrap();
        let left: i64 = own.ttl("k").await.unwrap();
        assert!((200..=300).contains(&left), "{left}");
        // `setex(key, 300, value)` and `get(key)`, and replies that are strings.
        let _: () = own.set_ex("plain", "värde", 300).await.unwrap();
        let plain: String = own.get("plain").await.unwrap();
        assert_eq!(plain, "värde");
        let missing: Option<String> = own.get("missing").await.unwrap();
        assert_eq!(missing, None);

        let _: usize = own.hset("hash", "field", "one").await.unwrap();
        let hash: HashMap<String, String> = own.hgetall("hash").await.unwrap();
        assert_eq!(hash["field"], "one");
        let _: usize = own.sadd("set", &["a", "b"]).await.unwrap();
        let set: BTreeSet<String> = own.smembers("set").await.unwrap();
        assert_eq!(set, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        let script = redis::Script::new("return {KEYS[1], ARGV[1]}");
        let answer: (String, String) = script
            .key("key")
            .arg("argument")
            .invoke_async(&mut own)
            .await
            .unwrap();
        assert_eq!(answer, ("key".to_owned(), "argument".to_owned()));
        let mut transaction = redis::pipe();
        transaction.atomic().incr("n", 2).incr("n", 3);
        let sums: (u32, u32) = transaction.query_async(&mut own).await.unwrap();
        assert_eq!(sums, (2, 5));
        // What redis-rs has no method for.
        let mut other = redis::cmd("LCS");
        other.arg("plain").arg("plain").arg("LEN");
        let common: usize = other.query_async(&mut own).await.unwrap();
        assert_eq!(common, "värde".len());
    })
    .await;
}

#[tokio::test]
async fn p9_stats_show_the_login() {
    let (provider, azure) = azure(RedisVersion::OfPath, Duration::from_secs(6)).await;
    let cache = cache(&azure, provider.credential(APP));
    let before = token(&cache);
    assert_eq!(
        (
            before.credential,
            before.user,
            before.age,
            before.expires_in
        ),
        (None, None, None, None)
    );
    assert_eq!(
        (before.refreshes, before.failures, before.last_error),
        (0, 0, None)
    );

    cache.ping().await.unwrap();
    let first = token(&cache);
    assert_eq!(first.credential, Some("TokenCredential"));
    assert_eq!(first.user, Some(its_oid(&provider.issued()[0])));
    let life = first.age.unwrap() + first.expires_in.unwrap();
    // Providers say it in whole seconds.
    let whole = Duration::from_secs(4)..=Duration::from_secs(6);
    assert!(whole.contains(&life), "{first:?}");
    assert_eq!((first.refreshes, first.failures), (1, 0));

    eventually("it to grow older", SOON, async || {
        token(&cache).age > first.age && token(&cache).expires_in < first.expires_in
    })
    .await;
    eventually("the next token", SOON, async || {
        token(&cache).refreshes >= 2
    })
    .await;
    provider.down();
    eventually("a failure", SOON, async || token(&cache).failures >= 1).await;
    let failed = token(&cache);
    assert_eq!(failed.last_error, Some(ErrorKind::Connect), "{failed:?}");
    eventually("the end", SOON, async || {
        token(&cache).expires_in == Some(Duration::ZERO)
    })
    .await;
    provider.life(AN_HOUR);
    provider.up();
    eventually("the next token", SOON, async || {
        token(&cache).expires_in > Some(AN_HOUR / 2)
    })
    .await;
    let recovered = token(&cache);
    assert!(recovered.refreshes > failed.refreshes);
    assert!(recovered.age < Some(SOON));
    for secret in provider.secrets() {
        assert_never_holds(&secret, &format!("{:?}{cache:?}", cache.stats()));
    }
}
