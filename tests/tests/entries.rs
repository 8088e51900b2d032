//! Every operation of `Entry` and `Cache`, on both stores.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::redis::AsyncCommands;
use cache_runtime::{
    BreakerState, Cache, CacheControl, Entry, ErrorKind, Outcome, Source, StoreStats, get_cache,
    redis_cached, set_cache, sites,
};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{
    Body, Proxy, RedisServer, Stores, at_every_poll, eventually, in_memory, patient,
    poll_n_then_drop,
};

const MINUTE: Duration = Duration::from_secs(60);

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn plain(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn fallible(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn optional(cache: &Cache, body: &Body, id: u64) -> Option<u64> {
    let run = body.run().await.expect("a body that returns");
    (id < 10).then_some(run)
}

#[redis_cached(ttl = 300, none_ttl = 120, skip(cache, body), cache = cache)]
async fn both(cache: &Cache, body: &Body, id: u64) -> Result<Option<u64>, Failed> {
    let run = body.run().await?;
    Ok((id < 10).then_some(run))
}

#[track_caller]
fn assert_lives<R>(entry: &Entry<R>, left: Option<Duration>, ttl: Duration) {
    let left = left.unwrap_or_else(|| panic!("{entry:?} is not there"));
    assert!(left <= ttl && left + SOON > ttl, "{left:?} of {ttl:?}");
}

#[tokio::test]
async fn an_entry_is_what_its_function_reads_and_writes() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = plain_entry(cache, 1);
        assert_eq!(&*entry.key().expect("a key"), "entries.plain:1");
        assert_eq!(entry.get().await.expect("a cache"), None);
        assert_eq!(entry.ttl().await.expect("a cache"), None);
        assert_eq!(plain(cache, &body, 1).await, 1);
        assert_eq!(entry.get().await.expect("a cache"), Some(1));
        assert_lives(&entry, entry.ttl().await.expect("a cache"), 5 * MINUTE);

        entry.put(&7).await.expect("a cache");
        assert_eq!(entry.get().await.expect("a cache"), Some(7));
        assert_eq!(plain(cache, &body, 1).await, 7);
        assert_lives(&entry, entry.ttl().await.expect("a cache"), 5 * MINUTE);

        entry.invalidate().await.expect("a cache");
        entry.invalidate().await.expect("also where nothing is");
        assert_eq!(entry.get().await.expect("a cache"), None);
        assert_eq!(plain(cache, &body, 1).await, 2);
        assert_eq!(
            plain(cache, &body, 2).await,
            3,
            "another key is another entry"
        );
        assert_eq!(plain_entry(cache, 2).get().await.expect("a cache"), Some(3));
        assert_eq!(body.runs(), 3);
    }
}

/// What another program stored may have no expiry.
#[tokio::test]
async fn what_lives_until_somebody_deletes_it_has_no_ttl_and_is_a_value() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    let entry = plain_entry(&cache, 1);
    server.cli(&["SET", &entry.key().expect("a key"), "7"]);
    assert_eq!(entry.ttl().await.expect("redis"), None);
    assert_eq!(entry.get().await.expect("redis"), Some(7));
    let outcome = Outcome::of(plain(&cache, &body, 1)).await;
    assert_eq!((outcome.value, outcome.source), (7, Source::Hit));
    assert_eq!((outcome.age, outcome.ttl), (None, None));
}

#[tokio::test]
async fn refresh_runs_now_and_stores() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = plain_entry(cache, 1);
        assert_eq!(plain(cache, &body, 1).await, 1);
        assert_eq!(entry.refresh(plain_uncached(cache, &body, 1)).await, 2);
        assert_eq!(plain(cache, &body, 1).await, 2);
        let entry = fallible_entry(cache, 1);
        assert_eq!(
            entry.refresh(fallible_uncached(cache, &body, 1)).await,
            Ok(3)
        );
        body.fail_next(1);
        let failed = entry.refresh(fallible_uncached(cache, &body, 1)).await;
        assert_eq!(failed, Err(Failed { run: 4 }));
        assert_eq!(
            fallible(cache, &body, 1).await,
            Ok(3),
            "an error takes nothing away"
        );
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test]
async fn get_or_compute_answers_as_the_function_does() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = plain_entry(cache, 1);
        for _ in 0..2 {
            let value = entry
                .get_or_compute(|| plain_uncached(cache, &body, 1))
                .await;
            assert_eq!(value, 1);
        }
        assert_eq!(plain(cache, &body, 1).await, 1);
        let entry = fallible_entry(cache, 1);
        body.fail_next(1);
        let failed = entry
            .get_or_compute(|| fallible_uncached(cache, &body, 1))
            .await;
        assert_eq!(failed, Err(Failed { run: 2 }));
        let entry = fallible_entry(cache, 2);
        let value = entry
            .get_or_compute(|| fallible_uncached(cache, &body, 2))
            .await;
        assert_eq!(value, Ok(3));
        assert_eq!(fallible(cache, &body, 2).await, Ok(3));
        // With a body of its own, which need not be the function's.
        let entry = plain_entry(cache, 5);
        assert_eq!(entry.get_or_compute(|| async { 99 }).await, 99);
        assert_eq!(plain(cache, &body, 5).await, 99);
    }
}

/// A failed body gives its token back behind its caller's back. A body that begins meanwhile may share that
/// token and lose it, so its value is returned but not stored; from the next one on it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_success_after_a_failure_is_stored() {
    let stores = Stores::start().await;
    for cache in stores.both() {
        let body = Body::new();
        for id in 0..50 {
            body.fail_next(1);
            fallible(cache, &body, id)
                .await
                .expect_err("as it was told");
            eventually("the token to be given back", SOON, async || {
                stores.server.cli(&["KEYS", "*%t*"]).is_empty()
            })
            .await;
            let value = fallible(cache, &body, id).await;
            assert_eq!(fallible(cache, &body, id).await, value);
        }
    }
}

#[tokio::test]
async fn get_or_compute_waits_for_the_functions_body() {
    for cache in Stores::start().await.both() {
        let body = Body::gated();
        let entry = plain_entry(cache, 1);
        let computed = async {
            body.wait_until_running(1).await;
            let wait = entry.get_or_compute(|| async { panic!("somebody else computes") });
            let open = async {
                eventually("it to wait", SOON, async || cache.stats().waiting == 1).await;
                body.open_gate();
            };
            tokio::join!(wait, open).0
        };
        assert_eq!(tokio::join!(plain(cache, &body, 1), computed), (1, 1));
    }
}

#[tokio::test]
async fn the_entry_of_an_option_tells_none_from_nothing() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = optional_entry(cache, 1);
        assert_eq!(entry.get().await.expect("a cache"), None);
        assert_eq!(optional(cache, &body, 1).await, Some(1));
        assert_eq!(entry.get().await.expect("a cache"), Some(Some(1)));
        entry.put(&None).await.expect("a cache");
        assert_eq!(entry.get().await.expect("a cache"), Some(None));
        assert_eq!(
            optional(cache, &body, 1).await,
            None,
            "what was put is served"
        );
        assert_lives(&entry, entry.ttl().await.expect("a cache"), 5 * MINUTE);
        entry.put(&Some(7)).await.expect("a cache");
        assert_eq!(optional(cache, &body, 1).await, Some(7));
        let nothing = optional_entry(cache, 99);
        assert_eq!(optional(cache, &body, 99).await, None);
        assert_eq!(
            nothing.get().await.expect("a cache"),
            None,
            "by default it is not stored"
        );
        let refreshed = entry.refresh(async { None }).await;
        assert_eq!(refreshed, None);

        let entry = both_entry(cache, 99);
        assert_eq!(both(cache, &body, 99).await, Ok(None));
        assert_eq!(entry.get().await.expect("a cache"), Some(None));
        assert_lives(&entry, entry.ttl().await.expect("a cache"), 2 * MINUTE);
        let runs = body.runs();
        assert_eq!(both(cache, &body, 99).await, Ok(None));
        assert_eq!(body.runs(), runs);
        entry.put(&None).await.expect("a cache");
        assert_lives(&entry, entry.ttl().await.expect("a cache"), 2 * MINUTE);
        let computed = entry
            .get_or_compute(|| both_uncached(cache, &body, 99))
            .await;
        assert_eq!(computed, Ok(None));
        entry.invalidate().await.expect("a cache");
        assert_eq!(entry.get().await.expect("a cache"), None);
    }
}

#[tokio::test]
async fn with_ttl_takes_the_place_of_the_attributes() {
    for cache in Stores::start().await.both() {
        let entry = plain_entry(cache, 1).with_ttl(MINUTE);
        entry.put(&1).await.expect("a cache");
        assert_lives(&entry, entry.ttl().await.expect("a cache"), MINUTE);
        entry.invalidate().await.expect("a cache");
        entry.get_or_compute(|| async { 2 }).await;
        assert_lives(&entry, entry.ttl().await.expect("a cache"), MINUTE);
        let longer = plain_entry(cache, 1).with_ttl(60 * MINUTE);
        longer.refresh(async { 3 }).await;
        assert_lives(&entry, entry.ttl().await.expect("a cache"), 60 * MINUTE);
        let nothing = plain_entry(cache, 2).with_ttl(Duration::ZERO);
        let error = nothing.put(&1).await.expect_err("no ttl");
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert_eq!(nothing.get_or_compute(|| async { 4 }).await, 4);
        assert_eq!(nothing.get().await.expect("a cache"), None);
        let ever = plain_entry(cache, 3).with_ttl(Duration::MAX);
        ever.put(&1).await.expect("a cache");
        assert_eq!(ever.get().await.expect("a cache"), Some(1));
    }
}

#[tokio::test]
async fn an_expired_entry_is_computed_again() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = plain_entry(cache, 1).with_ttl(Duration::from_millis(30));
        entry.put(&7).await.expect("a cache");
        eventually("it to expire", SOON, async || {
            entry.get().await.expect("a cache").is_none()
        })
        .await;
        assert_eq!(entry.ttl().await.expect("a cache"), None);
        assert_eq!(plain(cache, &body, 1).await, 1);
    }
}

#[tokio::test]
async fn a_put_says_its_value_before_it_is_awaited() {
    for cache in Stores::start().await.both() {
        let mut value = vec![1];
        let entry = cache.entry::<Vec<u8>>("list").with_ttl(MINUTE);
        let put = entry.put(&value);
        value.push(2);
        drop(value);
        drop(entry);
        assert_eq!(cache.get::<Vec<u8>>("list").await.expect("a cache"), None);
        put.await.expect("a cache");
        assert_eq!(cache.get("list").await.expect("a cache"), Some(vec![1]));
    }
}

#[tokio::test]
async fn a_named_entry_has_all_operations_and_no_ttl() {
    for cache in Stores::start().await.both() {
        let entry = cache.entry::<String>("greeting");
        assert_eq!(&*entry.key().expect("a key"), "greeting");
        let error = entry.put(&"hello".to_owned()).await.expect_err("no ttl");
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.to_string().contains("with_ttl"), "{error}");
        assert_eq!(entry.get_or_compute(|| async { "a".to_owned() }).await, "a");
        assert_eq!(entry.get().await.expect("a cache"), None);

        let entry = entry.with_ttl(MINUTE);
        let failed: Result<String, &str> = entry.get_or_compute(|| async { Err("no") }).await;
        assert_eq!(failed, Err("no"));
        assert_eq!(entry.get_or_compute(|| async { "b".to_owned() }).await, "b");
        assert_eq!(entry.refresh(async { "c".to_owned() }).await, "c");
        entry.put(&"d".to_owned()).await.expect("a cache");
        assert_eq!(entry.get().await.expect("a cache").as_deref(), Some("d"));
        assert_lives(&entry, entry.ttl().await.expect("a cache"), MINUTE);
        entry.invalidate().await.expect("a cache");
        assert_eq!(entry.get().await.expect("a cache"), None);

        // The same entry as the function's, by its name.
        let body = Body::new();
        plain(cache, &body, 1).await;
        let named = cache.entry::<u64>("entries.plain:1");
        assert_eq!(named.get().await.expect("a cache"), Some(1));
        named.invalidate().await.expect("a cache");
        assert_eq!(plain(cache, &body, 1).await, 2);
    }
}

#[tokio::test]
async fn a_bad_key_is_an_error() {
    for cache in Stores::start().await.both() {
        for key in ["", "%t:{a}", "a%l", "a b", "100%"] {
            let error = cache.get::<u64>(key).await.expect_err(key);
            assert_eq!(error.kind(), ErrorKind::Key, "{key}: {error}");
            let error = cache.set_ex(key, &1, MINUTE).await.expect_err(key);
            assert_eq!(error.kind(), ErrorKind::Key);
            let error = cache.delete(key).await.expect_err(key);
            assert_eq!(error.kind(), ErrorKind::Key);
            let computed = cache
                .entry::<u64>(key)
                .with_ttl(MINUTE)
                .get_or_compute(|| async { 1 })
                .await;
            assert_eq!(computed, 1, "a computation needs no key");
        }
    }
}

#[tokio::test]
async fn typed_operations_of_a_cache() {
    for cache in Stores::start().await.both() {
        assert_eq!(cache.get::<u64>("n").await.expect("a cache"), None);
        cache.set_ex("n", &1_u64, MINUTE).await.expect("a cache");
        assert_eq!(cache.get::<u64>("n").await.expect("a cache"), Some(1));
        assert_eq!(
            cache.get::<String>("n").await.expect("a cache"),
            None,
            "another type"
        );
        assert_eq!(
            cache.get::<f64>("n").await.expect("a cache"),
            Some(1.0),
            "the same JSON"
        );
        cache.delete("n").await.expect("a cache");
        assert_eq!(cache.get::<u64>("n").await.expect("a cache"), None);
        let error = cache
            .set_ex("n", &1_u64, Duration::ZERO)
            .await
            .expect_err("no ttl");
        assert_eq!(error.kind(), ErrorKind::Encode);
        cache.ping().await.expect("a cache");
        let clone = cache.clone();
        clone.set_ex("m", &2_u64, MINUTE).await.expect("a cache");
        assert_eq!(
            cache.get::<u64>("m").await.expect("a cache"),
            Some(2),
            "a handle on the same"
        );
    }
}

#[tokio::test]
async fn a_connection_takes_every_other_command_and_outlives_reconnects() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = patient(&proxy.url());
    let mut connection = cache.connection().expect("a store in redis");
    let length: usize = connection.rpush("jobs", &["a", "b"]).await.expect("redis");
    assert_eq!(length, 2);
    let mut pipeline = redis::pipe();
    pipeline.atomic().incr("n", 1).incr("n", 2);
    let both: (i64, i64) = pipeline.query_async(&mut connection).await.expect("redis");
    assert_eq!(both, (1, 3));
    proxy.reset();
    eventually("it to work again", SOON, async || {
        connection
            .llen::<_, usize>("jobs")
            .await
            .is_ok_and(|length| length == 2)
    })
    .await;
    let error = in_memory().connection().expect_err("no connection");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("REDIS_URL"), "{error}");
}

#[tokio::test]
async fn stats_and_sites_tell_what_happened() {
    #[redis_cached(ttl = "5m", namespace = "counted", skip(cache, body), cache = cache)]
    async fn counted(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
        let _ = id;
        body.run().await
    }
    let site = || {
        let found = sites().into_iter().find(|site| site.function == "counted");
        found.expect("it was called")
    };
    let stores = Stores::start().await;
    let body = Body::new();
    for (round, cache) in (1..).zip(stores.both()) {
        counted(cache, &body, 1).await.expect("a body that returns");
        counted(cache, &body, 1).await.expect("a hit");
        body.fail_next(1);
        counted(cache, &body, 2).await.expect_err("as it was told");
        let site = site();
        assert_eq!(site.namespace.as_deref(), Some("counted"));
        assert_eq!((site.ttl, site.file.ends_with("entries.rs")), ("5m", true));
        let stats = site.stats;
        assert_eq!((stats.hits, stats.misses), (round, 2 * round), "{stats:?}");
        assert_eq!(
            (stats.body_runs, stats.coalesced, stats.bypassed),
            (2 * round, 0, 0)
        );
        assert_eq!(stats.errors.total(), 0, "{stats:?}");
        assert!(stats.time_in_body > Duration::ZERO);
    }
    assert!(site().stats.time_in_store > Duration::ZERO);
    let listed = stores.redis.stats().sites;
    assert!(listed.iter().any(|site| site.function == "counted"));
    match stores.redis.stats().store {
        StoreStats::Redis {
            connections,
            breaker,
            breaker_opened,
            ..
        } => {
            assert_eq!(
                (connections, breaker, breaker_opened),
                (1, BreakerState::Closed, 0)
            );
        }
        other => panic!("not redis: {other:?}"),
    }
    match stores.memory.stats().store {
        StoreStats::Memory { entries, .. } => assert_eq!(entries, 1),
        other => panic!("not in process: {other:?}"),
    }
}

#[tokio::test]
async fn the_global_cache_is_what_was_set() {
    #[redis_cached(ttl = 300, skip(body))]
    async fn global(body: &Body, id: u64) -> u64 {
        let _ = id;
        body.run().await.expect("a body that returns")
    }
    let server = RedisServer::start().await;
    let body = Body::new();
    let entry = global_entry(1);
    set_cache(patient(&server.url()));
    assert_eq!(global(&body, 1).await, 1);
    assert_eq!(global(&body, 1).await, 1);
    let key = entry.key().expect("a key");
    assert_eq!(server.cli(&["GET", &key]), "1");
    let cache = get_cache().await.expect("it was set");
    assert_eq!(cache.get::<u64>(&key).await.expect("redis"), Some(1));
    let previous = set_cache(in_memory()).expect("there was one");
    assert_eq!(
        entry.get().await.expect("a cache"),
        None,
        "the cache is found at each operation"
    );
    assert_eq!(global(&body, 1).await, 2);
    assert_eq!(previous.get::<u64>(&key).await.expect("redis"), Some(1));
}

#[tokio::test]
async fn after_shutdown_bodies_run_and_operations_say_so() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let entry = plain_entry(cache, 1);
        plain(cache, &body, 1).await;
        cache.shutdown().await.expect("nothing is left over");
        cache.shutdown().await.expect("once more");
        assert_eq!(plain(cache, &body, 1).await, 2);
        assert_eq!(entry.get_or_compute(|| async { 7 }).await, 7);
        assert_eq!(entry.refresh(async { 8 }).await, 8);
        for kind in [
            entry.get().await.expect_err("shut down").kind(),
            entry.put(&1).await.expect_err("shut down").kind(),
            entry.invalidate().await.expect_err("shut down").kind(),
            entry.ttl().await.expect_err("shut down").kind(),
            cache.delete("x").await.expect_err("shut down").kind(),
        ] {
            assert_eq!(kind, ErrorKind::Unavailable);
        }
        if let StoreStats::Redis { connections, .. } = cache.stats().store {
            assert_eq!(connections, 0);
        }
    }
}

/// An invalidation that Redis did not confirm is made up for, whatever the entry knows of ttls.
#[tokio::test]
async fn a_failed_invalidation_is_remembered_also_without_a_ttl() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let builder = Cache::builder()
        .url(proxy.url())
        .timeout(Duration::from_millis(300));
    let cache = builder.build().expect("a valid URL");
    eventually("a connection", SOON, async || cache.ping().await.is_ok()).await;
    server.cli(&["SET", "stale", "1"]);
    let held = proxy.hold(cache_tests::proxy::named("DEL"));
    let error = cache.delete("stale").await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(cache.stats().unfinished_invalidations, 1);
    // The command is lost, as a network may lose it; only this process knows of it.
    held.reset();
    eventually("a read that knows", SOON, async || {
        match cache.get::<u64>("stale").await {
            Ok(value) => {
                assert_eq!(value, None, "not before it is deleted");
                true
            }
            Err(_) => false,
        }
    })
    .await;
    eventually("it to be made up for", SOON, async || {
        cache.stats().unfinished_invalidations == 0
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_dropped_counts_its_time_in_the_store() {
    #[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
    async fn given_up(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
        let _ = id;
        body.run().await
    }
    let in_store = || {
        let site = sites().into_iter().find(|site| site.function == "given_up");
        site.map_or(Duration::ZERO, |site| site.stats.time_in_store)
    };
    let server = RedisServer::start().await;
    let cache = patient(&server.url());
    let body = Body::gated();
    tokio::select! {
        biased;
        _ = given_up(&cache, &body, 0) => unreachable!("its body waits"),
        () = body.wait_until_running(1) => {}
    }
    assert!(in_store() > Duration::ZERO, "in its body");
    at_every_poll(async |n| {
        let (body, before) = (Body::new(), in_store());
        let call = given_up(&cache, &body, n as u64);
        let answer = poll_n_then_drop(call, n).await;
        assert!(body.runs() == 0 || in_store() > before, "at poll {n}");
        answer
    })
    .await
    .1
    .expect("a body that returns");
}

#[tokio::test]
async fn an_outcome_speaks_of_the_first_call_also_where_that_goes_round_the_cache() {
    let (cache, body) = (in_memory(), Body::new());
    plain(&cache, &body, 1).await;
    let both = async {
        let first = CacheControl::NoStore.scope(plain(&cache, &body, 1)).await;
        (first, plain(&cache, &body, 1).await)
    };
    let outcome = Outcome::of(both).await;
    assert_eq!(outcome.value, (2, 1));
    assert_eq!((outcome.source, outcome.key), (Source::Bypass, None));
}
