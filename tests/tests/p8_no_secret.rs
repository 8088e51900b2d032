//! P8: no password in anything that can be printed, nor in any log line at TRACE.
#![allow(missing_docs)]

use std::fmt::{Debug, Display};
use std::time::Duration;

use cache_runtime::{Cache, Error, get_cache, redis_cached, sites};
use cache_tests::{
    Body, Child, Logs, Proxy, RedisServer, assert_never_holds, body::Failed, child, eventually,
    wait::SOON,
};

/// With what a URL has to escape, and what `{:?}` would.
const PASSWORD: &str = "s3cr3t:p@ss/w\"rd%41\\";
const WRONG: &str = "wr0ng#g?ess'&\u{e9}";

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// A URL with every byte of user and password escaped that can be.
fn url(server: &RedisServer, user: &str, password: &str) -> String {
    let scheme = server.url().split(':').next().unwrap().to_owned();
    format!(
        "{scheme}://{user}:{}@127.0.0.1:{}/",
        encoded(password),
        server.port()
    )
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn never(text: &str) {
    assert_never_holds(PASSWORD, text);
    assert_never_holds(WRONG, text);
}

fn debug(value: impl Debug) {
    never(&format!("{value:?}"));
    never(&format!("{value:#?}"));
}

fn both(value: impl Debug + Display) {
    never(&format!("{value}"));
    never(&format!("{value:#}"));
    debug(value);
}

fn error(error: Error) {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        both(inner);
        cause = inner.source();
    }
    both(error.kind());
    both(error);
}

/// Everything public that a cache gives away.
async fn everything_of(cache: &Cache) {
    debug(cache);
    debug(cache.stats());
    debug(sites());
    let body = Body::new();
    user(cache, &body, 1).await.unwrap();
    let entry = user_entry(cache, 1);
    debug(&entry);
    for result in [
        entry.get().await.map(drop),
        entry.put(&1).await,
        entry.ttl().await.map(drop),
        entry.invalidate().await,
        cache.ping().await,
        cache.delete("k").await,
        cache.set_ex("k", &1, Duration::from_secs(1)).await,
    ] {
        if let Err(e) = result {
            error(e);
        }
    }
    let mut connection = cache.connection().unwrap();
    debug(&connection);
    let answer: Result<String, _> = redis::cmd("PING").query_async(&mut connection).await;
    if let Err(e) = answer {
        both(e);
    }
    for site in sites() {
        never(&site.stats.errors.to_string());
    }
    debug(cache.stats());
}

/// In a process of its own, because the log of a process is one.
fn alone(test: &str, work: impl Future<Output = ()>) {
    if child::role().is_none() {
        let child = Child::of_test(test).run();
        child.assert_passed();
        // Panic messages and all that went to the standard streams.
        never(&child.text());
        return;
    }
    let logs = Logs::global();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
    let text = logs.text();
    assert!(text.contains("cache_runtime"), "nothing was logged");
    never(&text);
}

#[test]
fn p8_no_secret_of_a_connect_that_succeeds() {
    alone("p8_no_secret_of_a_connect_that_succeeds", async {
        let server = RedisServer::builder()
            .password(PASSWORD)
            .user("app", PASSWORD, &["~*", "+@all"])
            .start()
            .await;
        for url in [url(&server, "", PASSWORD), url(&server, "app", PASSWORD)] {
            let builder = Cache::builder().url(url);
            debug(&builder);
            let cache = builder.build().unwrap();
            everything_of(&cache).await;
            cache.ping().await.unwrap();
            cache.shutdown().await.unwrap();
        }
        let builder = Cache::builder()
            .host("127.0.0.1")
            .port(server.port())
            .username("app")
            .password(PASSWORD);
        debug(&builder);
        let cache = builder.build().unwrap();
        cache.ping().await.unwrap();
        everything_of(&cache).await;
    });
}

#[test]
fn p8_no_secret_of_a_login_that_is_refused() {
    alone("p8_no_secret_of_a_login_that_is_refused", async {
        let server = RedisServer::builder()
            .password(PASSWORD)
            .user("app", PASSWORD, &["~*", "+@all"])
            .start()
            .await;
        for (user, password) in [("app", WRONG), ("nobody", PASSWORD), ("default", WRONG)] {
            let cache = Cache::builder()
                .url(url(&server, user, password))
                .build()
                .unwrap();
            error(cache.ping().await.unwrap_err());
            everything_of(&cache).await;
        }
        // Servers that know neither HELLO nor ACLs quote what they do not understand.
        let old = RedisServer::builder()
            .password(PASSWORD)
            .option("rename-command", &["HELLO", ""])
            .start()
            .await;
        for url in [url(&old, "", PASSWORD), url(&old, "default", WRONG)] {
            let cache = Cache::builder().url(url).build().unwrap();
            if let Err(e) = cache.ping().await {
                error(e);
            }
            everything_of(&cache).await;
        }
        // A user that is taken away from a connection that stands.
        let cache = Cache::builder()
            .url(url(&server, "app", PASSWORD))
            .build()
            .unwrap();
        cache.ping().await.unwrap();
        server.cli(&["ACL", "DELUSER", "app"]);
        everything_of(&cache).await;
    });
}

#[test]
fn p8_no_secret_of_a_connect_that_fails() {
    alone("p8_no_secret_of_a_connect_that_fails", async {
        let server = RedisServer::builder().password(PASSWORD).start().await;
        let proxy = Proxy::before(&server);
        let cache = || {
            Cache::builder()
                .url(
                    url(&server, "", PASSWORD)
                        .replace(&server.port().to_string(), &proxy.port().to_string()),
                )
                .timeout(Duration::from_millis(300))
                .build()
                .unwrap()
        };
        proxy.refuse();
        error(cache().ping().await.unwrap_err());
        everything_of(&cache()).await;
        proxy.accept();
        proxy.swallow();
        everything_of(&cache()).await;
        proxy.accept();
        // Cut in the middle of each reply that a login gets.
        for bytes in 0..40 {
            let cut = proxy.cut_in_reply(bytes);
            if let Err(e) = cache().ping().await {
                error(e);
            }
            drop(cut);
        }
        server.kill();
        everything_of(&cache()).await;
    });
}

#[test]
fn p8_no_secret_of_tls_that_fails() {
    alone("p8_no_secret_of_tls_that_fails", async {
        let server = RedisServer::builder()
            .tls()
            .password(PASSWORD)
            .start()
            .await;
        let plain = RedisServer::builder().password(PASSWORD).start().await;
        let good_url = url(&server, "", PASSWORD);
        let url_of_plain = url(&plain, "", PASSWORD);
        let good = Cache::builder()
            .url(&good_url)
            .tls_ca_file(server.ca_path());
        debug(&good);
        let good = good.build().unwrap();
        good.ping().await.unwrap();
        everything_of(&good).await;
        let unrelated = Cache::builder()
            .url(&good_url)
            .tls_ca_file(server.unrelated_ca_path());
        let unrelated = unrelated.build().unwrap();
        error(unrelated.ping().await.unwrap_err());
        everything_of(&unrelated).await;
        let no_tls_there = Cache::builder()
            .url(url_of_plain.replace("redis://", "rediss://"))
            .tls_ca_file(server.ca_path())
            .build()
            .unwrap();
        error(no_tls_there.ping().await.unwrap_err());
        let tls_there = Cache::builder()
            .url(good_url.replace("rediss://", "redis://"))
            .build()
            .unwrap();
        error(tls_there.ping().await.unwrap_err());
        eventually("the breaker", SOON, async || {
            tls_there.ping().await.is_err()
        })
        .await;
        everything_of(&tls_there).await;
    });
}

/// Whatever is wrong with a configuration that holds a password somewhere.
#[test]
fn p8_no_secret_of_a_configuration_that_is_refused() {
    let encoded = encoded(PASSWORD);
    let urls = [
        format!("redis://:{PASSWORD}@localhost/"),
        format!("redis://app:{WRONG}@localhost/"),
        format!("redis://:{encoded}@localhost:0/"),
        format!("redis://:{encoded}@localhost:99999/"),
        format!("redis://:{encoded}@local host/"),
        format!("redis://:{encoded}@/"),
        format!("redis://:{encoded}@localhost/db"),
        format!("redis://:{encoded}@localhost/?x=y"),
        format!("redis://:{encoded}@localhost/#f"),
        format!("http://:{encoded}@localhost/"),
        format!("app:{encoded}@localhost:6379"),
        format!("redis://:{encoded}%FF@localhost/"),
        format!("//:{encoded}@localhost"),
        PASSWORD.to_owned(),
        encoded.clone(),
    ];
    for url in &urls {
        for builder in [
            Cache::builder().url(url),
            Cache::builder().url(url).password(PASSWORD),
            Cache::builder().url(url).host("localhost"),
            Cache::builder().url(url).no_auth(),
            Cache::builder().url(url).tls(true),
            Cache::builder().url(url).db(3),
            Cache::builder().url(url).prefix("%"),
            Cache::builder().url(url).timeout(Duration::ZERO),
        ] {
            debug(&builder);
            match builder.build() {
                Ok(cache) => debug(cache),
                Err(e) => error(e),
            }
        }
    }
    for builder in [
        Cache::builder().password(PASSWORD),
        Cache::builder()
            .host("localhost")
            .password(PASSWORD)
            .no_auth(),
        Cache::builder()
            .host("localhost")
            .password(PASSWORD)
            .port(0),
        Cache::builder().host("a b").password(PASSWORD),
        Cache::builder()
            .host("localhost")
            .password(PASSWORD)
            .tls(true)
            .tls_ca_pem("x"),
    ] {
        debug(&builder);
        match builder.build() {
            Ok(cache) => debug(cache),
            Err(e) => error(e),
        }
    }
}

/// A URL where only a host belongs.
#[test]
fn p8_no_secret_of_a_url_in_the_wrong_place() {
    let encoded = encoded(PASSWORD);
    for host in [
        format!("redis://:{encoded}@localhost/"),
        format!("app:{encoded}@localhost"),
        format!("redis://app:{PASSWORD}@localhost/"),
    ] {
        let builder = Cache::builder().host(&host).no_auth();
        debug(&builder);
        error(builder.build().unwrap_err());
    }
}

/// What a bad environment says of itself.
#[test]
fn p8_no_secret_of_a_bad_environment() {
    const TEST: &str = "p8_no_secret_of_a_bad_environment";
    if child::role().is_some() {
        let logs = Logs::global();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        error(runtime.block_on(get_cache()).unwrap_err());
        #[redis_cached(ttl = 300, skip(body))]
        async fn global(body: &Body) -> Result<u64, Failed> {
            body.run().await
        }
        assert_eq!(
            runtime.block_on(global(&Body::new())),
            Ok(1),
            "the body runs"
        );
        assert!(logs.text().contains("ERROR"));
        never(&logs.text());
        return;
    }
    let url = format!("redis://:{}@localhost/", PASSWORD.replace('%', ""));
    for variables in [
        &[("REDIS_URL", PASSWORD)][..],
        &[("REDIS_URL", &url), ("REDIS_PORT", "x")],
        &[("REDIS_URL", &url), ("REDIS_PASSWORD", PASSWORD)],
        &[("REDIS_HOST", &url), ("REDIS_PASSWORD", PASSWORD)],
        &[("REDIS_HOST", "localhost"), ("REDIS_AUTH", PASSWORD)],
        &[
            ("REDIS_HOST", "localhost"),
            ("REDIS_AUTH", "none"),
            ("REDIS_PASSWORD", PASSWORD),
        ],
        &[
            ("REDIS_HOST", "localhost"),
            ("REDIS_PASSWORD", PASSWORD),
            ("REDIS_TIMEOUT", "soon"),
        ],
        &[("REDIS_PASSWORD", PASSWORD), ("REDIS_PORT", "x")],
    ] {
        let mut child = Child::of_test(TEST);
        for (name, value) in variables {
            child = child.env(name, value);
        }
        let ended = child.run();
        assert!(ended.status.success(), "{variables:?}: {}", ended.text());
        never(&ended.text());
    }
}
