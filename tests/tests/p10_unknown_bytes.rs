//! P10: unknown bytes are a miss: counted, overwritten, never an error or a panic. Old and new
//! releases share one Redis safely.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::redis::AsyncCommands;
use cache_runtime::{Cache, ErrorKind, redis_cached, sites};
use cache_tests::{Body, RedisServer, Stores, patient};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    tags: Vec<Option<f64>>,
}

fn user(id: u64) -> User {
    User {
        id,
        name: format!("Zoë {id}"),
        tags: vec![Some(0.5), None],
    }
}

#[redis_cached(ttl = 300, key = "p10:user:{id}", skip(cache, body), cache = cache)]
async fn get_user(cache: &Cache, body: &Body, id: u64) -> User {
    let _ = body.run().await;
    user(id)
}

#[redis_cached(ttl = 300, none_ttl = 300, key = "p10:find:{id}", skip(cache, body), cache = cache)]
async fn find_user(cache: &Cache, body: &Body, id: u64) -> Option<User> {
    let _ = body.run().await;
    Some(user(id))
}

#[redis_cached(ttl = 300, key = "p10:list:{id}", skip(cache, body), cache = cache)]
async fn list(cache: &Cache, body: &Body, id: u64) -> Vec<u64> {
    let _ = body.run().await;
    vec![id]
}

fn errors(function: &str, kind: ErrorKind) -> u64 {
    let site = sites().into_iter().find(|site| site.function == function);
    site.map_or(0, |site| site.stats.errors.of(kind))
}

/// One server, one cache, and what stands under a key before a call.
struct Scene {
    cache: Cache,
    connection: redis::aio::MultiplexedConnection,
    _server: RedisServer,
}

impl Scene {
    async fn set() -> Self {
        let server = RedisServer::start().await;
        Self {
            cache: patient(&server.url()),
            connection: server.connection().await,
            _server: server,
        }
    }

    /// Calls both functions over `stored`: a hit where serde reads it, else a miss that is
    /// overwritten.
    async fn check(&mut self, stored: &[u8]) {
        let shown = String::from_utf8_lossy(stored);
        let json = serde_json::to_vec(&user(1)).expect("JSON");

        let body = Body::new();
        self.connection
            .set::<_, _, ()>("p10:user:1", stored)
            .await
            .expect("SET");
        let value = get_user(&self.cache, &body, 1).await;
        let kept: Vec<u8> = self.connection.get("p10:user:1").await.expect("GET");
        match serde_json::from_slice::<User>(stored) {
            Ok(readable) => {
                assert_eq!((value, body.runs()), (readable, 0), "{shown}");
                assert_eq!(kept, stored);
            }
            Err(_) => {
                assert_eq!((value, body.runs()), (user(1), 1), "{shown}");
                assert_eq!(kept, json, "{shown} is overwritten");
            }
        }

        let body = Body::new();
        self.connection
            .set::<_, _, ()>("p10:find:1", stored)
            .await
            .expect("SET");
        let value = find_user(&self.cache, &body, 1).await;
        let kept: Vec<u8> = self.connection.get("p10:find:1").await.expect("GET");
        match serde_json::from_slice::<Option<User>>(stored) {
            Ok(readable) => assert_eq!((value, body.runs()), (readable, 0), "{shown}"),
            Err(_) if is_none(stored) => assert_eq!((value, body.runs()), (None, 0)),
            Err(_) => {
                assert_eq!((value, body.runs()), (Some(user(1)), 1), "{shown}");
                assert_eq!(kept, json, "{shown} is overwritten");
            }
        }
    }
}

/// A header of this release whose fields end where its payload begins.
fn is_none(stored: &[u8]) -> bool {
    match stored {
        [0xC1, 1, 1, low, high, rest @ ..] => {
            let fields = usize::from(*low) + 256 * usize::from(*high);
            rest.get(fields..) == Some(b"null")
        }
        _ => false,
    }
}

const NONE: &[u8] = b"\xC1\x01\x01\x00\x00null";

#[tokio::test]
async fn p10_random_bytes_are_a_miss() {
    let mut scene = Scene::set().await;
    let mut random = fastrand::Rng::with_seed(10);
    for _ in 0..500 {
        let mut bytes: Vec<u8> = (0..random.usize(..60)).map(|_| random.u8(..)).collect();
        if random.bool() {
            bytes.insert(0, random.choice(*b"\xC1{[\"n0").unwrap_or_default());
        }
        scene.check(&bytes).await;
    }
}

#[tokio::test]
async fn p10_truncated_values_are_a_miss() {
    let mut scene = Scene::set().await;
    let json = serde_json::to_vec(&user(1)).expect("JSON");
    for whole in [&json, NONE] {
        for length in 0..=whole.len() {
            scene.check(&whole[..length]).await;
        }
    }
}

#[tokio::test]
async fn p10_values_with_a_flipped_bit_are_a_miss_or_what_serde_reads() {
    let mut scene = Scene::set().await;
    let json = serde_json::to_vec(&user(1)).expect("JSON");
    for whole in [&json, NONE] {
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            scene.check(&flipped).await;
        }
    }
}

#[tokio::test]
async fn p10_other_types_json_is_a_miss_that_is_counted_and_overwritten() {
    let values = [
        serde_json::json!(null),
        serde_json::json!(7),
        serde_json::json!("text"),
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!({"id": "1", "name": "x", "tags": []}),
        serde_json::json!({"id": -1, "name": "x", "tags": []}),
        serde_json::json!([[[[]]]]),
    ];
    for cache in Stores::start().await.both() {
        for value in &values {
            let ttl = Duration::from_secs(60);
            let body = Body::new();
            cache
                .set_ex("p10:user:7", value, ttl)
                .await
                .expect("a cache that works");
            let before = errors("get_user", ErrorKind::Decode);
            assert_eq!(get_user(cache, &body, 7).await, user(7), "{value}");
            assert!(
                errors("get_user", ErrorKind::Decode) > before,
                "{value} is counted"
            );
            assert_eq!(get_user(cache, &body, 7).await, user(7));
            assert_eq!(body.runs(), 1, "{value} is overwritten");
            assert_eq!(
                cache.get("p10:user:7").await.expect("a cache"),
                Some(user(7))
            );
            // The operations that cannot recompute say that there is nothing of this type.
            cache
                .set_ex("p10:user:7", value, ttl)
                .await
                .expect("a cache that works");
            assert_eq!(
                get_user_entry(cache, 7).get().await.expect("no error"),
                None
            );
            assert_eq!(
                cache.get::<User>("p10:user:7").await.expect("no error"),
                None
            );
        }
    }
}

#[tokio::test]
async fn p10_a_list_a_hash_and_a_set_are_a_miss_that_is_counted_and_overwritten() {
    let server = RedisServer::start().await;
    let cache = patient(&server.url());
    let commands: [&[&str]; 4] = [
        &["RPUSH", "p10:list:1", "a"],
        &["HSET", "p10:list:1", "a", "b"],
        &["SADD", "p10:list:1", "a"],
        &["XADD", "p10:list:1", "*", "a", "b"],
    ];
    for command in commands {
        server.cli(&["DEL", "p10:list:1"]);
        server.cli(command);
        let body = Body::new();
        let before = errors("list", ErrorKind::Server);
        assert_eq!(list(&cache, &body, 1).await, [1], "{command:?}");
        assert_eq!(
            errors("list", ErrorKind::Server),
            before + 1,
            "{command:?} is counted"
        );
        assert_eq!(
            server.cli(&["GET", "p10:list:1"]),
            "[1]",
            "{command:?} is overwritten"
        );
        assert_eq!(list(&cache, &body, 1).await, [1]);
        assert_eq!(body.runs(), 1);
    }
    // Also under the token's key, where only another program can have put it: no token, no store.
    let entry = list_entry(&cache, 2);
    let body = Body::gated();
    let (first, token) = tokio::join!(list(&cache, &body, 2), async {
        body.wait_until_running(1).await;
        let keys = server.cli(&["KEYS", "*p10:list:2*"]);
        body.open_gate();
        keys
    });
    assert_eq!(first, [2]);
    entry.invalidate().await.expect("a cache that works");
    assert_ne!(token, "p10:list:2");
    server.cli(&["RPUSH", &token, "a"]);
    let before = errors("list", ErrorKind::Server);
    for _ in 0..2 {
        assert_eq!(
            list(&cache, &body, 2).await,
            [2],
            "the value is returned all the same"
        );
    }
    assert_eq!(errors("list", ErrorKind::Server), before + 2);
    entry.invalidate().await.expect("a cache that works");
    assert_eq!(list(&cache, &body, 2).await, [2]);
    assert_eq!(
        server.cli(&["GET", "p10:list:2"]),
        "[2]",
        "an invalidation mends it"
    );
}

#[tokio::test]
async fn p10_a_newer_header_is_a_miss_and_an_unknown_field_is_not() {
    let mut scene = Scene::set().await;
    for newer in [
        b"\xC1\x02\x01\x00\x00null".as_slice(), // a later version
        b"\xC1\x01\x03\x00\x00null",            // a flag that this release does not know
        b"\xC1\x01\x00\x00\x00{}",
        b"\xC1",
        b"\xC1\x01",
        b"\xC1\x01\x01\x00",
    ] {
        assert!(!is_none(newer));
        scene.check(newer).await;
    }
    let with_fields = b"\xC1\x01\x01\x03\x00abcnull";
    assert!(is_none(with_fields));
    scene.check(with_fields).await;
}

#[tokio::test]
async fn p10_no_length_or_depth_makes_it_allocate_or_recurse() {
    let mut scene = Scene::set().await;
    scene.check(b"\xC1\x01\x01\xFF\xFFnull").await;
    scene.check(b"\xC1\x01\x01\xFF\xFF").await;
    // Longer than a thread's stack is deep.
    for bracket in [&b"["[..], b"{\"a\":"] {
        scene.check(&bracket.repeat(1_000_000)).await;
    }
    let body = Body::new();
    let deep = b"[".repeat(1_000_000);
    scene
        .connection
        .set::<_, _, ()>("p10:list:9", deep)
        .await
        .expect("SET");
    assert_eq!(list(&scene.cache, &body, 9).await, [9]);
    let any: Option<serde_json::Value> = scene.cache.get("p10:user:1").await.expect("a cache");
    assert!(any.is_some());
}

/// What a later release may write for a value: this one computes, and does not share a wrong one.
#[tokio::test]
async fn p10_two_releases_that_cannot_read_each_other_both_answer() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct NewUser {
        id: u64,
        full_name: String,
    }
    #[redis_cached(ttl = 300, key = "p10:user:{id}", skip(cache, body), cache = cache)]
    async fn get_new_user(cache: &Cache, body: &Body, id: u64) -> NewUser {
        let _ = body.run().await;
        let full_name = "Zoë".to_owned();
        NewUser { id, full_name }
    }
    for cache in Stores::start().await.both() {
        let body = Body::new();
        for run in 1..=3 {
            assert_eq!(get_user(cache, &body, 5).await, user(5));
            assert_eq!(get_new_user(cache, &body, 5).await.full_name, "Zoë");
            assert_eq!(body.runs(), 2 * run);
        }
    }
}
