//! `Cache::clear`: all entries of a cache at once.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{Cache, Entry, ErrorKind, redis_cached};
use cache_tests::body::Failed;
use cache_tests::{Body, RedisServer, Stores, in_memory, patient};

const TTL: Duration = Duration::from_secs(300);

#[redis_cached(ttl = TTL, skip(cache, body), cache = cache)]
async fn plain(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// Keys with a hash tag, whose guards are other keys' than those of [`plain`].
#[redis_cached(
    ttl = TTL, key = "{{tag}}:{id}", skip(cache, body), cache = cache,
    stale_if_error = TTL, coalesce = "cluster"
)]
async fn tagged(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

async fn stored<R: Clone + Send + Sync + 'static>(entry: Entry<R>) -> Option<R> {
    entry.get().await.expect("a store")
}

#[tokio::test]
async fn all_entries_of_the_cache_are_taken_away_and_nobody_elses() {
    let stores = Stores::with(|builder| builder.prefix("shop[*]")).await;
    let other = Cache::builder().url(stores.server.url()).prefix("shop*");
    let other = other.build().expect("a cache");
    let body = Body::new();
    assert_eq!(plain(&other, &body, 1).await, Ok(1));
    stores.server.cli(&["SET", "theirs", "1"]);
    for cache in stores.both() {
        let before = body.runs();
        // More than one step of the scan looks at.
        for id in 0..3 {
            plain(cache, &body, id).await.expect("a body that returns");
            tagged(cache, &body, id).await.expect("a body that returns");
        }
        for id in 0..2_500 {
            let entry = cache.entry::<u64>(&format!("more:{id}"));
            entry.with_ttl(TTL).put(&id).await.expect("a store");
        }
        cache.clear().await.expect("a store");
        assert_eq!(stored(plain_entry(cache, 1)).await, None);
        assert_eq!(stored(tagged_entry(cache, 1)).await, None);
        assert_eq!(stored(cache.entry::<u64>("more:2499")).await, None);
        assert_eq!(plain(cache, &body, 1).await, Ok(before + 7));
    }
    assert_eq!(stored(plain_entry(&other, 1)).await, Some(1));
    let mut keys: Vec<_> = stores
        .server
        .cli(&["KEYS", "*"])
        .lines()
        .map(str::to_owned)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["shop*:clear.plain:1", "shop[*]:clear.plain:1", "theirs"]
    );
}

#[tokio::test]
async fn a_body_that_runs_meanwhile_stores_nothing() {
    for cache in Stores::with(|builder| builder.prefix("shop")).await.both() {
        for which in [plain_entry(cache, 1), tagged_entry(cache, 1)] {
            let body = Body::gated();
            let run = body.clone();
            let call = which.get_or_compute(|| async move { run.run().await });
            let changed = async {
                body.wait_until_begun(1).await;
                cache.clear().await.expect("a store");
                body.open_gate();
            };
            assert_eq!(tokio::join!(call, changed).0, Ok(1));
            assert_eq!(stored(which).await, None);
        }
        let (body, entry) = (Body::gated(), plain_entry(cache, 2));
        let write = body.clone();
        let put = entry.put_with(async move { write.run().await });
        let changed = async {
            body.wait_until_begun(1).await;
            cache.clear().await.expect("a store");
            body.open_gate();
        };
        assert_eq!(tokio::join!(put, changed).0.0, Ok(1));
        assert_eq!(stored(entry).await, None);
    }
}

#[tokio::test]
async fn the_rights_to_store_go_before_any_value() {
    let server = RedisServer::start().await;
    let cache = Cache::builder().url(server.url()).prefix("shop");
    let cache = cache.build().expect("a cache");
    let body = Body::new();
    for id in 0..3 {
        plain(&cache, &body, id).await.expect("a body that returns");
        // As bodies in other processes have them.
        server.cli(&[
            "SET",
            &format!("shop:%t:{{shop:clear.plain:{id}}}"),
            "lease",
        ]);
    }
    let log = server.command_log().await;
    cache.clear().await.expect("a store");
    let lines = log.settled().await;
    let deleted = |what: &str| {
        lines
            .iter()
            .position(|line| line.contains("DEL") && line.contains(what))
    };
    let (rights, values) = (
        deleted("%t:{shop:clear.plain:0}"),
        deleted("\"shop:clear.plain:0\""),
    );
    assert!(rights.is_some() && rights < values, "{lines:#?}");
}

#[redis_cached(ttl = TTL, skip(cache, length), cache = cache)]
async fn text(cache: &Cache, length: usize) -> String {
    "x".repeat(length)
}

#[tokio::test]
async fn a_key_whose_value_was_too_large_is_tried_again() {
    let server = RedisServer::start().await;
    let cache = Cache::builder().url(server.url()).prefix("shop");
    let cache = cache.max_value(50).build().expect("a cache");
    assert_eq!(text(&cache, 100).await.len(), 100);
    assert_eq!(text(&cache, 10).await.len(), 10);
    assert_eq!(stored(text_entry(&cache)).await, None);
    cache.clear().await.expect("a store");
    assert_eq!(text(&cache, 10).await.len(), 10);
    assert_eq!(
        stored(text_entry(&cache)).await.map(|text| text.len()),
        Some(10)
    );
}

#[tokio::test]
async fn a_redis_without_a_prefix_is_not_cleared() {
    let server = RedisServer::start().await;
    let cache = patient(&server.url());
    let body = Body::new();
    assert_eq!(plain(&cache, &body, 1).await, Ok(1));
    let refused = cache.clear().await.expect_err("no prefix");
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(
        refused.to_string().contains("REDIS_KEY_PREFIX"),
        "{refused}"
    );
    assert_eq!(plain(&cache, &body, 1).await, Ok(1));
    server.kill();
    let cache = Cache::builder().url(server.url()).prefix("shop").build();
    cache
        .expect("a cache")
        .clear()
        .await
        .expect_err("a server that is away");
    let own = in_memory();
    assert_eq!(plain(&own, &body, 1).await, Ok(2));
    own.clear()
        .await
        .expect("all values there are the cache's own");
    assert_eq!(plain(&own, &body, 1).await, Ok(3));
    Cache::off().clear().await.expect("nothing to do");
}
