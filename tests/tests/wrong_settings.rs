//! Settings that mean something else than who wrote them thought: what is said, and what is to be typed instead.
#![allow(missing_docs)]

use std::error::Error as _;

use cache_runtime::{Cache, Error, get_cache};
use cache_tests::child::{self, Child};
use cache_tests::wait::SOON;
use cache_tests::{Logs, RedisServer, patient};

/// The error and its causes.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" <- {cause}"));
        source = cause.source();
    }
    text
}

async fn refused(url: &str) -> String {
    told(&patient(url).ping().await.expect_err("no login"))
}

/// The child of the tests here: asks whether the environment's cache is there, and says what the log said.
#[test]
fn pings() {
    if child::role().is_none() {
        return;
    }
    let logs = Logs::global();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let cache = get_cache().await.expect("settings in order");
        cache.ping().await.expect("a server");
        // The same settings, for a cache of one's own.
        let own = Cache::builder().from_env().build();
        own.expect("settings in order")
            .ping()
            .await
            .expect("a server");
    });
    child::tell(&logs.text());
}

/// Runs it, and returns the lines of the log that hold `part`.
fn pinged(variables: &[(&str, &str)], part: &str) -> Vec<String> {
    // The one credential that asks nobody where nothing is set, should a host be taken for Azure's after all.
    let mut child = Child::of_test("pings").env("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential");
    for (name, value) in variables {
        child = child.env(name, value);
    }
    let ended = child.run();
    ended.assert_passed();
    let text = ended.text();
    let lines = text.lines().filter(|line| line.contains(part));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_host_that_is_not_azures_is_a_plain_server_and_the_log_says_how_it_would_not_be() {
    let server = RedisServer::start().await;
    let port = server.port().to_string();
    for host in ["127.0.0.1", "localhost"] {
        let at = [("REDIS_HOST", host), ("REDIS_PORT", &*port)];
        let told = pinged(&at, "REDIS_AUTH=entra");
        assert_eq!(told.len(), 2, "once a cache: {told:#?}");
        for line in told {
            assert!(line.contains("INFO") && line.contains(host), "{line}");
        }
        let said = [at[0], at[1], ("REDIS_AUTH", "none")];
        assert_eq!(pinged(&said, "REDIS_AUTH=entra"), [""; 0]);
    }
}

#[test]
fn an_environment_that_says_no_server_is_told_for_each_cache_that_asks_it() {
    let told = pinged(&[], "neither REDIS_URL nor REDIS_HOST is set");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|line| line.contains("WARN")), "{told:#?}");
}

#[tokio::test]
async fn a_password_and_a_prefix_from_a_file_are_told_with_the_text_to_type() {
    let server = RedisServer::start().await;
    server.cli(&["ACL", "SETUSER", "app", "on", ">pass\n", "~*", "+@all"]);
    let url = format!("redis://app@127.0.0.1:{}", server.port());
    let variables = [
        ("REDIS_URL", &*url),
        ("REDIS_PASSWORD", "pass\n"),
        ("REDIS_KEY_PREFIX", "shop:"),
    ];
    let told = pinged(&variables, "WARN");
    assert_eq!(told.len(), 4, "{told:#?}");
    for part in ["`REDIS_PASSWORD`", "tr -d", "write `shop`"] {
        assert!(told.iter().any(|line| line.contains(part)), "{told:#?}");
    }
    assert!(
        !told.iter().any(|line| line.contains("pass\\n")),
        "{told:#?}"
    );
}

#[tokio::test]
async fn a_refused_login_says_what_may_be_wrong_with_the_password() {
    let server = RedisServer::builder().password("secret").start().await;
    let port = server.port();
    let url = |login: &str| format!("redis://{login}127.0.0.1:{port}");
    let none = refused(&url("")).await;
    assert!(none.contains("set `REDIS_PASSWORD`"), "{none}");
    assert!(none.contains("`REDIS_AUTH=entra`"), "{none}");
    let padded = refused(&url(":secret%0A@")).await;
    assert!(padded.contains("ends with white space"), "{padded}");
    let empty = refused(&url("default@")).await;
    assert!(empty.contains("`nopass`"), "{empty}");
    let wrong = refused(&url(":wrong@")).await;
    assert!(!wrong.contains(';'), "{wrong}");
}

#[tokio::test]
async fn a_user_whose_rules_say_nopass_needs_no_password() {
    let server = RedisServer::start().await;
    server.cli(&["ACL", "SETUSER", "app", "on", "nopass", "~*", "+@all"]);
    let port = server.port();
    let host = || {
        Cache::builder()
            .host("127.0.0.1")
            .port(port)
            .username("app")
    };
    for builder in [
        Cache::builder().url(format!("redis://app@127.0.0.1:{port}")),
        host(),
        host().no_auth(),
    ] {
        let cache = builder.timeout(SOON).build().expect("settings in order");
        let mut connection = cache.connection().expect("a store in redis");
        let who: String = redis::cmd("ACL")
            .arg("WHOAMI")
            .query_async(&mut connection)
            .await
            .expect("redis");
        assert_eq!(who, "app");
    }
}

#[tokio::test]
async fn tls_where_there_is_none_and_none_where_there_is_tls_are_told_apart() {
    let (plain, tls) = tokio::join!(RedisServer::start(), RedisServer::builder().tls().start());
    let (to_plain, to_tls) = (
        Cache::builder()
            .url(format!("rediss://127.0.0.1:{}", plain.port()))
            .tls_ca_file(tls.ca_path())
            .timeout(SOON),
        Cache::builder()
            .url(format!("redis://127.0.0.1:{}", tls.port()))
            .timeout(SOON),
    );
    for (builder, expected) in [
        (to_plain, "without TLS, write `redis://`"),
        (to_tls, "`REDIS_TLS=true` or `rediss://`"),
    ] {
        let cache = builder.build().expect("settings in order");
        let error = cache.ping().await.expect_err("no connection");
        let text = told(&error);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
