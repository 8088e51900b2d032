//! Reads of many callers at once: what they share on the wire, and that nobody pays for another.
//!
//! Callers are tasks of one thread, so all of them have come before the first reply does.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_runtime::{BreakerState, Cache, redis_cached};
use cache_tests::body::Failed;
use cache_tests::proxy::named;
use cache_tests::redis_server::Builder;
use cache_tests::wait::SOON;
use cache_tests::{
    Body, Proxy, RedisServer, eventually, patient, poll_n_then_drop, redis_state, timed, within,
};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::task::{JoinHandle, yield_now};

/// So many callers that most of their reads wait for others.
const MANY: u64 = 64;
/// Far fewer commands than callers.
const FEW: u64 = MANY / 2;

const TIMEOUT: Duration = Duration::from_millis(1500);
const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.returning(value(id)).await
}

fn value(id: u64) -> u64 {
    id * 1_000 + 7
}

fn key(cache: &Cache, id: u64) -> Arc<str> {
    user_entry(cache, id).key().unwrap()
}

type Caller = JoinHandle<Result<u64, Failed>>;

struct Scene {
    server: RedisServer,
    proxy: Proxy,
    cache: Cache,
    body: Body,
}

impl Scene {
    async fn start() -> Self {
        Self::with(RedisServer::builder(), "").await
    }

    /// `user`: who the cache is, as a URL has it: `name:password@`.
    async fn with(server: Builder, user: &str) -> Self {
        let server = server.start().await;
        let proxy = Proxy::before(&server);
        let url = proxy.url().replace("redis://", &format!("redis://{user}"));
        Self::on(server, proxy, patient(&url)).await
    }

    async fn with_timeout(timeout: Duration) -> Self {
        let server = RedisServer::start().await;
        let proxy = Proxy::before(&server);
        let cache = Cache::builder().url(proxy.url()).timeout(timeout);
        let cache = cache.build().unwrap();
        Self::on(server, proxy, cache).await
    }

    async fn on(server: RedisServer, proxy: Proxy, cache: Cache) -> Self {
        let scene = Self {
            server,
            proxy,
            cache,
            body: Body::new(),
        };
        scene.fill().await;
        scene
    }

    /// Stores a value for each caller, past the proxy, and connects.
    async fn fill(&self) {
        let direct = patient(&self.server.url());
        for id in 0..MANY {
            user_entry(&direct, id).put(&value(id)).await.unwrap();
        }
        self.cache.ping().await.unwrap();
        self.proxy.forget();
    }

    fn call(&self, id: u64) -> Caller {
        let (cache, body) = (self.cache.clone(), self.body.clone());
        tokio::spawn(async move { user(&cache, &body, id).await })
    }

    fn call_all(&self) -> Vec<Caller> {
        (0..MANY).map(|id| self.call(id)).collect()
    }

    /// All callers at once have the right values, and none of them a body of its own.
    async fn all_hit(&self) {
        all_right(self.call_all()).await;
        assert_eq!(self.body.runs(), 0, "a hit runs no body");
    }

    fn sent(&self, name: &str) -> u64 {
        self.proxy.seen(name)
    }

    /// The commands that read several keys.
    fn together(&self) -> Vec<Vec<String>> {
        let commands = self.proxy.commands().into_iter();
        commands.filter(|command| command[0] == "MGET").collect()
    }

    /// How many keys each of them has.
    fn batches(&self) -> Vec<usize> {
        let batches = self.together().into_iter();
        batches.map(|command| command.len() - 1).collect()
    }

    async fn nothing_is_left(&self) {
        eventually("no read to be left", SOON, async || {
            self.cache.stats().reads == 0
        })
        .await;
        let state = redis_state(&self.cache);
        assert_eq!((state.breaker, state.opened), (BreakerState::Closed, 0));
    }
}

async fn all_right(callers: Vec<Caller>) {
    for (id, caller) in (0..).zip(callers) {
        let answer = within("an answer", SOON, caller).await.unwrap();
        assert_eq!(answer, Ok(value(id)), "caller {id}");
    }
}

/// The callers whose keys are among these arguments.
fn among(cache: &Cache, args: &[Vec<u8>]) -> BTreeSet<u64> {
    let asked: BTreeSet<_> = args.iter().map(Vec::as_slice).collect();
    let is_asked = |id: &u64| asked.contains(key(cache, *id).as_bytes());
    (0..MANY).filter(is_asked).collect()
}

#[tokio::test]
async fn a_lone_caller_sends_a_plain_get() {
    let scene = Scene::start().await;
    for id in 0..3 {
        assert_eq!(scene.call(id).await.unwrap(), Ok(value(id)));
    }
    assert_eq!((scene.sent("GET"), scene.proxy.seen_in_all()), (3, 3));
}

#[tokio::test]
async fn callers_of_many_keys_share_a_few_commands() {
    let scene = Scene::start().await;
    for _ in 0..3 {
        scene.proxy.forget();
        scene.all_hit().await;
        let sent = scene.proxy.seen_in_all();
        assert!(sent <= FEW, "{sent} commands: {:?}", scene.batches());
        assert!(scene.sent("MGET") > 0);
    }
    scene.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_many_threads_get_their_own_values() {
    let scene = Scene::start().await;
    for _ in 0..20 {
        scene.all_hit().await;
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn callers_of_one_key_share_a_few_gets() {
    let scene = Scene::start().await;
    // Before it is known that they are many, some go for themselves.
    for most in [FEW, 4] {
        scene.proxy.forget();
        let callers: Vec<_> = (0..MANY).map(|_| scene.call(1)).collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(value(1)));
        }
        let sent = scene.proxy.seen_in_all();
        assert_eq!(sent, scene.sent("GET"));
        assert!(sent <= most, "{sent} commands");
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn absent_values_are_absent_for_their_callers_alone() {
    let scene = Scene::start().await;
    for id in (0..MANY).step_by(2) {
        scene.server.cli(&["DEL", &key(&scene.cache, id)]);
    }
    all_right(scene.call_all()).await;
    assert_eq!(scene.body.runs(), MANY / 2);
    assert!(scene.sent("MGET") > 0);
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn p6_a_caller_dropped_while_its_batch_is_on_the_wire_costs_nobody_anything() {
    let scene = Scene::start().await;
    let held = scene.proxy.hold_reply(named("MGET"));
    let callers = scene.call_all();
    let batch = among(&scene.cache, &held.arrived().await);
    assert!(batch.len() > 1, "{batch:?}");
    // The first, the last, and every other one of them.
    let every_other = batch.iter().copied().step_by(2);
    let gone: BTreeSet<_> = every_other.chain(batch.last().copied()).collect();
    for (id, caller) in (0..).zip(&callers) {
        if gone.contains(&id) {
            caller.abort();
        }
    }
    held.release();
    for (id, caller) in (0..).zip(callers) {
        match within("an answer", SOON, caller).await {
            Ok(answer) => assert_eq!(answer, Ok(value(id))),
            Err(error) => assert!(error.is_cancelled() && gone.contains(&id)),
        }
    }
    assert_eq!(scene.body.runs(), 0);
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn p6_callers_dropped_before_their_reads_return_let_those_go_who_wait() {
    let scene = Scene::start().await;
    let held = scene.proxy.hold_letting_later_pass(named("GET"));
    let mut gone = scene.call_all();
    let there = gone.split_off(gone.len() / 2);
    held.arrived().await;
    gone.iter().for_each(JoinHandle::abort);
    // Those who wait for them are sent, though nothing has been answered.
    scene.proxy.wait_for_command(named("MGET")).await;
    held.release();
    for (id, caller) in (MANY / 2..).zip(there) {
        assert_eq!(
            within("an answer", SOON, caller).await.unwrap(),
            Ok(value(id))
        );
    }
    assert_eq!(scene.body.runs(), 0);
    scene.nothing_is_left().await;
}

/// As callers do who are in a `buffered` stream whose consumer is busy.
#[tokio::test]
async fn p6_callers_that_are_kept_and_not_polled_hold_up_nobody() {
    let scene = Scene::with_timeout(TIMEOUT).await;
    let mut kept: Vec<_> = (1..MANY)
        .map(|id| Box::pin(user(&scene.cache, &scene.body, id)))
        .collect();
    for call in &mut kept {
        assert_eq!(poll_n_then_drop(call.as_mut(), 1).await, None);
    }
    for _ in 0..2 {
        let (answer, took) = timed(within("an answer", SOON, scene.call(0))).await;
        assert_eq!(answer.unwrap(), Ok(value(0)));
        assert!(took < TIMEOUT / 2, "the call took {took:?}");
    }
    assert_eq!(scene.body.runs(), 0, "a hit runs no body");
    drop(kept);
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn p2_a_reply_that_is_held_back_costs_its_callers_one_timeout() {
    let scene = Scene::with_timeout(TIMEOUT).await;
    let held = scene.proxy.hold_reply(named("MGET"));
    let callers = scene.call_all();
    held.arrived().await;
    let ((), took) = timed(all_right(callers)).await;
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "the calls took {took:?}");
    // The replies behind it are held back as well.
    let asked: usize = scene.batches().iter().sum();
    assert_eq!(scene.body.runs(), asked as u64);
    held.release();
    eventually("no read to be left", SOON, async || {
        scene.cache.stats().reads == 0
    })
    .await;
}

#[redis_cached(
    ttl = 300, key = "user:{id}", skip(cache, body), cache = cache, timeout = "500ms"
)]
async fn user_in_haste(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.returning(value(id)).await
}

impl Scene {
    fn call_in_haste(&self, id: u64) -> Caller {
        let (cache, body) = (self.cache.clone(), self.body.clone());
        tokio::spawn(async move { user_in_haste(&cache, &body, id).await })
    }
}

#[tokio::test]
async fn p2_a_caller_in_haste_does_not_wait_as_long_as_those_it_reads_with() {
    let scene = Scene::start().await;
    let held = scene.proxy.hold_reply(named("MGET"));
    // So few that the last ones are one batch.
    let mut callers: Vec<_> = (0..MANY / 3).map(|id| scene.call(id)).collect();
    let last = MANY / 3 - 1;
    let (answer, took) = timed(scene.call_in_haste(last)).await;
    assert_eq!(answer.unwrap(), Ok(value(last)));
    assert!(took < SOON / 3, "the call took {took:?}");
    assert!(among(&scene.cache, &held.arrived().await).contains(&last));
    assert_eq!(scene.batches().len(), 1, "they were read together");
    assert_eq!(scene.body.runs(), 1);
    held.release();
    // The hasty one's body put its value while the other waited.
    let patient = callers.pop().unwrap();
    all_right(callers).await;
    assert_eq!(patient.await.unwrap(), Ok(value(last)));
    assert_eq!(scene.body.runs(), 1, "the patient have waited");
}

#[redis_cached(
    ttl = 300, key = "user:{id}", skip(cache, body), cache = cache, timeout = "20s"
)]
async fn user_in_some_haste(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.returning(value(id)).await
}

#[tokio::test]
async fn p2_the_breaker_hears_of_callers_in_haste_who_read_with_patient_ones() {
    let scene = Scene::with_timeout(Duration::from_millis(250)).await;
    let call_patient = |id| {
        let (cache, body) = (scene.cache.clone(), scene.body.clone());
        tokio::spawn(async move { user_in_some_haste(&cache, &body, id).await })
    };
    scene.proxy.swallow();
    // Those who go alone are patient, and so is somebody in each batch.
    let mut patient: Vec<_> = (0..MANY / 2).map(call_patient).collect();
    eventually("the breaker to open", SOON / 2, async || {
        let mut in_haste = vec![];
        for id in 0..MANY / 2 {
            patient.push(call_patient(id));
            in_haste.push(scene.call(id));
        }
        for caller in in_haste {
            caller.await.unwrap().unwrap();
        }
        redis_state(&scene.cache).opened > 0
    })
    .await;
    for caller in patient {
        caller.abort();
    }
}

#[tokio::test]
async fn p2_where_the_clock_is_paused_a_caller_in_haste_waits_for_no_other_clock() {
    let scene = Scene::start().await;
    let held = scene.proxy.hold_reply(named("MGET"));
    // From now on the next timer fires when nothing can run.
    tokio::time::pause();
    let callers = scene.call_all();
    let (cache, body) = (scene.cache.clone(), scene.body.clone());
    let in_haste = async move { user_in_some_haste(&cache, &body, MANY - 1).await };
    let (answer, took) = timed(tokio::spawn(in_haste)).await;
    assert_eq!(answer.unwrap(), Ok(value(MANY - 1)));
    assert!(took < Duration::from_secs(10), "the call took {took:?}");
    all_right(callers).await;
    drop(held);
}

#[tokio::test]
async fn p2_a_connection_cut_under_a_batch_costs_no_body() {
    let scene = Scene::start().await;
    for bytes in [0, 3, 50] {
        scene.proxy.forget();
        let cut = scene.proxy.cut_in_reply_to(named("MGET"), bytes);
        scene.all_hit().await;
        cut.happened().await;
        let asked = scene.together();
        assert!(asked[1..].contains(&asked[0]), "it was not sent again");
    }
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn p2_a_user_without_the_right_to_mget_reads_by_get() {
    let server = RedisServer::builder().user("app", "pw", &["~*", "+@all", "-mget"]);
    let scene = Scene::with(server, "app:pw@").await;
    scene.all_hit().await;
    // Those that were sent before the first was refused.
    let refused = scene.proxy.failures().len() as u64;
    assert!(refused > 0);
    assert_eq!(refused, scene.sent("MGET"));
    scene.proxy.forget();
    scene.all_hit().await;
    assert_eq!((scene.sent("GET"), scene.sent("MGET")), (MANY, 0));
    scene.nothing_is_left().await;
}

#[redis_cached(ttl = 300, key = "secret:{id}", skip(cache, body), cache = cache)]
async fn secret(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.returning(value(id)).await
}

#[tokio::test]
async fn p2_a_key_that_the_user_may_not_read_costs_the_others_nothing() {
    let server = RedisServer::builder().user("app", "pw", &["~user:*", "+@all"]);
    let scene = Scene::with(server, "app:pw@").await;
    let (cache, body) = (scene.cache.clone(), Body::new());
    let others = scene.call_all();
    yield_now().await;
    let forbidden = secret(&cache, &body, 1).await;
    assert_eq!((forbidden, body.runs()), (Ok(value(1)), 1));
    all_right(others).await;
    assert_eq!(scene.body.runs(), 0, "a hit runs no body");
    let forbidden = secret_entry(&cache, 1).key().unwrap();
    let asked = scene.together();
    let its = asked
        .iter()
        .find(|command| command.iter().any(|arg| **arg == *forbidden));
    assert!(its.is_some(), "it was among others: {asked:?}");
    let failures = scene.proxy.failures();
    let refused: Vec<_> = failures.iter().map(|refused| &*refused.command).collect();
    assert_eq!(refused, ["MGET", "GET"]);
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn p2_keys_in_different_slots_of_a_cluster_are_read_one_by_one() {
    let server = RedisServer::builder().option("cluster-enabled", &["yes"]);
    let server = server.start().await;
    let slots = server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    assert_eq!(slots, "OK");
    eventually("the cluster is up", SOON, async || {
        let info = server.cli(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok")
    })
    .await;
    let proxy = Proxy::before(&server);
    let cache = patient(&proxy.url());
    let scene = Scene::on(server, proxy, cache).await;
    scene.all_hit().await;
    assert!(scene.proxy.failures()[0].error.starts_with("CROSSSLOT"));
    scene.proxy.forget();
    scene.all_hit().await;
    assert_eq!((scene.sent("GET"), scene.sent("MGET")), (MANY, 0));
    scene.nothing_is_left().await;
}

#[tokio::test]
async fn p2_a_value_of_another_type_costs_the_others_nothing() {
    let scene = Scene::start().await;
    let hash = key(&scene.cache, MANY - 1);
    scene.server.cli(&["DEL", &hash]);
    scene.server.cli(&["HSET", &hash, "field", "1"]);
    all_right(scene.call_all()).await;
    assert_eq!(scene.body.runs(), 1);
    assert!(scene.batches().iter().sum::<usize>() > 1);
    scene.nothing_is_left().await;
}

#[redis_cached(ttl = 300, key = "big:{id}", skip(cache), cache = cache)]
async fn big(cache: &Cache, id: u64) -> String {
    char::from(b'a' + (id % 26) as u8)
        .to_string()
        .repeat(200_000)
}

#[tokio::test]
async fn large_values_travel_in_small_batches() {
    let scene = Scene::start().await;
    for id in 0..MANY {
        big(&scene.cache, id).await;
    }
    // So that their size is known.
    for id in 0..MANY {
        big(&scene.cache, id).await;
    }
    scene.proxy.forget();
    let call = |id| {
        let cache = scene.cache.clone();
        tokio::spawn(async move { big(&cache, id).await })
    };
    let callers: Vec<_> = (0..MANY).map(call).collect();
    for (id, caller) in (0..).zip(callers) {
        assert!(caller.await.unwrap() == big_uncached(&scene.cache, id).await);
    }
    let batches = scene.batches();
    assert!(batches.iter().all(|keys| *keys <= 4), "{batches:?}");
    scene.nothing_is_left().await;
}

/// Counts how often it is decoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Profile(u64);

static PROFILES_DECODED: AtomicU64 = AtomicU64::new(0);

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PROFILES_DECODED.fetch_add(1, Ordering::SeqCst);
        u64::deserialize(deserializer).map(Self)
    }
}

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn profile(cache: &Cache, body: &Body, id: u64) -> Result<Profile, Failed> {
    body.returning(Profile(value(id))).await
}

/// The same, and nobody can clone it.
#[derive(Debug, PartialEq, Serialize)]
struct Session(u64);

static SESSIONS_DECODED: AtomicU64 = AtomicU64::new(0);

impl<'de> Deserialize<'de> for Session {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SESSIONS_DECODED.fetch_add(1, Ordering::SeqCst);
        u64::deserialize(deserializer).map(Self)
    }
}

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn session(cache: &Cache, body: &Body, id: u64) -> Result<Session, Failed> {
    body.returning(Session(value(id))).await
}

#[tokio::test]
async fn callers_of_one_key_share_what_one_of_them_decoded() {
    let scene = Scene::start().await;
    // Those who go for themselves decode for themselves.
    for most in [FEW, 4] {
        let before = PROFILES_DECODED.load(Ordering::SeqCst);
        let call = |_| {
            let (cache, body) = (scene.cache.clone(), scene.body.clone());
            tokio::spawn(async move { profile(&cache, &body, 1).await })
        };
        let callers: Vec<_> = (0..MANY).map(call).collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(Profile(value(1))));
        }
        let times = PROFILES_DECODED.load(Ordering::SeqCst) - before;
        assert!((1..=most).contains(&times), "decoded {times} times");
    }
    assert_eq!(scene.body.runs(), 0, "a hit runs no body");
}

#[tokio::test]
async fn what_nobody_can_clone_is_decoded_for_each_caller_of_one_key() {
    let scene = Scene::start().await;
    let call = |_| {
        let (cache, body) = (scene.cache.clone(), scene.body.clone());
        tokio::spawn(async move { session(&cache, &body, 1).await })
    };
    let callers: Vec<_> = (0..MANY).map(call).collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(Session(value(1))));
    }
    assert!(scene.sent("GET") <= FEW, "they are read together");
    assert_eq!(SESSIONS_DECODED.load(Ordering::SeqCst), MANY);
    assert_eq!(scene.body.runs(), 0, "a hit runs no body");
}

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user_as_float(cache: &Cache, body: &Body, id: u64) -> Result<f64, Failed> {
    body.returning(value(id) as f64).await
}

#[tokio::test]
async fn callers_of_one_key_get_the_type_they_ask_for() {
    let scene = Scene::start().await;
    for _ in 0..2 {
        scene.proxy.forget();
        let call = |id| {
            let (cache, body) = (scene.cache.clone(), scene.body.clone());
            tokio::spawn(async move { user_as_float(&cache, &body, id).await })
        };
        let both: Vec<_> = (0..MANY).map(|_| (scene.call(1), call(1))).collect();
        for (integer, float) in both {
            assert_eq!(integer.await.unwrap(), Ok(value(1)));
            assert_eq!(float.await.unwrap(), Ok(value(1) as f64));
        }
        assert!(scene.sent("GET") <= FEW, "they are read together");
    }
    assert_eq!(scene.body.runs(), 0, "a hit runs no body");
}

#[redis_cached(ttl = 300, key = "current:{id}", skip(cache, source), cache = cache)]
async fn current(cache: &Cache, source: &AtomicU64, id: u64) -> u64 {
    source.load(Ordering::SeqCst)
}

#[tokio::test]
async fn p4_who_comes_after_an_invalidation_gets_no_reply_to_a_read_sent_before() {
    static SOURCE: AtomicU64 = AtomicU64::new(1);
    let scene = Scene::start().await;
    let elsewhere = patient(&scene.server.url());
    for id in 0..MANY {
        current(&elsewhere, &SOURCE, id).await;
    }
    let call = |id| {
        let cache = scene.cache.clone();
        tokio::spawn(async move { current(&cache, &SOURCE, id).await })
    };
    let held = scene.proxy.hold_reply(named("MGET"));
    let early: Vec<_> = (0..MANY).map(call).collect();
    // It has been executed: the old values are on their way.
    let asked = held.arrived().await;
    let key_of = |id| current_entry(&elsewhere, id).key().unwrap();
    let asked = (0..MANY).filter(|id| asked.iter().any(|arg| arg == key_of(*id).as_bytes()));
    let asked: Vec<_> = asked.collect();
    SOURCE.store(2, Ordering::SeqCst);
    for id in &asked {
        let entry = current_entry(&elsewhere, *id);
        entry.invalidate().await.unwrap();
    }
    let mut late: Vec<_> = asked.iter().copied().map(call).collect();
    eventually("a second read of each to be sent", SOON, async || {
        let sent: Vec<_> = scene.proxy.commands().into_iter().flatten().collect();
        let times = |key: &str| sent.iter().filter(|arg| *arg == key).count();
        asked.iter().all(|id| times(&key_of(*id)) == 2)
    })
    .await;
    // These come while both are on their way, and the older one comes back first.
    late.extend(asked.iter().copied().map(call));
    yield_now().await;
    held.release();
    for caller in late {
        let current = within("an answer", SOON, caller).await.unwrap();
        assert_eq!(current, 2, "it came after the invalidation");
    }
    for caller in early {
        assert_eq!(caller.await.unwrap(), 1, "it was read before");
    }
    scene.nothing_is_left().await;
}

#[test]
fn p11_a_runtime_that_ends_under_its_reads_leaves_none_behind() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let first = runtime();
    let scene = first.block_on(Scene::start());
    let held = scene.proxy.hold_reply(named("GET"));
    first.block_on(async {
        // They wait for each other, and go when the runtime is no more.
        (0..MANY).for_each(|_| drop(scene.call(1)));
        held.arrived().await;
    });
    assert!(scene.cache.stats().reads > 0);
    drop(first);
    assert_eq!(scene.cache.stats().reads, 0);
    drop(held);
    runtime().block_on(scene.all_hit());
}
