//! What stands in Redis is what `redis-cli`, and a service in another language, expect there; and what
//! they write is read.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use cache_runtime::{Cache, Entry, ErrorKind, redis_cached, sites};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Proxy, RedisServer, eventually, patient, within};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    score: f64,
    tags: Vec<String>,
    parent: Option<Box<Self>>,
}

fn user(id: u64) -> User {
    let parent = User {
        id: 0,
        name: String::new(),
        score: -0.0,
        tags: vec![],
        parent: None,
    };
    User {
        id,
        name: "Zoë \"Z\" O'Hara\n".to_owned(),
        score: 0.1 + 0.2,
        tags: vec!["a:b".to_owned(), "%".to_owned()],
        parent: Some(Box::new(parent)),
    }
}

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn get_user(cache: &Cache, body: &Body, id: u64) -> Result<User, String> {
    body.returning(user(id))
        .await
        .map_err(|failed| failed.to_string())
}

#[redis_cached(ttl = "1h 30m", key = "found:{id}", skip(cache, body), cache = cache)]
async fn find_user(cache: &Cache, body: &Body, id: u64) -> Option<User> {
    body.returning((id < 10).then(|| user(id)))
        .await
        .expect("a body that returns")
}

fn pttl(server: &RedisServer, key: &str) -> Duration {
    let millis = server.cli(&["PTTL", key]);
    Duration::from_millis(
        millis
            .parse()
            .unwrap_or_else(|_| panic!("PTTL {key} is {millis}")),
    )
}

/// The ttl that was set, less what a busy machine may have taken since.
#[track_caller]
fn assert_lives(server: &RedisServer, key: &str, ttl: Duration) {
    let left = pttl(server, key);
    assert!(
        left <= ttl && left + SOON > ttl,
        "{key} lives for {left:?}, not {ttl:?}"
    );
}

#[tokio::test]
async fn redis_cli_get_is_exactly_serde_jsons_text_and_pttl_is_the_ttl() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    let value = get_user(&cache, &body, 42).await;
    assert_eq!(value, Ok(user(42)));
    let json = serde_json::to_string(&user(42)).expect("JSON");
    assert_eq!(server.cli(&["GET", "user:42"]), json);
    assert_lives(&server, "user:42", Duration::from_secs(300));
    assert_eq!(find_user(&cache, &body, 3).await, Some(user(3)));
    let json = serde_json::to_string(&user(3)).expect("JSON");
    assert_eq!(
        server.cli(&["GET", "found:3"]),
        json,
        "a `Some` is its value alone"
    );
    assert_lives(&server, "found:3", Duration::from_secs(90 * 60));
    assert_eq!(server.cli(&["DBSIZE"]), "2", "nothing else is left there");
}

#[tokio::test]
async fn a_value_that_redis_cli_set_is_a_hit() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    let mut theirs = user(1);
    theirs.name = "written elsewhere".to_owned();
    let pretty = serde_json::to_string_pretty(&theirs).expect("JSON");
    for json in [serde_json::to_string(&theirs).expect("JSON"), pretty] {
        server.cli(&["SET", "user:1", &json, "EX", "60"]);
        server.cli(&["SET", "found:1", &json]);
        assert_eq!(get_user(&cache, &body, 1).await, Ok(theirs.clone()));
        assert_eq!(find_user(&cache, &body, 1).await, Some(theirs.clone()));
        let entry = get_user_entry(&cache, 1);
        assert_eq!(entry.get().await.expect("redis"), Some(theirs.clone()));
    }
    // Another program's `None`.
    server.cli(&["SET", "found:2", "null"]);
    assert_eq!(find_user(&cache, &body, 2).await, None);
    assert_eq!(body.runs(), 0);
    server.cli(&["DEL", "user:1"]);
    assert_eq!(get_user(&cache, &body, 1).await, Ok(user(1)));
    assert_eq!(body.runs(), 1);
}

#[tokio::test]
async fn an_error_and_by_default_a_none_leave_nothing() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    body.fail_next(1);
    get_user(&cache, &body, 1)
        .await
        .expect_err("as the body was told");
    for run in 2..4 {
        assert_eq!(find_user(&cache, &body, 99).await, None);
        assert_eq!(body.runs(), run);
    }
    eventually("the tokens to go", SOON, async || {
        server.cli(&["DBSIZE"]) == "0"
    })
    .await;
}

#[redis_cached(ttl = 300, none_ttl = "2m", key = "none:{id}", skip(cache, body), cache = cache)]
async fn remembers_none(cache: &Cache, body: &Body, id: u64) -> Result<Option<u64>, String> {
    let _ = body.run().await;
    Ok((id < 10).then_some(id))
}

#[tokio::test]
async fn none_ttl_stores_a_header_that_is_read_as_none() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    for _ in 0..2 {
        assert_eq!(remembers_none(&cache, &body, 99).await, Ok(None));
        assert_eq!(remembers_none(&cache, &body, 9).await, Ok(Some(9)));
    }
    assert_eq!(body.runs(), 2);
    assert_eq!(server.cli(&["GET", "none:9"]), "9");
    assert_lives(&server, "none:9", Duration::from_secs(300));
    let mut connection = server.connection().await;
    let bytes: Vec<u8> = redis::AsyncCommands::get(&mut connection, "none:99")
        .await
        .expect("GET");
    assert_eq!(bytes, b"\xC1\x01\x01\x00\x00null");
    assert_lives(&server, "none:99", Duration::from_secs(120));
    // A later release may put fields of its own into the header.
    let newer = b"\xC1\x01\x01\x02\x00\xFF\xFFnull";
    redis::AsyncCommands::set::<_, _, ()>(&mut connection, "none:98", newer)
        .await
        .expect("SET");
    assert_eq!(remembers_none(&cache, &body, 98).await, Ok(None));
    assert_eq!(body.runs(), 2);
}

#[redis_cached(ttl = Duration::from_millis(7_777), key = "ttl:expr:{id}", skip(cache), cache = cache)]
async fn ttl_of_expression(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = |value| Duration::from_secs(*value), key = "ttl:own:{id}", skip(cache), cache = cache)]
async fn ttl_of_value(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = "1d", key = "ttl:day:{id}", skip(cache), cache = cache)]
async fn ttl_of_a_day(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = Duration::MAX, key = "ttl:max:{id}", skip(cache), cache = cache)]
async fn ttl_of_ever(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn every_form_of_ttl_is_the_pttl() {
    let server = RedisServer::start().await;
    let cache = patient(&server.url());
    ttl_of_expression(&cache, 1).await;
    let left = pttl(&server, "ttl:expr:1");
    assert!(
        left > Duration::ZERO && left <= Duration::from_millis(7_777),
        "{left:?}"
    );
    for seconds in [60, 3_600] {
        ttl_of_value(&cache, seconds).await;
        assert_lives(
            &server,
            &format!("ttl:own:{seconds}"),
            Duration::from_secs(seconds),
        );
    }
    assert_eq!(
        ttl_of_value(&cache, 0).await,
        0,
        "a ttl of nothing stores nothing"
    );
    assert_eq!(server.cli(&["EXISTS", "ttl:own:0"]), "0");
    ttl_of_a_day(&cache, 1).await;
    assert_lives(&server, "ttl:day:1", Duration::from_secs(24 * 60 * 60));
    for cache in [&cache, &cache_tests::in_memory()] {
        assert_eq!(ttl_of_ever(cache, 1).await, 1);
        assert_eq!(
            ttl_of_ever_entry(cache, 1).get().await.expect("a cache"),
            Some(1)
        );
    }
    assert!(pttl(&server, "ttl:max:1") > Duration::from_secs(100 * 365 * 24 * 60 * 60));
}

#[redis_cached(ttl = 300, cache_if = |value| value % 2 == 0, key = "even:{id}", skip(cache, body), cache = cache)]
async fn even(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = body.run().await;
    id
}

#[tokio::test]
async fn cache_if_says_what_is_stored_and_put_stores_what_it_is_told() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    for id in [1, 2, 1, 2] {
        assert_eq!(even(&cache, &body, id).await, id);
    }
    assert_eq!(body.runs(), 3);
    assert_eq!(server.cli(&["EXISTS", "even:1"]), "0");
    assert_eq!(server.cli(&["GET", "even:2"]), "2");
    even_entry(&cache, 1).put(&7).await.expect("redis");
    assert_eq!(server.cli(&["GET", "even:1"]), "7");
    assert_eq!(even(&cache, &body, 1).await, 7);
}

#[redis_cached(ttl = 300, namespace = "users", skip(cache), cache = cache)]
async fn in_namespace(cache: &Cache, id: u64, language: &str) -> u64 {
    id
}

#[redis_cached(ttl = 300, namespace = "users", version = 2, skip(cache), cache = cache)]
async fn in_version(cache: &Cache, id: u64, language: &str) -> u64 {
    id
}

#[redis_cached(ttl = 300, skip(cache), cache = cache)]
async fn by_default(cache: &Cache, id: u64, language: &str) -> u64 {
    id
}

#[redis_cached(ttl = 300, key_args(user.id), cache = cache)]
async fn by_a_field(cache: &Cache, user: &User) -> u64 {
    user.id
}

#[redis_cached(ttl = 300, key = "{{tenant-{tenant}}}:user:{user.id}:{language}", skip(cache), cache = cache)]
async fn by_template(cache: &Cache, tenant: &str, user: &User, language: &str) -> u64 {
    user.id
}

#[tokio::test]
async fn keys_are_what_the_attribute_and_the_prefix_say() {
    let server = RedisServer::start().await;
    let plain = patient(&server.url());
    let prefixed = Cache::builder()
        .url(server.url())
        .prefix("shop")
        .timeout(SOON);
    let prefixed = prefixed.build().expect("a valid prefix");
    for (cache, prefix) in [(&plain, ""), (&prefixed, "shop:")] {
        server.empty().await;
        in_namespace(cache, 42, "fr").await;
        in_version(cache, 42, "fr").await;
        by_default(cache, 42, "a:b").await;
        by_a_field(cache, &user(42)).await;
        by_template(cache, "42", &user(7), "en us").await;
        let mut expected = [
            "users:42:fr",
            "users@2:42:fr",
            "interoperability.by_default:42:a%3Ab",
            "interoperability.by_a_field:42",
            "{tenant-42}:user:7:en%20us",
        ]
        .map(|key| format!("{prefix}{key}"));
        expected.sort();
        let keys = server.cli(&["KEYS", "*"]);
        let mut keys: Vec<_> = keys.lines().collect();
        keys.sort_unstable();
        assert_eq!(keys, expected);
        let entry = by_template_entry(cache, "42", &user(7), "en us");
        assert_eq!(
            *entry.key().expect("a key"),
            *expected
                .iter()
                .find(|key| key.contains("tenant"))
                .expect("it is there")
        );
        // Other programs and crates reach it by its name.
        let named = cache.entry::<u64>("users:42:fr");
        assert_eq!(named.get().await.expect("redis"), Some(42));
        assert_eq!(
            cache.get::<u64>("users@2:42:fr").await.expect("redis"),
            Some(42)
        );
    }
}

#[redis_cached(ttl = 300, key = "held:{id}", skip(cache, body), cache = cache)]
async fn held(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 300, key = "{{tenant-{tenant}}}:held:{id}", skip(cache, body), cache = cache)]
async fn held_in_a_slot(cache: &Cache, body: &Body, tenant: &str, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 300, coalesce = "cluster", skip(cache, body), cache = cache)]
async fn held_by_default(cache: &Cache, body: &Body, name: &str) -> Result<u64, Failed> {
    body.run().await
}

type Call = tokio::task::JoinHandle<Result<u64, Failed>>;

/// A call of each shape of key, and its entry.
fn calls(cache: &Cache, body: &Body) -> [(Call, Entry<u64>); 3] {
    let name = "a:b {c}%";
    let of = |n: usize| {
        let (cache, body) = (cache.clone(), body.clone());
        tokio::spawn(async move {
            match n {
                0 => held(&cache, &body, 1).await,
                1 => held_in_a_slot(&cache, &body, "4 2", 1).await,
                _ => held_by_default(&cache, &body, name).await,
            }
        })
    };
    [
        (of(0), held_entry(cache, 1)),
        (of(1), held_in_a_slot_entry(cache, "4 2", 1)),
        (of(2), held_by_default_entry(cache, name)),
    ]
}

/// Runs the example in Python with what a service would have.
async fn invalidate_in_python(url: &str, prefix: &str, keys: &[&str]) {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/invalidate.py");
    let mut python = tokio::process::Command::new("python3");
    python.arg(example).args(keys);
    python.env("REDIS_URL", url).env("REDIS_KEY_PREFIX", prefix);
    let run = within("the example in python", SOON, python.output()).await;
    let run = run.expect("`python3`, which this test needs, cannot be run; install it");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}: {said}", run.status);
}

#[tokio::test]
async fn another_program_invalidates_and_nothing_under_way_is_stored() {
    for prefix in ["", "shop", "{shop}"] {
        let server = RedisServer::builder().password("s3cr:t@").start().await;
        let proxy = Proxy::before(&server);
        let builder = Cache::builder().url(server.url()).timeout(SOON);
        let builder = if prefix.is_empty() {
            builder
        } else {
            builder.prefix(prefix)
        };
        let (cache, body) = (builder.build().expect("a valid prefix"), Body::gated());
        let calls = calls(&cache, &body);
        body.wait_until_running(3).await;
        let mut said = Vec::new();
        let mut whole = Vec::new();
        for (_, entry) in &calls {
            said.extend(entry.guard_keys().expect("keys").map(|key| key.to_string()));
            whole.push(entry.key().expect("a key"));
        }
        let keys: Vec<_> = whole
            .iter()
            .map(|key| key.strip_prefix(&format!("{prefix}:")).unwrap_or(key))
            .collect();
        invalidate_in_python(&server.url_through(&proxy), prefix, &keys).await;
        let deleted = proxy
            .commands()
            .into_iter()
            .filter(|words| words[0] == "DEL");
        let deleted: Vec<_> = deleted.map(|words| words[1..].join(" ")).collect();
        assert_eq!(deleted, said, "in this order");
        body.open_gate();
        for (call, entry) in calls {
            let answer = within("an answer", SOON, call).await.expect("no panic");
            assert!(answer.is_ok());
            assert_eq!(entry.get().await.expect("redis"), None, "{entry:?}");
        }
        assert_eq!(body.runs(), 3);
    }
}

/// Why there is more to delete than the value.
#[tokio::test]
async fn another_program_that_deletes_the_value_alone_does_not_stop_a_store() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::gated());
    let calls = calls(&cache, &body);
    body.wait_until_running(3).await;
    for (_, entry) in &calls {
        server.cli(&["DEL", &entry.key().expect("a key")]);
    }
    body.open_gate();
    for (call, entry) in calls {
        let answer = within("an answer", SOON, call).await.expect("no panic");
        assert_eq!(entry.get().await.expect("redis"), answer.ok());
    }
}

#[redis_cached(ttl = 300, timeout = "100ms", skip(cache), cache = cache)]
async fn impatient(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(ttl = 300, timeout = Duration::MAX, skip(cache), cache = cache)]
async fn very_patient(cache: &Cache, id: u64) -> u64 {
    id
}

#[tokio::test]
async fn timeout_is_what_the_cache_may_cost() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let hour = Duration::from_secs(3_600);
    let cache = Cache::builder()
        .url(proxy.url())
        .timeout(hour)
        .build()
        .expect("a valid URL");
    let timeouts = || {
        let mut sites = sites().into_iter();
        let site = sites.find(|site| site.function == "impatient");
        site.expect("it was called")
            .stats
            .errors
            .of(ErrorKind::Timeout)
    };
    assert_eq!(impatient(&cache, 1).await, 1);
    let before = timeouts();
    let held = proxy.hold(cache_tests::proxy::named("GET"));
    let start = Instant::now();
    assert_eq!(within("the body", SOON, impatient(&cache, 1)).await, 1);
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(timeouts(), before + 1);
    held.release();
    for cache in [&cache, &cache_tests::in_memory()] {
        for _ in 0..2 {
            assert_eq!(very_patient(cache, 1).await, 1);
        }
        let entry = very_patient_entry(cache, 1);
        assert_eq!(entry.get().await.expect("a cache"), Some(1));
        entry.put(&2).await.expect("a cache");
        entry.invalidate().await.expect("a cache");
    }
}

#[tokio::test]
async fn a_database_is_a_place_of_its_own() {
    let server = RedisServer::start().await;
    let body = Body::new();
    let by_url = patient(&format!("{}3", server.url()));
    let by_setting = Cache::builder().url(server.url()).db(4).timeout(SOON);
    let by_setting = by_setting.build().expect("a valid database");
    for (cache, db, runs) in [(&by_url, "3", 1), (&by_setting, "4", 2)] {
        for _ in 0..2 {
            assert_eq!(get_user(cache, &body, 1).await, Ok(user(1)));
        }
        assert_eq!(body.runs(), runs);
        assert_eq!(server.cli(&["-n", db, "EXISTS", "user:1"]), "1");
        assert_eq!(server.cli(&["-n", "0", "DBSIZE"]), "0");
        let mut connection = cache.connection().expect("a store in redis");
        let keys: usize = redis::cmd("DBSIZE")
            .query_async(&mut connection)
            .await
            .expect("redis");
        assert_eq!(keys, 1, "also for the user's own commands");
    }
}

/// What the README says that an ACL user needs.
const RIGHTS: [&str; 9] = [
    "~shop:*", "+get", "+set", "+del", "+pttl", "+pexpire", "+ping", "+eval", "+evalsha",
];

#[tokio::test]
async fn an_acl_user_needs_no_more_than_this() {
    let server = RedisServer::builder()
        .user("app", "pass:w@rd", &RIGHTS)
        .user("other", "secret", &["~other:*", "+@all"])
        .start()
        .await;
    let build = |user: &str, password: &str| {
        let builder = Cache::builder().url(server.url_as(user, password));
        builder
            .prefix("shop")
            .timeout(SOON)
            .build()
            .expect("a valid URL")
    };
    let cache = build("app", "pass:w@rd");
    let body = Body::new();
    for _ in 0..2 {
        assert_eq!(get_user(&cache, &body, 1).await, Ok(user(1)));
    }
    assert_eq!(body.runs(), 1);
    assert_eq!(server.cli(&["EXISTS", "shop:user:1"]), "1");
    let entry = get_user_entry(&cache, 1);
    assert!(entry.ttl().await.expect("the right to").is_some());
    entry.put(&user(2)).await.expect("the right to");
    entry.refresh(async { user(3) }).await;
    assert_eq!(entry.get().await.expect("the right to"), Some(user(3)));
    entry.invalidate().await.expect("the right to");
    cache.ping().await.expect("the right to");
    let log = cache.stats();
    assert_eq!(log.unfinished_invalidations, 0);

    // Rights to other keys only, and no right at all: the body answers, and the error is no timeout.
    for cache in [build("other", "secret"), build("app", "wrong")] {
        let error = cache.get::<User>("user:1").await.expect_err("no right to");
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        let before = body.runs();
        for n in 1..=2 {
            assert_eq!(get_user(&cache, &body, 1).await, Ok(user(1)));
            assert_eq!(body.runs(), before + n);
        }
    }
    assert_eq!(server.cli(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn in_another_database_than_0_an_acl_user_needs_the_right_to_select_it() {
    let with_select: Vec<&str> = RIGHTS.iter().copied().chain(["+select"]).collect();
    let server = RedisServer::builder()
        .user("without", "secret", &RIGHTS)
        .user("with", "secret", &with_select)
        .start()
        .await;
    let build = |user: &str| {
        let url = server.url_as(user, "secret");
        let builder = Cache::builder().url(format!("{}/2", url.trim_end_matches('/')));
        let builder = builder.prefix("shop").timeout(SOON);
        (builder.build().expect("a valid URL"), Body::new())
    };
    let (cache, body) = build("without");
    let error = cache.ping().await.expect_err("no right to");
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    let named = ["select", "+select", "`REDIS_DB`"];
    let said = error.to_string();
    assert!(named.iter().all(|part| said.contains(part)), "{said}");
    assert_eq!(get_user(&cache, &body, 1).await, Ok(user(1)));

    let (cache, body) = build("with");
    for _ in 0..2 {
        assert_eq!(get_user(&cache, &body, 1).await, Ok(user(1)));
    }
    assert_eq!(body.runs(), 1);
    assert_eq!(server.cli(&["-n", "2", "EXISTS", "shop:user:1"]), "1");
}

#[redis_cached(
    ttl = 300,
    stale_if_error = 300,
    key = "old:{id}",
    skip(cache, body),
    cache = cache
)]
async fn get_old_user(cache: &Cache, body: &Body, id: u64) -> Result<User, String> {
    body.returning(user(id))
        .await
        .map_err(|failed| failed.to_string())
}

#[redis_cached(
    ttl = 300,
    coalesce = "cluster",
    key = "one:{id}",
    skip(cache, body),
    cache = cache
)]
async fn get_user_once(cache: &Cache, body: &Body, id: u64) -> Result<User, String> {
    body.returning(user(id))
        .await
        .map_err(|failed| failed.to_string())
}

#[tokio::test]
async fn values_that_tell_their_age_need_the_right_to_the_servers_time() {
    let with_time: Vec<&str> = RIGHTS.iter().copied().chain(["+time"]).collect();
    let server = RedisServer::builder()
        .user("without", "secret", &RIGHTS)
        .user("with", "secret", &with_time)
        .start()
        .await;
    let build = |user: &str| {
        let builder = Cache::builder().url(server.url_as(user, "secret"));
        builder
            .prefix("shop")
            .timeout(SOON)
            .build()
            .expect("a valid URL")
    };
    // Without it the body answers.
    let (cache, body) = (build("without"), Body::new());
    for runs in 1..=2 {
        assert_eq!(get_old_user(&cache, &body, 1).await, Ok(user(1)));
        assert_eq!(body.runs(), runs);
    }
    assert_eq!(server.cli(&["EXISTS", "shop:old:1"]), "0");
    let site = sites()
        .into_iter()
        .find(|site| site.function == "get_old_user");
    let errors = site.expect("was called").stats.errors;
    assert_eq!(errors.of(ErrorKind::Auth), 2, "{errors}");
    assert_eq!(errors.total(), 2, "{errors}");

    let (cache, body) = (build("with"), Body::new());
    for _ in 0..2 {
        assert_eq!(get_old_user(&cache, &body, 1).await, Ok(user(1)));
    }
    assert_eq!(body.runs(), 1);
}

#[tokio::test]
async fn a_lock_needs_no_further_right_and_with_two_redis_tells_when_it_changes() {
    let told = ["+client|tracking", "+client|caching"];
    let with: Vec<&str> = RIGHTS.iter().copied().chain(told).collect();
    for (rights, counts) in [
        (
            &RIGHTS[..],
            "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1",
        ),
        (&with, "calls=1,"),
    ] {
        let server = RedisServer::builder()
            .user("app", "secret", rights)
            .start()
            .await;
        let builder = Cache::builder().url(server.url_as("app", "secret"));
        let builder = builder.prefix("shop").timeout(SOON);
        let (cache, body) = (builder.build().expect("a valid URL"), Body::new());
        // As another process that computes the value has it.
        let lock = "shop:%l:{shop:one:1}";
        server.cli(&["SET", lock, "another"]);
        let released = async {
            let asked = format!("cmdstat_client|tracking:{counts}");
            eventually("it asks to be told", SOON, async || {
                server.cli(&["INFO", "commandstats"]).contains(&asked)
            })
            .await;
            assert_eq!(body.runs(), 0);
            server.cli(&["DEL", lock]);
        };
        let call = within("a call", SOON, get_user_once(&cache, &body, 1));
        let (got, ()) = tokio::join!(call, released);
        assert_eq!(got, Ok(user(1)));
        assert_eq!(get_user_once(&cache, &body, 1).await, Ok(user(1)));
        assert_eq!(body.runs(), 1);
    }
}

#[tokio::test]
async fn tls_works_with_the_right_ca_and_is_refused_with_another() {
    let server = RedisServer::builder()
        .tls()
        .password("s3cret")
        .start()
        .await;
    let body = Body::new();
    let pem = std::fs::read(server.ca_path()).expect("a file");
    let builder = || Cache::builder().url(server.url()).timeout(SOON);
    let trusted = [
        builder().tls_ca_file(server.ca_path()),
        builder().tls_ca_pem(pem),
    ];
    for (run, builder) in (1..).zip(trusted) {
        let cache = builder.build().expect("a valid certificate");
        cache
            .ping()
            .await
            .expect("the server that the CA signed for");
        get_user_entry(&cache, 1).invalidate().await.expect("redis");
        for _ in 0..2 {
            assert_eq!(get_user(&cache, &body, 1).await, Ok(user(1)));
        }
        assert_eq!(body.runs(), run);
        assert_eq!(server.cli(&["EXISTS", "user:1"]), "1");
    }
    let untrusted = [
        builder().tls_ca_file(server.unrelated_ca_path()),
        // The system's authorities did not sign for it either, if there are any.
        builder(),
    ];
    for (run, builder) in (3..).zip(untrusted) {
        let cache = builder.build().expect("a valid certificate");
        let error = cache.ping().await.expect_err("somebody else's certificate");
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert_eq!(get_user(&cache, &body, 1).await, Ok(user(1)));
        assert_eq!(body.runs(), run, "the body answers");
    }
    // Plain TCP to a TLS server.
    let plain = Cache::builder()
        .url(server.url().replace("rediss", "redis"))
        .timeout(SOON);
    let plain = plain.build().expect("a valid URL");
    let error = plain.ping().await.expect_err("not its protocol");
    assert!(
        matches!(error.kind(), ErrorKind::Connect | ErrorKind::Disconnected),
        "{error}"
    );
}
