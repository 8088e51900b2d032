//! Calls that are given up between their question for the lock and its end: nobody waits for a lock that
//! nobody holds.
//!
//! A lock lives for 2 seconds unless it is renewed. Here it lives for half an hour: what the proxy gives the server
//! says so. Whoever would wait for one that was left behind, waits in vain.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{Cache, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::drop_at::{at_every_poll, poll_n_then_drop};
use cache_tests::proxy::{Matcher, named};
use cache_tests::wait::SOON;
use cache_tests::{Body, Proxy, RedisServer, eventually, patient, within};
use tokio::task::JoinHandle;

#[redis_cached(ttl = 300, key = "value:{id}", skip(cache, body), cache = cache, coalesce = "cluster")]
async fn value(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// The same key.
#[redis_cached(
    ttl = 300, key = "value:{id}", skip(cache, body), cache = cache, coalesce = "cluster", timeout = "5s"
)]
async fn impatient(cache: &Cache, body: &Body, id: u64) -> Option<u64> {
    body.run().await.ok()
}

/// Takes the lock for each run behind a call.
#[redis_cached(
    ttl = 60,
    stale_while_revalidate = "1h",
    key = "behind:{id}",
    skip(cache, body),
    cache = cache,
    timeout = "5s"
)]
async fn behind(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// What takes the lock, as the script has it.
const TAKES: &str = "redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])";
/// What stores a value.
const STORES: &str = "stored = redis.pcall('SET', KEYS[1]";

/// A question that may take the lock.
fn acquire() -> impl Matcher {
    let is_script = named("EVAL");
    move |args: &[Vec<u8>]| {
        is_script(args) && String::from_utf8_lossy(&args[1]).contains("ARGV[3], 'PX', ARGV[4]")
    }
}

struct Scene {
    server: RedisServer,
    proxy: Proxy,
    cache: Cache,
    /// What computes a value in another process.
    another: Cache,
    body: Body,
}

impl Scene {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let proxy = Proxy::before(&server);
        proxy.rewrite(TAKES, "redis.call('SET', KEYS[3], ARGV[3], 'EX', 1800)");
        let scene = Self {
            cache: patient(&proxy.url()),
            another: patient(&server.url()),
            body: Body::gated(),
            server,
            proxy,
        };
        scene.cache.ping().await.expect("redis");
        scene
    }

    fn call(&self, cache: &Cache, id: u64) -> JoinHandle<Result<u64, Failed>> {
        let (cache, body) = (cache.clone(), self.body.clone());
        tokio::spawn(async move { value(&cache, &body, id).await })
    }

    fn is_locked(&self, key: &str) -> bool {
        self.server.cli(&["EXISTS", &format!("%l:{{{key}}}")]) == "1"
    }

    async fn until_unlocked(&self, key: &str) {
        eventually("the lock to be let go", SOON, async || !self.is_locked(key)).await;
    }

    /// Another process' call of [`value`] runs its body.
    async fn another_runs(&self, id: u64) {
        self.until_unlocked(&format!("value:{id}")).await;
        let next = self.call(&self.another, id);
        self.body.wait_until_running(1).await;
        self.body.open_gate();
        let answer = within("an answer", SOON, next).await.expect("no panic");
        assert_eq!(answer, Ok(self.body.runs()));
        self.body.shut_gate();
    }

    /// How often a lock was met, and the server asked to say when it changes.
    fn locks_met(&self) -> usize {
        let commands = self.proxy.commands();
        let is_it = |words: &&Vec<String>| words.get(1).is_some_and(|word| word == "TRACKING");
        commands.iter().filter(is_it).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_before_the_server_executes_its_question_leaves_no_lock() {
    let scene = Scene::start().await;
    let held = scene.proxy.hold(acquire());
    let gone = scene.call(&scene.cache, 1);
    held.arrived().await;
    gone.abort();
    assert!(gone.await.is_err());
    held.release();
    scene.another_runs(1).await;
    assert_eq!(scene.body.runs(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_before_its_answer_comes_leaves_no_lock() {
    let scene = Scene::start().await;
    let held = scene.proxy.hold_reply(acquire());
    let gone = scene.call(&scene.cache, 1);
    held.arrived().await;
    assert!(scene.is_locked("value:1"), "the server has executed it");
    gone.abort();
    assert!(gone.await.is_err());
    // The answer never comes, and nobody needs it.
    scene.another_runs(1).await;
    assert_eq!(scene.body.runs(), 1);
    held.release();
}

/// Who waited beside the caller asks behind it, on the same connection.
#[tokio::test]
async fn who_takes_over_from_a_caller_that_goes_away_never_meets_its_lock() {
    let scene = Scene::start().await;
    let reads = scene.proxy.hold_reply(named("GET"));
    let acquire = scene.proxy.hold_reply(acquire());
    let mut gone = Box::pin(value(&scene.cache, &scene.body, 1));
    let mut heir = Box::pin(value(&scene.cache, &scene.body, 1));
    tokio::select! {
        biased;
        _ = &mut gone => unreachable!("its read is held"),
        _ = &mut heir => unreachable!("its read is held"),
        () = eventually("both to read", SOON, async || scene.proxy.seen("GET") == 2) => {}
    }
    reads.arrived().await;
    reads.release();
    tokio::select! {
        _ = &mut gone => unreachable!("its answer is held"),
        _ = acquire.arrived() => {}
    }
    tokio::select! {
        _ = &mut heir => unreachable!("it waits"),
        () = eventually("a waiter", SOON, async || scene.cache.stats().waiting == 1) => {}
    }
    drop(gone);
    acquire.release();
    tokio::select! {
        _ = &mut heir => unreachable!("the gate is shut"),
        () = scene.body.wait_until_running(1) => {}
    }
    assert_eq!(scene.locks_met(), 0);
    scene.body.open_gate();
    assert_eq!(heir.await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_takes_too_long_leaves_no_lock() {
    let scene = Scene::start().await;
    let held = scene.proxy.hold(acquire());
    scene.body.open_gate();
    // The body runs without the lock.
    eventually("the question to come too late", SOON, async || {
        assert!(impatient(&scene.cache, &scene.body, 1).await.is_some());
        held.has_arrived()
    })
    .await;
    scene.body.shut_gate();
    held.release();
    scene.another_runs(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_whose_answers_are_lost_leaves_no_lock() {
    let scene = Scene::start().await;
    // It is asked once more when the connection breaks.
    let cuts = [acquire(), acquire()].map(|it| scene.proxy.cut_in_reply_to(it, 0));
    scene.body.open_gate();
    assert_eq!(value(&scene.cache, &scene.body, 1).await, Ok(1));
    for cut in cuts {
        cut.happened().await;
    }
    scene.body.shut_gate();
    scene.another_runs(1).await;
    assert_eq!(scene.body.runs(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_at_any_poll_leaves_no_lock() {
    let scene = Scene::start().await;
    scene.body.open_gate();
    let (polls, answer) = at_every_poll(async |n| {
        let id = n as u64;
        let answer = poll_n_then_drop(value(&scene.cache, &scene.body, id), n).await;
        scene.until_unlocked(&format!("value:{id}")).await;
        answer
    })
    .await;
    assert!(answer.is_ok());
    assert!(polls > 2, "{polls}: a read, a question, a store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_while_its_value_is_stored_leaves_no_lock() {
    let scene = Scene::start().await;
    let stores = |args: &[Vec<u8>]| String::from_utf8_lossy(&args[1]).contains(STORES);
    let held = scene.proxy.hold(stores);
    let gone = scene.call(&scene.cache, 1);
    scene.body.let_through(1);
    held.arrived().await;
    gone.abort();
    assert!(gone.await.is_err());
    // The value never comes to be stored.
    held.reset();
    scene.another_runs(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_could_not_be_stored_leaves_no_lock() {
    let scene = Scene::start().await;
    scene
        .proxy
        .rewrite(STORES, &format!("error('refused') {STORES}"));
    scene.body.open_gate();
    assert_eq!(value(&scene.cache, &scene.body, 1).await, Ok(1));
    assert!(scene.proxy.rewritten() > 1);
    scene.body.shut_gate();
    scene.another_runs(1).await;
    assert_eq!(scene.body.runs(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_behind_a_call_that_is_given_up_leaves_no_lock() {
    let mut scene = Scene::start().await;
    let clock = ManualClock::new();
    let builder = Cache::builder().url(scene.proxy.url()).clock(&clock);
    scene.cache = builder.timeout(SOON).build().expect("a valid URL");
    scene.body.open_gate();
    assert_eq!(behind(&scene.cache, &scene.body, 1).await, Ok(1));
    clock.advance(Duration::from_secs(61));
    let held = scene.proxy.hold(acquire());
    assert_eq!(behind(&scene.cache, &scene.body, 1).await, Ok(1), "stale");
    held.arrived().await;
    eventually("the run to end", SOON, async || {
        scene.cache.stats().flights == 0
    })
    .await;
    held.release();
    // It was behind what is held.
    scene.cache.ping().await.expect("redis");
    scene.until_unlocked("behind:1").await;
    assert_eq!(scene.body.runs(), 1);
}

/// On one thread, where the run is dropped only once `shutdown` waits for it.
#[tokio::test]
async fn a_run_behind_a_call_that_shutdown_ends_leaves_no_lock() {
    let mut scene = Scene::start().await;
    let clock = ManualClock::new();
    let builder = Cache::builder().url(scene.proxy.url()).clock(&clock);
    scene.cache = builder.timeout(SOON).build().expect("a valid URL");
    scene.body.let_through(1);
    assert_eq!(behind(&scene.cache, &scene.body, 1).await, Ok(1));
    clock.advance(Duration::from_secs(61));
    assert_eq!(behind(&scene.cache, &scene.body, 1).await, Ok(1), "stale");
    scene.body.wait_until_begun(2).await;
    assert!(scene.is_locked("behind:1"));
    scene.cache.shutdown().await.expect("redis");
    assert!(!scene.is_locked("behind:1"));
    assert_eq!((scene.body.runs(), scene.body.dropped()), (2, 1));
}

/// The lock is the last that the script takes, so one that stops before has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_lacks_a_right_leaves_no_lock() {
    let rights = ["~*", "+@all", "-pexpire"];
    let server = RedisServer::builder().user("app", "secret", &rights);
    let server = server.start().await;
    let (cache, body) = (patient(&server.url_as("app", "secret")), Body::new());
    // Somebody computes the value, so the token is there, and is to live on.
    server.cli(&["SET", "%t:{value:1}", "theirs", "EX", "1800"]);
    assert_eq!(value(&cache, &body, 1).await, Ok(1));
    assert_eq!(server.cli(&["EXISTS", "%l:{value:1}"]), "0");
    assert_eq!(
        server.cli(&["EXISTS", "value:1"]),
        "0",
        "it has no right to store"
    );
}
