//! A cache that is off: every call runs its own body, and every operation has an answer.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::CacheControl::{NoCache, NoStore};
use cache_runtime::{
    Cache, Entry, ErrorKind, Outcome, SiteStats, Source, StoreStats, get_cache, only_if_cached,
    redis_cached, sites,
};
use cache_tests::body::Failed;
use cache_tests::child::{self, Child};
use cache_tests::{Body, Logs, Proxy, RedisServer};
use serde::{Deserialize, Serialize, Serializer};

const TTL: Duration = Duration::from_secs(300);

#[redis_cached(ttl = TTL, key = "off:{id}", skip(cache, body), cache = cache)]
async fn plain(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// Two functions with all that needs a stored value, a background or a lock.
macro_rules! with_all {
    ($($name:ident)*) => {$(
        #[redis_cached(
            ttl = TTL, none_ttl = TTL, skip(cache, body), cache = cache, stale_while_revalidate = TTL,
            stale_if_error = TTL * 2, refresh_ahead = 0.5, soft_timeout = TTL, jitter = 0.1,
            coalesce = "cluster"
        )]
        async fn $name(cache: &Cache, body: &Body, id: u64) -> Result<Option<u64>, Failed> {
            body.run().await.map(Some)
        }
    )*};
}

with_all! { counted_with_all uncounted_with_all }

/// What happened to a function's calls in the cache.
fn in_cache(cache: &Cache, function: &str) -> SiteStats {
    let mut sites = cache.stats().sites.into_iter();
    let site = sites.find(|site| site.function == function);
    site.expect("the function was called").stats
}

fn assert_idle(cache: &Cache) {
    let stats = cache.stats();
    assert!(matches!(stats.store, StoreStats::Off), "{stats:?}");
    let counts = (stats.flights, stats.waiting, stats.reads);
    assert_eq!(counts, (0, 0, 0), "{stats:?}");
    assert_eq!(stats.unfinished_invalidations, 0, "{stats:?}");
}

#[tokio::test]
async fn each_call_runs_its_own_body_and_counts_as_bypassed() {
    #[redis_cached(ttl = TTL, skip(cache, body), cache = cache)]
    async fn counted(cache: &Cache, body: &Body) -> Result<u64, Failed> {
        body.run().await
    }
    let (cache, body) = (Cache::off(), Body::new());
    for run in 1..=3 {
        assert_eq!(counted(&cache, &body).await, Ok(run));
    }
    body.fail_next(1);
    assert_eq!(counted(&cache, &body).await, Err(Failed { run: 4 }));
    let other = Body::new();
    for run in 1..=3 {
        assert_eq!(counted_with_all(&cache, &other, 1).await, Ok(Some(run)));
    }
    other.fail_next(1);
    let failed = counted_with_all(&cache, &other, 1).await;
    assert_eq!(failed, Err(Failed { run: 4 }));
    for function in ["counted", "counted_with_all"] {
        let stats = in_cache(&cache, function);
        assert_eq!((stats.bypassed, stats.body_runs), (4, 4), "{stats:?}");
        assert_eq!((stats.hits, stats.stale, stats.misses), (0, 0, 0));
        assert_eq!((stats.coalesced, stats.background_runs), (0, 0));
        assert_eq!(stats.errors.total(), 0, "{stats:?}");
        assert_eq!(stats.time_in_store, Duration::ZERO);
    }
    assert_idle(&cache);
}

#[tokio::test]
async fn calls_of_one_key_at_one_moment_run_side_by_side() {
    const CALLS: u64 = 8;
    let (cache, body) = (Cache::off(), Body::gated());
    let calls: Vec<_> = (0..CALLS)
        .map(|n| {
            let (cache, body) = (cache.clone(), body.clone());
            tokio::spawn(async move {
                match n % 2 {
                    0 => plain(&cache, &body, 1).await,
                    _ => plain_entry(&cache, 1).get_or_compute(|| body.run()).await,
                }
            })
        })
        .collect();
    // None of them ends before all have begun, so none waits for another.
    body.wait_until_running(CALLS as usize).await;
    assert_idle(&cache);
    body.open_gate();
    let mut runs = vec![];
    for call in calls {
        runs.push(call.await.expect("no panic").expect("a body that returns"));
    }
    runs.sort_unstable();
    assert_eq!(runs, (1..=CALLS).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_asked_of_one_call_is_answered_as_where_nothing_is_stored() {
    let (cache, body) = (Cache::off(), Body::new());
    assert_eq!(NoCache.scope(plain(&cache, &body, 1)).await, Ok(1));
    assert_eq!(NoStore.scope(plain(&cache, &body, 1)).await, Ok(2));
    assert_eq!(only_if_cached(plain(&cache, &body, 1)).await, None);
    assert_eq!(
        only_if_cached(uncounted_with_all(&cache, &body, 1)).await,
        None
    );
    assert_eq!(body.runs(), 2);
    let outcome = Outcome::of(plain(&cache, &body, 1)).await;
    assert_eq!((outcome.value, outcome.source), (Ok(3), Source::Bypass));
    assert_eq!((outcome.tier, outcome.age), (None, None));
    assert_eq!((outcome.ttl, outcome.key), (None, None));
}

#[tokio::test]
async fn a_body_that_asks_for_its_own_key_runs_as_without_a_cache() {
    #[redis_cached(ttl = 60, skip(cache, depth), cache = cache)]
    async fn nested(cache: &Cache, depth: u64) -> u64 {
        match depth {
            0 => 0,
            depth => 1 + Box::pin(nested(cache, depth - 1)).await,
        }
    }
    let cache = Cache::off();
    assert_eq!(nested(&cache, 5).await, 5);
    assert_eq!(nested(&cache, 5).await, 5);
    let stats = in_cache(&cache, "nested");
    assert_eq!((stats.bypassed, stats.body_runs), (12, 12), "{stats:?}");
}

#[test]
fn a_call_outside_of_a_runtime_runs_its_body() {
    let (cache, body) = (Cache::off(), Body::new());
    for run in 1..=2 {
        let call = std::pin::pin!(plain(&cache, &body, 1));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(call.poll(&mut context), std::task::Poll::Ready(Ok(run)));
    }
}

/// A value that nobody can encode.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Mute;

impl Serialize for Mute {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

/// Every operation of an entry; `ran` is the number of the next run of `body`.
async fn every_operation(entry: &Entry<u64>, body: &Body) {
    let mut ran = body.runs();
    assert_eq!(entry.get().await.expect("nothing is asked"), None);
    assert_eq!(entry.ttl().await.expect("nothing is asked"), None);
    entry.put(&7).await.expect("it does nothing");
    assert_eq!(entry.get().await.expect("nothing is asked"), None);
    assert_eq!(entry.ttl().await.expect("nothing is asked"), None);
    let (written, cached) = entry.put_with(async { Ok::<_, Failed>(8) }).await;
    assert_eq!(written, Ok(8));
    cached.expect("it does nothing");
    let (written, cached) = entry.put_with(async { Err(Failed { run: 0 }) }).await;
    assert_eq!(written, Err(Failed { run: 0 }));
    cached.expect("it does nothing");
    entry.invalidate().await.expect("it does nothing");
    entry.invalidate_logged().await;
    for _ in 0..2 {
        ran += 1;
        assert_eq!(entry.get_or_compute(|| body.run()).await, Ok(ran));
        ran += 1;
        assert_eq!(entry.refresh(body.run()).await, Ok(ran));
    }
    assert_eq!(entry.get().await.expect("nothing is asked"), None);
    assert_eq!(body.runs(), ran);
}

/// Every operation of a cache, but for its shutdown.
async fn every_operation_of(cache: &Cache) {
    cache.ping().await.expect("nobody is asked");
    cache.set_ex("a", &1, TTL).await.expect("it does nothing");
    assert_eq!(cache.get::<u64>("a").await.expect("nothing is asked"), None);
    cache.delete("a").await.expect("it does nothing");
    let error = cache.connection().expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("the cache is off"), "{error}");
    assert!(format!("{cache:?}").contains("store: \"off\""), "{cache:?}");
    assert_idle(cache);
}

#[tokio::test]
async fn every_operation_has_an_answer_and_a_shutdown_changes_none() {
    #[redis_cached(ttl = TTL, skip(cache, body), cache = cache)]
    async fn operated(cache: &Cache, body: &Body) -> Result<u64, Failed> {
        body.run().await
    }
    let (cache, body) = (Cache::off(), Body::new());
    for shutdowns in 0..3 {
        every_operation_of(&cache).await;
        every_operation(&operated_entry(&cache), &body).await;
        every_operation(&cache.entry("b"), &body).await;
        every_operation(&cache.entry("b").with_ttl(TTL), &body).await;
        let runs = body.runs();
        assert_eq!(operated(&cache, &body).await, Ok(runs + 1), "{shutdowns}");
        cache.shutdown().await.expect("there is nothing to end");
    }
    assert_eq!(in_cache(&cache, "operated").errors.total(), 0);
}

#[tokio::test]
async fn nothing_is_encoded() {
    let cache = Cache::off();
    let entry = cache.entry::<Mute>("mute").with_ttl(TTL);
    entry.put(&Mute).await.expect("it does nothing");
    let (Mute, cached) = entry.put_with(async { Mute }).await;
    cached.expect("it does nothing");
    assert_eq!(entry.refresh(async { Mute }).await, Mute);
}

#[tokio::test]
async fn keys_are_those_of_a_cache_that_is_on_and_what_cannot_be_one_stays_an_error() {
    let cache = Cache::off();
    let on = cache_tests::in_memory();
    let entry = plain_entry(&cache, 1);
    let of_on = plain_entry(&on, 1);
    assert_eq!(entry.key().expect("a key"), of_on.key().expect("a key"));
    assert_eq!(
        entry.guard_keys().expect("keys"),
        of_on.guard_keys().expect("keys")
    );
    let entry = cache.entry::<u64>("no key");
    let kind = |result: Result<(), cache_runtime::Error>| result.expect_err("no key").kind();
    assert_eq!(kind(entry.key().map(drop)), ErrorKind::Key);
    assert_eq!(kind(entry.get().await.map(drop)), ErrorKind::Key);
    assert_eq!(kind(entry.ttl().await.map(drop)), ErrorKind::Key);
    assert_eq!(kind(entry.put(&1).await), ErrorKind::Key);
    assert_eq!(kind(entry.put_with(async { 1 }).await.1), ErrorKind::Key);
    assert_eq!(kind(entry.invalidate().await), ErrorKind::Key);
    assert_eq!(entry.get_or_compute(async || 1).await, 1);
    assert_eq!(entry.refresh(async { 2 }).await, 2);
}

#[redis_cached(ttl = TTL, key = "off-in-the-environment:{id}", skip(body))]
async fn global(body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// The child of the test below.
#[test]
fn uses_the_global_cache() {
    if child::role().is_none() {
        return;
    }
    let logs = Logs::global();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let body = Body::new();
        for run in 1..=3 {
            assert_eq!(global(&body, 1).await, Ok(run));
        }
        let cache = get_cache().await.expect("settings in order");
        every_operation_of(&cache).await;
        every_operation(&global_entry(1), &body).await;
        let key = global_entry(1).key().expect("a key");
        assert_eq!(&*key, "shop:off-in-the-environment:1");
        let site = sites().into_iter().find(|site| site.function == "global");
        let stats = site.expect("it was called").stats;
        assert_eq!((stats.bypassed, stats.hits, stats.misses), (7, 0, 0));
        assert_eq!(stats.errors.total(), 0, "{stats:?}");

        child::tell(&logs.text());
        child::tell("a cache of one's own");
        let own = Cache::builder().from_env().in_memory().build();
        every_operation_of(&own.expect("settings in order")).await;
        let own = Cache::builder().in_memory().build();
        let own = own.expect("settings in order");
        own.set_ex("a", &1, TTL)
            .await
            .expect("the environment is not asked");
        assert_eq!(own.get::<u64>("a").await.expect("a store"), Some(1));
        child::tell(&logs.text());
    });
}

#[tokio::test]
async fn the_environment_turns_the_cache_off_and_one_line_says_so() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let child = Child::of_test("uses_the_global_cache")
        .env("REDIS_CACHE", "off")
        .env("REDIS_URL", proxy.url())
        .env("REDIS_KEY_PREFIX", "shop");
    let ended = child.run();
    ended.assert_passed();
    assert_eq!(proxy.connections(), 0, "nobody asks the server");
    let text = ended.text();
    let said = |text: &str| {
        let lines = text.lines().filter(|line| line.contains("REDIS_CACHE"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (global, own) = text.split_once("a cache of one's own").expect("both parts");
    let told = said(global);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("INFO"), "{told:#?}");
    assert!(told[0].contains("calls run without the cache"), "{told:#?}");
    assert!(!global.contains("WARN"), "{global}");
    assert_eq!(said(own).len(), 2, "once a cache that asks: {own}");
}

#[test]
fn refuses_the_environment() {
    if child::role().is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let body = Body::new();
        for run in 1..=2 {
            assert_eq!(global(&body, 1).await, Ok(run));
        }
        let error = get_cache().await.expect_err("no such word");
        assert!(error.is_config());
        child::tell(&error.to_string());
    });
}

#[test]
fn another_word_in_the_environment_is_an_error_that_says_what_is_accepted() {
    for (value, shown) in [
        ("never", "`never`"),
        ("redis://:hunter2@cache:6379", "something else"),
    ] {
        let child = Child::of_test("refuses_the_environment").env("REDIS_CACHE", value);
        let ended = child.run();
        ended.assert_passed();
        let expected = format!("`REDIS_CACHE` is {shown}; it is `on` or `off`");
        assert!(ended.text().contains(&expected), "{}", ended.text());
        assert!(!ended.text().contains("hunter2"), "{}", ended.text());
    }
}

/// A test that is about the bodies sets a cache that is off, and back.
#[test]
fn a_cache_that_is_off_takes_the_place_of_the_global_one_and_gives_it_back() {
    if child::role().is_none() {
        let name = "a_cache_that_is_off_takes_the_place_of_the_global_one_and_gives_it_back";
        Child::of_test(name).run().assert_passed();
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let body = Body::new();
        let set = cache_runtime::set_cache;
        assert!(set(Cache::off()).is_none());
        for run in 1..=2 {
            assert_eq!(global(&body, 1).await, Ok(run));
        }
        let off = set(cache_tests::in_memory()).expect("the one that is off");
        for _ in 0..2 {
            assert_eq!(global(&body, 1).await, Ok(3));
        }
        let on = set(off).expect("the one that is on");
        for run in 4..=5 {
            assert_eq!(global(&body, 1).await, Ok(run));
        }
        set(on);
        assert_eq!(global(&body, 1).await, Ok(3), "still there");
    });
}
