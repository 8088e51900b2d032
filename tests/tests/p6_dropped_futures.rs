//! P6: dropping any future at any await hangs nobody, and costs at most one more body run.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use cache_runtime::{Cache, Error, ManualClock, redis_cached};
use cache_tests::body::Failed;
use cache_tests::proxy::{about, script};
use cache_tests::wait::SOON;
use cache_tests::{
    Body, Proxy, RedisServer, Stores, eventually, in_memory, patient, poll_n_then_drop, within,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};

/// How often a leader is dropped at each of its awaits.
const ROUNDS: usize = 1_000;
const WAITERS: usize = 50;
/// Rounds that are under way at once, each with a cache of its own.
const LANES: usize = 25;

/// The value says which key it is of; the body parks several times.
#[redis_cached(ttl = 300, skip(cache, runs), cache = cache)]
async fn parking(cache: &Cache, runs: &AtomicU64, id: usize) -> Result<String, String> {
    runs.fetch_add(1, Ordering::Relaxed);
    yield_now().await;
    yield_now().await;
    Ok(format!("value {id}"))
}

async fn waiters(cache: &Cache, runs: &Arc<AtomicU64>, id: usize, n: usize, all: &mut Waiters) {
    for _ in 0..n {
        let (cache, runs, done) = (cache.clone(), Arc::clone(runs), Arc::clone(&all.done));
        all.tasks.spawn(async move {
            let value = parking(&cache, &runs, id).await;
            done.fetch_add(1, Ordering::Relaxed);
            value
        });
    }
    all.spawned += n;
    // They all wait, or somebody else computes and they are all answered.
    let done = Arc::clone(&all.done);
    let spawned = all.spawned;
    // `eventually` would not be `Send` here.
    within("the waiters to wait", SOON * 2, async {
        while cache.stats().waiting + done.load(Ordering::Relaxed) < spawned {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[derive(Default)]
struct Waiters {
    tasks: JoinSet<Result<String, String>>,
    done: Arc<AtomicUsize>,
    spawned: usize,
}

/// A future that is polled once a step, and stands still between steps.
struct Stepwise<F> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl<F: Future> Stepwise<F> {
    fn new(future: F) -> Self {
        let woken = Arc::new(Woken(Notify::new()));
        woken.0.notify_one();
        let future = Box::pin(future);
        Self { future, woken }
    }

    /// Polls it as soon as it is woken.
    async fn step(&mut self) -> Option<F::Output> {
        self.woken.0.notified().await;
        match self.poll() {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Drops a leader after `n` polls. Half of the waiters come as soon as it leads, the others as soon
/// as its body runs. `true` if the leader had finished by then.
async fn drop_the_leader(cache: &Cache, id: usize, n: usize) -> bool {
    let runs = Arc::new(AtomicU64::new(0));
    let mut all = Waiters::default();
    let mut leader = Stepwise::new(parking(cache, &runs, id));
    let mut outcome = None;
    for _ in 0..n {
        outcome = leader.step().await;
        if outcome.is_some() {
            break;
        }
        if all.spawned == 0 && cache.stats().flights > 0 {
            waiters(cache, &runs, id, WAITERS / 2, &mut all).await;
        }
        if all.spawned == WAITERS / 2 && runs.load(Ordering::Relaxed) > 0 {
            waiters(cache, &runs, id, WAITERS / 2, &mut all).await;
        }
    }
    let missing = WAITERS - all.spawned;
    if missing > 0 {
        waiters(cache, &runs, id, missing, &mut all).await;
    }
    let finished = outcome.is_some();
    let before = runs.load(Ordering::Relaxed);
    drop(leader);
    let values = within("every waiter to be answered", SOON, all.tasks.join_all()).await;
    let expected = Ok(format!("value {id}"));
    assert_eq!(values.len(), WAITERS);
    assert!(values.iter().all(|value| *value == expected), "{values:?}");
    if let Some(value) = outcome {
        assert_eq!(value, expected);
    }
    let more = runs.load(Ordering::Relaxed) - before.min(1);
    assert!(
        more <= 1,
        "{more} more body runs for one drop after {n} polls"
    );
    assert_eq!(
        (cache.stats().flights, cache.stats().waiting),
        (0, 0),
        "after {n} polls"
    );
    assert_eq!(parking(cache, &runs, id).await, expected);
    finished
}

async fn drop_leaders_at_every_await(caches: Vec<Cache>) -> usize {
    for n in 1..100 {
        let mut lanes = JoinSet::new();
        for (lane, cache) in caches.iter().cloned().enumerate() {
            lanes.spawn(async move {
                let rounds = ROUNDS / LANES;
                let mut finished = 0;
                for round in 0..rounds {
                    let id = (n * LANES + lane) * rounds + round;
                    finished += usize::from(drop_the_leader(&cache, id, n).await);
                }
                finished
            });
        }
        if lanes.join_all().await.into_iter().sum::<usize>() == ROUNDS {
            return n;
        }
    }
    panic!("the leader never finishes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_leader_dropped_at_each_of_its_awaits_in_process() {
    let polls = drop_leaders_at_every_await((0..LANES).map(|_| in_memory()).collect()).await;
    assert!(polls >= 3, "{polls} polls are less than the body's own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_leader_dropped_at_each_of_its_awaits_on_redis() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    proxy.delay(Duration::from_millis(1));
    let caches: Vec<_> = (0..LANES).map(|_| patient(&proxy.url())).collect();
    for cache in &caches {
        cache.ping().await.expect("a server that answers");
    }
    let polls = drop_leaders_at_every_await(caches).await;
    assert!(
        polls >= 6,
        "{polls} polls are less than GET, ACQUIRE, the body's own and STORE"
    );
}

/// Everybody is dropped after a random number of polls but one, who is answered.
async fn storm(cache: &Cache, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..100 {
        let id = 1_000_000 + seed as usize * 1_000 + round;
        let runs = Arc::new(AtomicU64::new(0));
        let mut callers = JoinSet::new();
        let survivor = random.usize(..WAITERS);
        for caller in 0..WAITERS {
            let polls = if caller == survivor {
                usize::MAX
            } else {
                random.usize(1..8)
            };
            let (cache, runs) = (cache.clone(), Arc::clone(&runs));
            callers.spawn(async move { poll_n_then_drop(parking(&cache, &runs, id), polls).await });
        }
        let outcomes = within("the survivor to be answered", SOON, callers.join_all()).await;
        let mut answered = outcomes.into_iter().flatten().peekable();
        assert!(answered.peek().is_some());
        assert!(answered.all(|value| value == Ok(format!("value {id}"))));
        assert_eq!(cache.stats().flights, 0, "seed {seed}, round {round}");
        let runs = runs.load(Ordering::Relaxed);
        assert!(runs <= WAITERS as u64, "{runs} runs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_any_callers_dropped_at_any_await_hang_nobody() {
    let server = RedisServer::start().await;
    let mut storms = JoinSet::new();
    for seed in 0..8 {
        let cache = if seed % 2 == 0 {
            in_memory()
        } else {
            patient(&server.url())
        };
        storms.spawn(async move { storm(&cache, seed).await });
    }
    storms.join_all().await;
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn gated(cache: &Cache, body: &Body, id: usize) -> u64 {
    let _ = id;
    body.run().await.expect("a body that returns")
}

#[tokio::test]
async fn p6_waiters_dropped_at_each_of_their_awaits_cost_nothing() {
    let server = RedisServer::start().await;
    for cache in [in_memory(), patient(&server.url())] {
        for (id, polls) in
            (1..=4).flat_map(|polls| (0..50).map(move |id| (polls * 100 + id, polls)))
        {
            let body = Body::gated();
            let dropping = async {
                body.wait_until_running(1).await;
                for _ in 0..5 {
                    let waiter = poll_n_then_drop(gated(&cache, &body, id), polls);
                    // It is woken as often as it looks into Redis; then it waits for the body.
                    tokio::select! {
                        outcome = waiter => assert_eq!(outcome, None),
                        () = eventually("it to wait", SOON, async || cache.stats().waiting == 1) => {}
                    }
                    assert_eq!(cache.stats().waiting, 0);
                }
                body.open_gate();
            };
            assert_eq!(tokio::join!(gated(&cache, &body, id), dropping).0, 1);
            assert_eq!(body.runs(), 1);
        }
    }
}

#[tokio::test]
async fn p6_the_heir_of_a_dropped_leader_may_be_dropped_too() {
    let server = RedisServer::start().await;
    for cache in [in_memory(), patient(&server.url())] {
        // The one who leads may be the one who stays: once in twenty times, unless more is amiss.
        let mut runs = 1;
        for id in 0..10 {
            runs = heirs_dropped_in_turn(&cache, id).await;
            if runs > 1 {
                break;
            }
        }
        assert!(runs > 1, "no leader was dropped");
    }
}

/// Twenty callers, of whom all but one are dropped while they wait or lead; how often the body ran.
async fn heirs_dropped_in_turn(cache: &Cache, id: usize) -> u64 {
    let body = Body::gated();
    let mut callers: Vec<_> = (0..20)
        .map(|_| {
            let (cache, body) = (cache.clone(), body.clone());
            tokio::spawn(async move { gated(&cache, &body, id).await })
        })
        .collect();
    loop {
        eventually("one to lead, and the others to wait", SOON, async || {
            (body.running(), cache.stats().waiting) == (1, callers.len() - 1)
        })
        .await;
        if callers.len() == 1 {
            break;
        }
        // Which of them leads is their own affair, so now and then it is this one.
        let gone = callers.swap_remove(0);
        gone.abort();
        assert!(gone.await.expect_err("aborted").is_cancelled());
    }
    body.open_gate();
    for caller in callers {
        let run = within("the last one to be answered", SOON, caller).await;
        assert_eq!(run.expect("no panic"), body.runs());
    }
    assert_eq!(body.most_at_once(), 1);
    assert_eq!(cache.stats().flights, 0);
    body.runs()
}

#[tokio::test]
async fn p6_the_sender_of_a_shared_read_may_be_dropped() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = patient(&proxy.url());
    cache.ping().await.expect("a server that answers");
    for id in 0..100 {
        let body = Body::new();
        let key = gated_entry(&cache, id).key().expect("a key");
        let held = proxy.hold(about("GET", &key));
        let mut senders: Vec<_> = (0..2).map(|_| Box::pin(gated(&cache, &body, id))).collect();
        for sender in &mut senders {
            assert_eq!(poll_n_then_drop(sender.as_mut(), 1).await, None);
        }
        held.arrived().await;
        let others: JoinSet<_> = (0..WAITERS)
            .map(|_| {
                let (cache, body) = (cache.clone(), body.clone());
                async move { gated(&cache, &body, id).await }
            })
            .collect();
        yield_now().await;
        drop(senders);
        held.release();
        let values = within("the others to be answered", SOON, others.join_all()).await;
        assert!(values.iter().all(|run| *run == 1), "{values:?}");
        assert_eq!(body.runs(), 1);
    }
}

/// The source of what is cached.
#[redis_cached(ttl = 300, skip(cache, source), cache = cache)]
async fn current(cache: &Cache, source: &AtomicU64, id: usize) -> u64 {
    let _ = id;
    yield_now().await;
    source.load(Ordering::SeqCst)
}

type Operation = for<'a> fn(
    &'a Cache,
    &'a AtomicU64,
    usize,
) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Drops an operation at each of its awaits; the cache works on.
async fn drop_the_operation(
    cache: &Cache,
    name: &str,
    operation: Operation,
    is_invalidation: bool,
) {
    let source = AtomicU64::new(1);
    let mut polls = 0;
    let mut finished = false;
    while !finished {
        polls += 1;
        finished = true;
        for round in 0..20 {
            let id = polls * 1_000 + round;
            let before = current(cache, &source, id).await;
            let now = source.fetch_add(1, Ordering::SeqCst) + 1;
            finished &= poll_n_then_drop(operation(cache, &source, id), polls)
                .await
                .is_some();
            let after = within("a call after it", SOON, current(cache, &source, id)).await;
            assert!(
                after == before || after == now,
                "{name}: {before} {after} {now}"
            );
            if is_invalidation {
                assert_eq!(after, now, "{name}: a dropped one is remembered");
            }
            let now = source.fetch_add(1, Ordering::SeqCst) + 1;
            let entry = current_entry(cache, id);
            entry.invalidate().await.expect("a cache that works");
            let after = within("a call after it", SOON, current(cache, &source, id)).await;
            assert_eq!(after, now, "{name}, dropped after {polls} polls");
            assert_eq!(current(cache, &source, id).await, now);
            assert_eq!(entry.get().await.expect("a cache that works"), Some(now));
            assert_eq!(
                cache.stats().flights,
                0,
                "{name}, dropped after {polls} polls"
            );
        }
    }
    eventually("nothing to be left over", SOON, async || {
        cache.stats().unfinished_invalidations == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_operations_on_entries_dropped_at_each_of_their_awaits_leave_a_cache_that_works() {
    let operations: [(&str, bool, Operation); 5] = [
        ("put", false, |cache, source, id| {
            Box::pin(async move {
                let value = source.load(Ordering::SeqCst);
                current_entry(cache, id).put(&value).await
            })
        }),
        ("invalidate", true, |cache, _, id| {
            Box::pin(async move { current_entry(cache, id).invalidate().await })
        }),
        ("refresh", false, |cache, source, id| {
            Box::pin(async move {
                let body = current_uncached(cache, source, id);
                current_entry(cache, id).refresh(body).await;
                Ok(())
            })
        }),
        ("get_or_compute", false, |cache, source, id| {
            Box::pin(async move {
                let body = || current_uncached(cache, source, id);
                current_entry(cache, id).get_or_compute(body).await;
                Ok(())
            })
        }),
        ("get", false, |cache, _, id| {
            Box::pin(async move { current_entry(cache, id).get().await.map(drop) })
        }),
    ];
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    proxy.delay(Duration::from_millis(1));
    for cache in [in_memory(), patient(&proxy.url())] {
        for (name, is_invalidation, operation) in operations {
            drop_the_operation(&cache, name, operation, is_invalidation).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_runtime_that_ends_under_its_leader_hangs_no_other_runtime() {
    let server = RedisServer::start().await;
    for cache in [in_memory(), patient(&server.url())] {
        let body = Body::gated();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let leader = (cache.clone(), body.clone());
        runtime.spawn(async move { gated(&leader.0, &leader.1, 1).await });
        body.wait_until_running(1).await;
        let waiter = (cache.clone(), body.clone());
        let waiter = tokio::spawn(async move { gated(&waiter.0, &waiter.1, 1).await });
        eventually("the waiter to wait", SOON, async || {
            cache.stats().waiting == 1
        })
        .await;
        runtime.shutdown_background();
        body.wait_until_begun(2).await;
        body.open_gate();
        let run = within("the waiter to be answered", SOON, waiter).await;
        assert_eq!(run.expect("no panic"), 2);
    }
}

thread_local! {
    /// The flights of the cache, each time that a [`Last`] of this thread was dropped; `None` where nobody asks.
    static FLIGHTS: RefCell<Option<(Cache, Vec<usize>)>> = const { RefCell::new(None) };
}

/// Looks at the flights as it is dropped. A call that begins there would wait for one that is its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        FLIGHTS.with_borrow_mut(|asked| {
            if let Some((cache, flights)) = asked {
                flights.push(cache.stats().flights);
            }
        });
    }
}

/// Drops a call that leads a flight; the flights that each [`Last`] saw.
fn flights_at_the_drop_of<F>(call: Stepwise<F>, cache: &Cache) -> Vec<usize> {
    assert_eq!(cache.stats().flights, 1, "it leads");
    let flights = flights_seen(cache, || drop(call));
    assert_eq!(cache.stats().flights, 0);
    flights
}

/// The flights that each [`Last`] saw that `end` dropped.
fn flights_seen(cache: &Cache, end: impl FnOnce()) -> Vec<usize> {
    FLIGHTS.set(Some((cache.clone(), vec![])));
    end();
    let (_, flights) = FLIGHTS.take().expect("it was set");
    flights
}

#[redis_cached(ttl = 300, skip(cache, runs, last), cache = cache)]
async fn takes_one(cache: &Cache, runs: &AtomicU64, last: Last) -> u64 {
    let _last = last;
    runs.fetch_add(1, Ordering::SeqCst)
}

#[tokio::test]
async fn p6_a_dropped_call_leaves_its_flight_before_its_arguments_are_dropped() {
    let server = RedisServer::start().await;
    let (cache, runs) = (patient(&server.url()), AtomicU64::new(0));
    let mut call = Stepwise::new(takes_one(&cache, &runs, Last));
    while cache.stats().flights == 0 {
        assert_eq!(call.step().await, None);
    }
    assert_eq!(
        runs.load(Ordering::SeqCst),
        0,
        "it asks for the right to store"
    );
    assert_eq!(flights_at_the_drop_of(call, &cache), [0]);
}

#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache, body), cache = cache)]
async fn returns_one(cache: &Cache, body: &Body) -> Result<Last, Failed> {
    body.run().await.map(|_| Last)
}

#[tokio::test]
async fn p6_a_dropped_call_leaves_its_flight_before_its_stale_value_is_dropped() {
    let (clock, body) = (ManualClock::new(), Body::new());
    let builder = Cache::builder().in_memory().clock(&clock);
    let cache = builder.build().expect("a store in this process");
    assert!(returns_one(&cache, &body).await.is_ok());
    clock.advance(Duration::from_secs(61));
    body.shut_gate();
    let mut call = Stepwise::new(returns_one(&cache, &body));
    assert!(call.step().await.is_none());
    body.wait_until_running(1).await;
    assert_eq!(flights_at_the_drop_of(call, &cache), [0]);
}

#[redis_cached(ttl = 60, stale_if_error = 600, skip(cache), cache = cache)]
async fn yields_one(cache: &Cache, id: usize) -> Result<Last, Failed> {
    let _ = id;
    yield_now().await;
    Ok(Last)
}

/// While a call asks for the right to store, while its body runs, and while it stores.
#[tokio::test]
async fn p6_a_call_dropped_at_any_await_leaves_its_flight_before_its_values_are_dropped() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    // While it stores a call has two values, which it does for no time in this process.
    for (cache, most) in [(&stores.memory, 1), (&stores.redis, 2)] {
        let mut seen = vec![];
        // A script that a dropped call was the first to send may never have left, so a later call is polled once more for it.
        for (id, polls) in (1..=6).cycle().enumerate() {
            assert!(yields_one(cache, id).await.is_ok());
            clock.advance(Duration::from_secs(61));
            let mut call = Stepwise::new(yields_one(cache, id));
            let mut ended = false;
            for _ in 0..polls {
                ended = ended || call.step().await.is_some();
            }
            if !ended {
                let flights = flights_seen(cache, || drop(call));
                assert!(flights.iter().all(|flights| *flights == 0), "{flights:?}");
                seen.push(flights.len());
            }
            if polls == 6 && seen.contains(&most) {
                break;
            }
            assert!(id < 100, "values at the drops: {seen:?}");
        }
        assert!(
            seen.iter().filter(|values| **values > 0).count() >= most,
            "{seen:?}"
        );
    }
}

/// A body by hand, which panics when it is polled, or when it is dropped after that.
struct Panics {
    returns: bool,
}

impl Future for Panics {
    type Output = Result<Last, Failed>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(self.returns, "panics in its poll as it was told");
        Poll::Ready(Ok(Last))
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(!self.returns, "panics in its drop as it was told");
    }
}

#[tokio::test]
async fn p6_a_call_that_panics_leaves_its_flight_before_its_values_are_dropped() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    let makes: [(fn() -> Panics, usize); 3] = [
        (
            || panic!("panics where it makes the body, as it was told"),
            1,
        ),
        (|| Panics { returns: false }, 1),
        (|| Panics { returns: true }, 2),
    ];
    for cache in stores.both() {
        for (id, (make, values)) in makes.into_iter().enumerate() {
            assert!(yields_one(cache, id).await.is_ok());
            clock.advance(Duration::from_secs(61));
            let entry = yields_one_entry(cache, id);
            let mut call = Stepwise::new(entry.get_or_compute(make));
            let (mut panicked, mut flights) = (false, vec![]);
            while !panicked {
                call.woken.0.notified().await;
                flights = flights_seen(cache, || {
                    panicked = catch_unwind(AssertUnwindSafe(|| call.poll())).is_err();
                });
            }
            assert_eq!(flights, vec![0; values], "{id}");
            assert_eq!(cache.stats().flights, 0);
        }
    }
}

#[redis_cached(ttl = 60, stale_while_revalidate = 600, skip(cache, last), cache = cache)]
async fn revalidates(cache: &Cache, id: u64, last: Last) -> u64 {
    let _last = last;
    id
}

#[tokio::test]
async fn p6_a_run_behind_a_call_that_is_ended_leaves_its_flight_before_its_arguments_are_dropped() {
    let server = RedisServer::start().await;
    let (proxy, clock) = (Proxy::before(&server), ManualClock::new());
    let builder = Cache::builder().url(proxy.url()).timeout(SOON);
    let cache = builder.clock(&clock).build().expect("a cache");
    assert_eq!(revalidates(&cache, 1, Last).await, 1);
    clock.advance(Duration::from_secs(61));
    let held = proxy.hold(script());
    assert_eq!(revalidates(&cache, 1, Last).await, 1);
    held.arrived().await;
    assert_eq!(cache.stats().flights, 1, "it asks for the right to store");
    FLIGHTS.set(Some((cache.clone(), vec![])));
    let shut = within("the run to be dropped", SOON, cache.shutdown()).await;
    shut.expect("nothing is left to do");
    let (_, flights) = FLIGHTS.take().expect("it was set");
    assert_eq!(flights, [0]);
}

/// A runtime that has ended drops at once whatever is spawned there.
#[test]
fn p6_a_run_behind_a_call_that_cannot_begin_leaves_its_flight_before_its_arguments_are_dropped() {
    let clock = ManualClock::new();
    let builder = Cache::builder().in_memory().clock(&clock);
    let cache = builder.build().expect("a store in this process");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    assert_eq!(runtime.block_on(revalidates(&cache, 1, Last)), 1);
    clock.advance(Duration::from_secs(61));
    let ended = runtime.handle().clone();
    drop(runtime);
    let _inside = ended.enter();
    let mut call = pin!(revalidates(&cache, 1, Last));
    let flights = flights_seen(&cache, || {
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(1));
    });
    assert_eq!((flights, cache.stats().flights), (vec![0], 0));
}
