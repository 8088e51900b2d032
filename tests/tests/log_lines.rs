//! What the log says where nothing can ever be stored, and that its lines name the function and the cause.
#![allow(missing_docs)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cache_runtime::{Cache, ManualClock, redis_cached, sites};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Logs, Proxy, RedisServer, eventually, patient};
use serde::{Deserialize, Serialize};

const CALLS: u64 = 20;
const SHORT: Duration = Duration::from_millis(50);

/// What the README says that an ACL user needs.
const RIGHTS: [&str; 9] = [
    "~*", "+get", "+set", "+del", "+pttl", "+pexpire", "+ping", "+eval", "+evalsha",
];

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn without_scripts(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 60, stale_if_error = 60, skip(cache), cache = cache)]
async fn without_time(cache: &Cache, id: u64) -> Result<u64, String> {
    Ok(id)
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn without_room(cache: &Cache, id: u64) -> Option<u64> {
    Some(id)
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn on_a_replica(cache: &Cache, id: u64) -> Result<Option<u64>, String> {
    Ok(Some(id))
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn never_encoded(cache: &Cache, id: u64) -> HashMap<(u64, u64), u64> {
    HashMap::from([((id, id), id)])
}

fn no_lifetime(value: &u64) -> Duration {
    panic!("on purpose, for {value}")
}

#[redis_cached(ttl = |value| no_lifetime(value), skip(cache), cache = cache)]
async fn never_judged(cache: &Cache, id: u64) -> u64 {
    id
}

/// Writes one field, and wants another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OneWay {
    #[serde(rename(serialize = "written"))]
    read: u64,
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn never_decoded(cache: &Cache, id: u64) -> OneWay {
    OneWay { read: id }
}

/// Asserts that the log had about one warning a minute of this function, with all of these parts.
#[track_caller]
fn assert_warned(logs: &Logs, since: Instant, function: &str, parts: &[&str]) {
    let function = format!("function={function} (");
    let lines = logs.lines_with(&function);
    let warned: Vec<_> = lines.iter().filter(|line| line.contains("WARN")).collect();
    let minutes = since.elapsed().as_secs() / 60;
    assert!(!warned.is_empty(), "{lines:#?}");
    assert!(
        warned.len() as u64 <= minutes + 2 && minutes + 2 < CALLS,
        "{warned:#?}"
    );
    for part in parts.iter().chain(&["cause="]) {
        assert!(warned[0].contains(part), "{part}: {}", warned[0]);
    }
}

#[track_caller]
fn assert_all_name_function_and_cause(logs: &Logs, text: &str) {
    let lines = logs.lines_with(text);
    assert!(!lines.is_empty(), "{text}");
    for line in lines {
        assert!(
            line.contains("function=") && line.contains("cause="),
            "{line}"
        );
    }
}

#[tokio::test]
async fn what_redis_never_stores_is_told_with_the_text_to_type() {
    let logs = Logs::global();
    let since = Instant::now();
    let server = RedisServer::builder()
        .user("reader", "secret", &["~*", "+get", "+ping"])
        .user("timeless", "secret", &RIGHTS)
        .start()
        .await;
    let reader = patient(&server.url_as("reader", "secret"));
    let timeless = patient(&server.url_as("timeless", "secret"));
    let full = RedisServer::builder().maxmemory(1).start().await;
    let full = patient(&full.url());
    let port = server.port().to_string();
    let replica = RedisServer::builder()
        .option("replicaof", &["127.0.0.1", &port])
        .start()
        .await;
    let replica = patient(&replica.url());
    for id in 0..CALLS {
        assert_eq!(without_scripts(&reader, id).await, id);
        assert_eq!(without_time(&timeless, id).await, Ok(id));
        assert_eq!(without_room(&full, id).await, Some(id));
        assert_eq!(on_a_replica(&replica, id).await, Ok(Some(id)));
    }
    let rights = "ACL SETUSER";
    assert_warned(
        &logs,
        since,
        "without_scripts",
        &["NOPERM", rights, "+evalsha"],
    );
    assert_warned(&logs, since, "without_time", &["time", rights, "+time"]);
    let policy = "maxmemory-policy allkeys-lru";
    assert_warned(&logs, since, "without_room", &["OOM", policy]);
    let primary = ["READONLY", "`REDIS_URL`", "primary"];
    assert_warned(&logs, since, "on_a_replica", &primary);
    assert_all_name_function_and_cause(&logs, "the cache failed, the call goes on");
}

#[tokio::test]
async fn a_value_that_never_encodes_or_decodes_is_told_with_serdes_reason() {
    let logs = Logs::global();
    let since = Instant::now();
    let server = RedisServer::start().await;
    let cache = patient(&server.url());
    for id in 0..CALLS {
        assert_eq!(never_encoded(&cache, id).await.len(), 1);
        assert_eq!(never_judged(&cache, id).await, id);
        // Twice, because what was never read is no failure.
        for _ in 0..2 {
            assert_eq!(never_decoded(&cache, id).await, OneWay { read: id });
        }
    }
    assert_warned(&logs, since, "never_encoded", &["key must be a string"]);
    assert_warned(
        &logs,
        since,
        "never_judged",
        &["`ttl` or `cache_if` panicked"],
    );
    assert_warned(&logs, since, "never_decoded", &["missing field `read`"]);
    assert_all_name_function_and_cause(&logs, "the cache failed, the call goes on");
}

/// Bytes of an older release are read once, and are no reason to warn.
#[tokio::test]
async fn bytes_of_another_type_are_not_told_at_info() {
    #[redis_cached(ttl = 60, key = "other:{id}", skip(cache), cache = cache)]
    async fn of_another_type(cache: &Cache, id: u64) -> u64 {
        id
    }
    let logs = Logs::global();
    let server = RedisServer::start().await;
    let cache = patient(&server.url());
    for id in 0..CALLS {
        server.cli(&["SET", &format!("other:{id}"), "\"old\""]);
        assert_eq!(of_another_type(&cache, id).await, id);
    }
    let lines = logs.lines_with("function=of_another_type (");
    assert_eq!(lines.len() as u64, CALLS, "{lines:#?}");
    for line in lines {
        assert!(line.contains("DEBUG") && line.contains("cause="), "{line}");
        assert!(
            line.contains("invalid type: string, expected u64"),
            "{line}"
        );
    }
}

#[redis_cached(ttl = 60, skip(cache), cache = cache)]
async fn committed(cache: &Cache, id: u64) -> u64 {
    id
}

/// How often the cache failed `committed`.
fn failures() -> u64 {
    let mut sites = sites().into_iter();
    let site = sites.find(|site| site.function == "committed");
    site.map_or(0, |site| site.stats.errors.total())
}

#[tokio::test]
async fn an_invalidation_after_a_commit_that_fails_is_told_and_counted() {
    const FAILED: &str = "an invalidation failed";
    let logs = Logs::global();
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = patient(&proxy.url());
    assert_eq!(committed(&cache, 4711).await, 4711);
    committed_entry(&cache, 4711).invalidate_logged().await;
    let stored = committed_entry(&cache, 4711).get().await;
    assert_eq!(stored.expect("redis"), None);
    assert_eq!(failures(), 0);
    assert_eq!(logs.lines_with(FAILED), [""; 0]);

    proxy.refuse();
    let since = Instant::now();
    let builder = Cache::builder().url(proxy.url()).timeout(SHORT);
    let cache = builder.build().expect("a valid URL");
    for n in 1..=CALLS {
        committed_entry(&cache, 4711).invalidate_logged().await;
        assert_eq!(failures(), n);
    }
    assert_warned(&logs, since, "committed", &[FAILED]);
    let lines = logs.lines_with(FAILED);
    assert_eq!(lines.len() as u64, CALLS, "{lines:#?}");
    assert_all_name_function_and_cause(&logs, FAILED);
    assert!(
        lines.iter().all(|line| !line.contains("4711")),
        "{lines:#?}"
    );
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, body), cache = cache)]
async fn too_slow(cache: &Cache, body: &Body) -> Result<u64, Failed> {
    body.run().await
}

#[tokio::test]
async fn a_run_behind_that_is_given_up_names_its_function_and_why() {
    let logs = Logs::global();
    let clock = ManualClock::new();
    let builder = Cache::builder().in_memory().clock(&clock);
    let builder = builder.background_timeout(Duration::from_millis(1));
    let (cache, body) = (builder.build().expect("a cache"), Body::new());
    assert_eq!(too_slow(&cache, &body).await, Ok(1));
    clock.advance(Duration::from_secs(60));
    body.shut_gate();
    assert_eq!(too_slow(&cache, &body).await, Ok(1));
    let given_up = "took too long and was given up";
    eventually("the end of the run", SOON, async || {
        !logs.lines_with(given_up).is_empty()
    })
    .await;
    for line in logs.lines_with(given_up) {
        assert!(line.contains("function=too_slow ("), "{line}");
        assert!(line.contains("`background_timeout`"), "{line}");
    }
}
