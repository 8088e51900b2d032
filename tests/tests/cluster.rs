//! Calls that wait for another process: how they hear of its end, and what becomes of them where they do not.
//!
//! A cache of its own stands for a process: caches share no flights. The one that waits is behind a proxy,
//! which counts what it asks.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use cache_runtime::{BreakerState, Cache, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::proxy::about;
use cache_tests::redis_server::Builder;
use cache_tests::wait::SOON;
use cache_tests::{
    AzureRedis, Body, Child, IdentityProvider, Proxy, RedisServer, RedisVersion, child, eventually,
    patient, redis_state, within,
};
use tokio::task::JoinHandle;

/// How long a lock lives that nobody renews, as the documentation says.
const LOCK: Duration = Duration::from_secs(2);
/// Allowed on top of that: half of how long a call waits for another process at most.
const SLACK: Duration = Duration::from_secs(13);

#[redis_cached(ttl = 300, skip(cache, body), cache = cache, coalesce = "cluster")]
async fn value(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// A server, a cache whose body runs, and one that waits for it.
struct Scene {
    server: RedisServer,
    /// Between the server and the cache that waits.
    proxy: Proxy,
    holder: Cache,
    waiter: Cache,
    body: Body,
}

impl Scene {
    async fn start() -> Self {
        Self::with(RedisServer::builder(), "").await
    }

    /// Runs a test on each version of the server.
    async fn on_each(test: impl AsyncFn(Self)) {
        for version in RedisVersion::ALL {
            let server = RedisServer::builder().version(version);
            let server = server.option("enable-debug-command", &["yes"]);
            test(Self::with(server, "").await).await;
        }
    }

    /// `user`: who the cache that waits is, as a URL has it: `name:password@`.
    async fn with(server: Builder, user: &str) -> Self {
        let server = server.start().await;
        let proxy = Proxy::before(&server);
        let behind = proxy.url().replace("redis://", &format!("redis://{user}"));
        Self {
            holder: patient(&server.url()),
            waiter: patient(&behind),
            body: Body::gated(),
            server,
            proxy,
        }
    }

    /// One call whose body runs, and one that waits for it.
    async fn one_waits(&self, id: u64) -> [Call; 2] {
        let holds = self.call(&self.holder, id);
        self.body.wait_until_running(1).await;
        let waits = self.call(&self.waiter, id);
        eventually("the lock to be met", SOON, async || {
            self.proxy.scripts_seen() > 0
        })
        .await;
        [holds, waits]
    }

    /// The same, once the server is to say when the lock changes.
    async fn one_listens(&self, id: u64) -> [Call; 2] {
        let calls = self.one_waits(id).await;
        self.proxy
            .wait_for_command(about("CLIENT", "CACHING"))
            .await;
        calls
    }

    fn call(&self, cache: &Cache, id: u64) -> Call {
        call(cache, &self.body, id)
    }

    /// Lets the first run end, which both get.
    async fn both_have_the_first(&self, calls: [Call; 2]) {
        self.body.let_through(1);
        for call in calls {
            assert_eq!(answer(call).await, Ok(1));
        }
        assert_eq!(self.body.runs(), 1);
        let state = redis_state(&self.waiter);
        assert_eq!((state.breaker, state.opened), (BreakerState::Closed, 0));
    }

    /// The connections of which the server says that it tracks keys for them.
    fn tracking(&self) -> Vec<String> {
        let clients = self.server.cli(&["CLIENT", "LIST"]);
        let tracking = clients
            .lines()
            .filter(|client| client.contains(" flags=t "));
        let id = |client: &str| client.split([' ', '=']).nth(1).expect("an id").to_owned();
        tracking.map(id).collect()
    }

    /// How often the server was asked to track.
    fn asked_to_track(&self) -> usize {
        asked_to_track(&self.proxy)
    }
}

fn asked_to_track(proxy: &Proxy) -> usize {
    let commands = proxy.commands();
    let is_it = |words: &&Vec<String>| words.get(1).is_some_and(|word| word == "TRACKING");
    commands.iter().filter(is_it).count()
}

/// A cache whose calls wait for another process longer than any test does.
fn waits_for_ever(url: &str) -> Cache {
    let builder = Cache::builder().url(url).timeout(SOON);
    builder
        .cluster_wait(20 * SOON)
        .build()
        .expect("a valid URL")
}

type Call = JoinHandle<Result<u64, Failed>>;

fn call(cache: &Cache, body: &Body, id: u64) -> Call {
    let (cache, body) = (cache.clone(), body.clone());
    tokio::spawn(async move { value(&cache, &body, id).await })
}

async fn answer(call: Call) -> Result<u64, Failed> {
    let answer = within("the call to be answered", 2 * SOON, call).await;
    answer.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_has_the_holders_value_at_once() {
    Scene::on_each(async |scene| {
        let mut soonest = SOON;
        for round in 1..=5 {
            scene.proxy.forget();
            let [holds, waits] = scene.one_listens(round).await;
            assert_eq!(redis_state(&scene.holder).connections, 1);
            assert_eq!(redis_state(&scene.waiter).connections, 2);
            scene.body.let_through(round);
            let begin = Instant::now();
            assert_eq!(answer(waits).await, Ok(round));
            soonest = soonest.min(begin.elapsed());
            assert_eq!(answer(holds).await, Ok(round));
        }
        assert_eq!(scene.body.runs(), 5);
        // Untold, it would ask again when the lock would end.
        assert!(soonest < LOCK / 4, "{soonest:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_asks_no_more_often_than_the_lock_would_end() {
    Scene::on_each(async |scene| {
        let renewals = Proxy::before(&scene.server);
        let holds = scene.call(&patient(&renewals.url()), 1);
        scene.body.wait_until_running(1).await;
        let waits = scene.call(&scene.waiter, 1);
        // The first is that for the lock.
        eventually("six renewals", SOON, async || renewals.scripts_seen() > 6).await;
        let asked = scene.proxy.scripts_seen();
        assert!(asked < 6, "{asked} questions");
        scene.both_have_the_first([holds, waits]).await;
    })
    .await;
}

/// Waits for the lock of a server, or as a user, that tells nobody of changes.
async fn polls(scene: Scene, asked_to_track: usize) {
    let begin = Instant::now();
    let calls = scene.one_waits(1).await;
    eventually("some polls", SOON, async || scene.proxy.scripts_seen() > 8).await;
    // Pauses of 25 ms to 250 ms, each of which may be shorter by half.
    let fair = 6 + begin.elapsed().as_millis() / 125;
    let polls = u128::from(scene.proxy.scripts_seen());
    assert!(polls <= fair, "{polls} polls, not {fair}");
    scene.both_have_the_first(calls).await;
    assert_eq!(scene.asked_to_track(), asked_to_track);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_server_has_no_resp3_it_is_polled() {
    for version in RedisVersion::ALL {
        let server = RedisServer::builder().version(version);
        let server = server.option("rename-command", &["HELLO", ""]);
        polls(Scene::with(server, "").await, 0).await;
    }
}

/// What the questions take together is more than the timeout; each is answered well within it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_polls_a_distant_server_waits_on() {
    let server = RedisServer::builder().option("rename-command", &["HELLO", ""]);
    let mut scene = Scene::with(server, "").await;
    scene.proxy.delay(Duration::from_millis(100));
    let timeout = Duration::from_secs(1);
    let builder = Cache::builder().url(scene.proxy.url()).timeout(timeout);
    scene.waiter = builder.build().expect("a valid URL");
    eventually("a connection", SOON, async || {
        scene.waiter.ping().await.is_ok()
    })
    .await;
    let calls = scene.one_waits(1).await;
    eventually("many polls", SOON, async || {
        scene.proxy.scripts_seen() > 16 || scene.body.runs() > 1
    })
    .await;
    scene.both_have_the_first(calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_track_polls() {
    for version in RedisVersion::ALL {
        let server = RedisServer::builder().version(version);
        let server = server.user("app", "secret", &["~*", "+@all", "-client"]);
        polls(Scene::with(server, "app:secret@").await, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_hears_nothing_is_no_reason_to_do_without_redis() {
    let mut scene = Scene::start().await;
    let timeout = Duration::from_millis(250);
    let builder = Cache::builder().url(scene.proxy.url()).timeout(timeout);
    scene.waiter = builder.build().expect("a valid URL");
    eventually("a connection", SOON, async || {
        scene.waiter.ping().await.is_ok()
    })
    .await;
    let held = scene.proxy.hold(about("CLIENT", "TRACKING"));
    let calls = scene.one_waits(1).await;
    held.arrived().await;
    eventually("some polls", SOON, async || scene.proxy.scripts_seen() > 4).await;
    scene.both_have_the_first(calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_the_connection_waits_on() {
    Scene::on_each(async |scene| {
        let calls = scene.one_listens(1).await;
        eventually("it to be tracked", SOON, async || {
            scene.tracking().len() == 1
        })
        .await;
        let lost = scene.tracking().remove(0);
        scene.server.cli(&["CLIENT", "KILL", "ID", &lost]);
        eventually("another connection to be tracked", SOON, async || {
            let tracking = scene.tracking();
            tracking.len() == 1 && tracking[0] != lost
        })
        .await;
        scene.both_have_the_first(calls).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_every_connection_waits_on() {
    Scene::on_each(async |scene| {
        let calls = scene.one_listens(1).await;
        scene.proxy.forget();
        scene.proxy.reset();
        scene
            .proxy
            .wait_for_command(about("CLIENT", "CACHING"))
            .await;
        scene.both_have_the_first(calls).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_holder_fails_the_others_run_side_by_side() {
    Scene::on_each(async |mut scene| {
        scene.waiter = waits_for_ever(&scene.proxy.url());
        let [holds, waits] = scene.one_listens(1).await;
        let another = waits_for_ever(&scene.server.url());
        let waits_too = scene.call(&another, 1);
        eventually("two to be tracked", SOON, async || {
            scene.tracking().len() == 2
        })
        .await;
        scene.body.fail_next(1);
        scene.body.let_through(1);
        assert_eq!(answer(holds).await, Err(Failed { run: 1 }));
        // Neither waits for the other.
        scene.body.wait_until_running(2).await;
        scene.body.open_gate();
        for call in [waits, waits_too] {
            assert!(answer(call).await.is_ok());
        }
        assert_eq!(scene.body.runs(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_waited_long_enough_runs_beside_the_holder_and_may_store() {
    let mut scene = Scene::start().await;
    let builder = Cache::builder().url(scene.proxy.url()).timeout(SOON);
    let builder = builder.cluster_wait(Duration::from_millis(100));
    scene.waiter = builder.build().expect("a valid URL");
    let [holds, waits] = scene.one_waits(1).await;
    scene.body.wait_until_running(2).await;
    scene.body.let_through(2);
    assert_eq!(answer(waits).await, Ok(2));
    assert_eq!(scene.body.running(), 1, "the holder's");
    let stored = value_entry(&scene.holder, 1).get().await;
    assert_eq!(stored.expect("a cache"), Some(2));
    scene.body.open_gate();
    assert_eq!(answer(holds).await, Ok(1));
}

#[redis_cached(
    ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache, coalesce = "cluster"
)]
async fn covered(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// Who has an older value takes that, and asks for the lock no more while it is somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_an_older_value_asks_for_the_lock_once() {
    let server = RedisServer::start().await;
    let (proxy, clock) = (Proxy::before(&server), ManualClock::new());
    let cache = |url| {
        let builder = Cache::builder().url(url).timeout(SOON).clock(&clock);
        builder.build().expect("a valid URL")
    };
    let (holder, waiter, body) = (cache(server.url()), cache(proxy.url()), Body::new());
    assert_eq!(covered(&holder, &body, 1).await, Ok(1));
    clock.advance(Duration::from_secs(60));
    body.shut_gate();
    let holds = {
        let (holder, body) = (holder.clone(), body.clone());
        tokio::spawn(async move { covered(&holder, &body, 1).await })
    };
    body.wait_until_running(1).await;
    for _ in 0..5 {
        assert_eq!(covered(&waiter, &body, 1).await, Ok(1));
        assert_eq!(proxy.scripts_seen(), 1);
    }
    body.open_gate();
    assert_eq!(answer(holds).await, Ok(2));
    assert_eq!(body.runs(), 2);
}

#[redis_cached(
    ttl = 60,
    stale_while_revalidate = 600,
    key = "refreshed:{id}",
    skip(cache, body),
    cache = cache
)]
async fn refreshed(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

/// A refresh takes the lock, so that one of all processes refreshes; the others ask for it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_another_process_refreshes_the_lock_is_asked_for_once() {
    let server = RedisServer::start().await;
    let (proxy, clock) = (Proxy::before(&server), ManualClock::new());
    let cache = |url| {
        let builder = Cache::builder().url(url).timeout(SOON).clock(&clock);
        builder.build().expect("a valid URL")
    };
    let (holder, other, body) = (cache(server.url()), cache(proxy.url()), Body::new());
    assert_eq!(refreshed(&holder, &body, 1).await, Ok(1));
    clock.advance(Duration::from_secs(60));
    body.shut_gate();
    assert_eq!(refreshed(&holder, &body, 1).await, Ok(1));
    body.wait_until_running(1).await;
    for _ in 0..5 {
        assert_eq!(refreshed(&other, &body, 1).await, Ok(1));
        eventually(
            "the question for the lock to be answered",
            SOON,
            async || other.stats().flights == 0,
        )
        .await;
        assert_eq!(proxy.scripts_seen(), 1);
    }
    body.open_gate();
    eventually("the holder's value", SOON, async || {
        refreshed_entry(&other, 1)
            .get()
            .await
            .is_ok_and(|value| value == Some(2))
    })
    .await;
    assert_eq!(body.runs(), 2);
}

/// As after a pause of the holder's that was longer than its lock lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_lost_stays_with_whoever_has_it() {
    let scene = Scene::start().await;
    let holds = scene.call(&scene.holder, 1);
    scene.body.wait_until_running(1).await;
    let keys = value_entry(&scene.holder, 1).guard_keys();
    let [_, lock, _] = keys.expect("a key");
    let taken = scene
        .server
        .cli(&["SET", &lock, "another's", "PX", "600000"]);
    assert_eq!(taken, "OK");
    holds.abort();
    assert!(holds.await.expect_err("it was given up").is_cancelled());
    // Waits until the call's lock was let go.
    let shut_down = scene.holder.shutdown().await;
    shut_down.expect("nothing is left over");
    assert_eq!(scene.server.cli(&["GET", &lock]), "another's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_is_killed_is_waited_for_as_long_as_its_lock_lives() {
    const TEST: &str = "a_holder_that_is_killed_is_waited_for_as_long_as_its_lock_lives";
    if child::role().is_some() {
        let cache = patient(&std::env::var("CACHE_TESTS_URL").expect("a URL"));
        let body = Body::gated();
        let holds = call(&cache, &body, 1);
        body.wait_until_running(1).await;
        child::tell("holds");
        let _killed = holds.await;
        return;
    }
    Scene::on_each(async |scene| {
        // It may take the server long to notice that a key expired.
        scene.server.cli(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        let holder = Child::of_test(TEST).env("CACHE_TESTS_URL", scene.server.url());
        let holder = holder.spawn();
        holder.wait_for_line("holds").await;
        let waits = scene.call(&scene.waiter, 1);
        scene
            .proxy
            .wait_for_command(about("CLIENT", "CACHING"))
            .await;
        assert_eq!(scene.body.runs(), 0);
        holder.kill();
        let killed = Instant::now();
        scene.body.wait_until_running(1).await;
        assert!(killed.elapsed() < LOCK + SLACK, "{:?}", killed.elapsed());
        scene.body.open_gate();
        assert_eq!(answer(waits).await, Ok(1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_leaves_nothing_that_waits() {
    Scene::on_each(async |scene| {
        let [holds, gone] = scene.one_listens(1).await;
        gone.abort();
        assert!(gone.await.is_err());
        let stats = scene.waiter.stats();
        assert_eq!((stats.flights, stats.waiting), (0, 0));
        let waits = scene.call(&scene.waiter, 1);
        scene.both_have_the_first([holds, waits]).await;
        assert_eq!(redis_state(&scene.waiter).connections_tried, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_whose_caller_goes_away_is_waited_for_no_longer() {
    Scene::on_each(async |scene| {
        let mut soonest = SOON;
        for round in 1..=5 {
            scene.proxy.forget();
            scene.body.shut_gate();
            let begun = scene.body.runs();
            let holds = scene.call(&scene.holder, round);
            scene.body.wait_until_running(1).await;
            // Of the holder's own process, and of another one.
            let heir = scene.call(&scene.holder, round);
            let waits = scene.call(&scene.waiter, round);
            eventually("both to wait", SOON, async || {
                scene.holder.stats().waiting == 1 && scene.proxy.scripts_seen() > 0
            })
            .await;
            let begin = Instant::now();
            holds.abort();
            eventually("another run", SOON, async || scene.body.runs() > begun + 1).await;
            soonest = soonest.min(begin.elapsed());
            scene.body.let_through(begun + 2);
            assert_eq!(answer(heir).await, Ok(begun + 2));
            assert_eq!(answer(waits).await, Ok(begun + 2));
            assert_eq!(scene.body.runs(), begun + 2);
        }
        // Left to itself, the lock would live on.
        assert!(soonest < LOCK / 4, "{soonest:?}");
    })
    .await;
}

/// The connection on which a call waits is replaced before its token ends, as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_longer_than_a_token_lives_still_hears() {
    const LONG: Duration = Duration::from_secs(240);
    for version in RedisVersion::ALL {
        let provider = IdentityProvider::builder()
            .life(Duration::from_secs(6))
            .start();
        let azure = AzureRedis::start_with(RedisServer::builder().version(version)).await;
        let (grants, proxy) = (azure.grants(), azure.proxy());
        provider.on_issue(move |issued| {
            let user = issued.oid.as_deref().unwrap_or("default");
            grants.grant(user, &issued.token, issued.expires)
        });
        let cache = || {
            let builder = Cache::builder()
                .host("127.0.0.1")
                .port(azure.port())
                .tls_ca_file(azure.ca_path())
                .credential(provider.credential("app"))
                .timeout(Duration::from_secs(10));
            builder.build().expect("a cache")
        };
        let (holder, waiter, body) = (cache(), cache(), Body::gated());
        let holds = call(&holder, &body, 1);
        body.wait_until_running(1).await;
        let waits = call(&waiter, &body, 1);
        proxy.wait_for_command(about("CLIENT", "CACHING")).await;
        let short = provider.issued();
        provider.life(LONG);
        eventually("three connections with new tokens", SOON, async || {
            let in_use = proxy.in_use();
            let is_old = |secret: &_| {
                let mut short = short.iter();
                short.any(|issued| cache_tests::proxy::Secret::of(&issued.token) == *secret)
            };
            in_use.len() == 3 && !in_use.values().any(is_old)
        })
        .await;
        eventually("the new connection to be tracked", SOON, async || {
            asked_to_track(proxy) == 2
        })
        .await;
        body.let_through(1);
        assert_eq!(answer(holds).await, Ok(1));
        assert_eq!(answer(waits).await, Ok(1));
        assert_eq!(body.runs(), 1);
        assert_eq!(redis_state(&waiter).opened, 0);
        let failures = proxy.failures();
        assert!(failures.is_empty(), "{failures:?}");
    }
}
