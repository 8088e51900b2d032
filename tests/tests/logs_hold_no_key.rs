//! Keys are made of arguments, so they are somebody's data: no line of the log holds one, at any level, whatever goes
//! wrong.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{Cache, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::proxy::{named, script};
use cache_tests::wait::SOON;
use cache_tests::{Body, Logs, Proxy, RedisServer, eventually, patient, poll_n_then_drop, within};
use serde::ser::{Error as _, Serialize, Serializer};

/// In every key here.
const WHO: &str = "customer-4711";
const SHORT: Duration = Duration::from_millis(250);
/// So many invalidations are remembered.
const REMEMBERED: usize = 10_000;

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn by_default(cache: &Cache, body: &Body, who: &str) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = "1h",
    stale_if_error = "2h",
    soft_timeout = "1s",
    coalesce = "cluster",
    key = "all:{who}",
    skip(cache, body),
    cache = cache
)]
async fn all_options(cache: &Cache, body: &Body, who: &str) -> Result<u64, Failed> {
    body.run().await
}

/// The same key, and another type.
#[redis_cached(ttl = 60, key = "all:{who}", skip(cache), cache = cache)]
async fn another_type(cache: &Cache, who: &str) -> Vec<String> {
    vec![]
}

#[redis_cached(ttl = 60, timeout = Duration::from_millis(100), key = "far:{who}", skip(cache), cache = cache)]
async fn far(cache: &Cache, who: &str) -> u64 {
    4711
}

/// Says why it is no key.
struct NoKey;

impl Serialize for NoKey {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("as the type has it"))
    }
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn of_no_key(cache: &Cache, who: &str, what: NoKey) -> u64 {
    4711
}

fn impatient(url: &str) -> Cache {
    let builder = Cache::builder().url(url).timeout(SHORT);
    builder.build().expect("a valid URL")
}

#[track_caller]
fn assert_no_key(logs: &Logs) {
    let lines = logs.lines_with(WHO);
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_holds_a_key_whatever_goes_wrong() {
    let logs = Logs::global();
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let (clock, body) = (ManualClock::new(), Body::new());
    let builder = Cache::builder().url(proxy.url()).clock(&clock);
    let cache = builder.timeout(SOON).build().expect("a valid URL");
    for _ in 0..2 {
        assert!(by_default(&cache, &body, WHO).await.is_ok());
        assert!(all_options(&cache, &body, WHO).await.is_ok());
    }
    // Another type's bytes, no JSON, and no string at all.
    assert_eq!(another_type(&cache, WHO).await, Vec::<String>::new());
    let key = all_options_entry(&cache, WHO).key().expect("a key");
    server.cli(&["SET", &key, "{"]);
    assert!(all_options(&cache, &body, WHO).await.is_ok());
    // What serde would quote of it.
    server.cli(&["SET", &key, &format!("\"{WHO}\"")]);
    assert_eq!(another_type(&cache, WHO).await, Vec::<String>::new());
    server.cli(&["DEL", &key]);
    assert!(all_options(&cache, &body, WHO).await.is_ok());
    server.cli(&["DEL", &key]);
    server.cli(&["LPUSH", &key, "1"]);
    assert!(all_options(&cache, &body, WHO).await.is_ok());
    server.cli(&["DEL", &key]);

    // Runs behind calls that fail, and that panic.
    assert!(all_options(&cache, &body, WHO).await.is_ok());
    clock.advance(Duration::from_secs(61));
    body.panic_next(1);
    assert!(all_options(&cache, &body, WHO).await.is_ok());
    let panicked = "a body panicked in the background";
    eventually("a panic", SOON, async || {
        !logs.lines_with(panicked).is_empty()
    })
    .await;
    body.fail_next(1);
    clock.advance(Duration::from_secs(3_600));
    assert!(all_options(&cache, &body, WHO).await.is_ok());
    body.wait_until_idle().await;

    // A key that cannot be written, of which the type's own words are told.
    assert_eq!(of_no_key(&cache, WHO, NoKey).await, 4711);
    of_no_key_entry(&cache, WHO, NoKey)
        .invalidate_logged()
        .await;
    assert!(!logs.lines_with("as the type has it").is_empty());

    // A lock that somebody has.
    all_options_entry(&cache, WHO)
        .invalidate()
        .await
        .expect("redis");
    let [_, lock, _] = all_options_entry(&cache, WHO).guard_keys().expect("keys");
    server.cli(&["SET", &lock, "theirs", "PX", "300"]);
    assert!(
        within("a call", SOON, all_options(&cache, &body, WHO))
            .await
            .is_ok()
    );

    // Rights that a user lacks.
    server.cli(&[
        "ACL", "SETUSER", "app", "on", ">secret", "~other:*", "+@all",
    ]);
    let stranger = patient(&server.url_as("app", "secret"));
    assert!(by_default(&stranger, &body, WHO).await.is_ok());
    let denied = by_default_entry(&stranger, WHO).invalidate().await;
    assert!(denied.expect_err("no right").is_auth());

    // A server that quotes what it does not know.
    let simple = RedisServer::builder().option("rename-command", &["GET", ""]);
    let simple = simple.start().await;
    let simple = patient(&simple.url());
    assert!(by_default(&simple, &body, WHO).await.is_ok());
    assert!(!logs.lines_with("unknown command 'GET'").is_empty());
    let error = by_default_entry(&simple, WHO).get().await;
    let error = error.expect_err("no such command");
    assert!(!format!("{error} {error:?}").contains(WHO), "{error:?}");

    // A read, and a question for the right to store, that come too late.
    let near = impatient(&proxy.url());
    eventually("a connection", SOON, async || near.ping().await.is_ok()).await;
    for held in [proxy.hold_reply(named("GET")), proxy.hold_reply(script())] {
        assert_eq!(far(&near, WHO).await, 4711);
        held.release();
    }
    assert_no_key(&logs);

    // Nobody is there, for more invalidations than are remembered.
    proxy.refuse();
    proxy.reset();
    assert!(by_default(&near, &body, WHO).await.is_ok());
    let failed = by_default_entry(&near, WHO).invalidate().await;
    failed.expect_err("nobody is there");
    by_default_entry(&near, WHO).invalidate_logged().await;
    assert!(!logs.lines_with("an invalidation failed").is_empty());
    for n in 0..=REMEMBERED {
        let entry = near.entry::<u64>(&format!("{WHO}:{n}"));
        let gone = poll_n_then_drop(entry.invalidate(), 1).await;
        assert!(gone.is_none_or(|invalidated| invalidated.is_err()));
    }
    assert_eq!(near.stats().unfinished_invalidations, REMEMBERED);
    let forgotten = logs.lines_with("too many invalidations wait for redis");
    assert!(!forgotten.is_empty(), "some are forgotten");
    near.shutdown().await.expect_err("some are left");
    assert_no_key(&logs);
}
