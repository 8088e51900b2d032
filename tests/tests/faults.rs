//! Faults on demand: what a test asks for is what a Redis in that state does, on both stores.
#![allow(missing_docs)]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use cache_runtime::{Cache, CacheBuilder, Entry, ErrorKind, Faults, only_if_cached, redis_cached};
use cache_tests::body::Failed;
use cache_tests::{Body, Proxy, RedisServer, eventually};
use tokio::sync::watch;

const TTL: Duration = Duration::from_secs(300);

/// More than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What no test waits for.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// What a test waits for again and again; nothing that is to succeed is bounded by it.
const HASTE: Duration = Duration::from_millis(60);

#[redis_cached(ttl = TTL, key = "faults:{id}", skip(cache, body), cache = cache)]
async fn plain(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// All that needs a stored value, a background or a lock.
#[redis_cached(
    ttl = TTL, none_ttl = TTL, key = "faults-with-all:{id}", skip(cache, body), cache = cache,
    stale_while_revalidate = TTL, stale_if_error = TTL * 2, refresh_ahead = 0.5, soft_timeout = TTL,
    jitter = 0.1, coalesce = "cluster"
)]
async fn with_all(cache: &Cache, body: &Body, id: u64) -> Result<Option<u64>, Failed> {
    body.run().await.map(Some)
}

/// A store under faults.
struct Broken {
    faults: Faults,
    /// A cache on it that gives up nothing because the machine is busy.
    patient: Cache,
    /// One that gives up soon, on the same server, or on a store of its own in process.
    hasty: Cache,
}

impl Broken {
    fn new(on: impl Fn() -> CacheBuilder) -> Self {
        let faults = Faults::new();
        let build = |timeout| {
            let builder = on().prefix("faults").faults(&faults);
            builder.timeout(timeout).build()
        };
        Self {
            patient: build(PATIENCE).expect("settings in order"),
            hasty: build(HASTE).expect("settings in order"),
            faults,
        }
    }
}

/// Both stores, and the server of one of them.
async fn both() -> ([Broken; 2], RedisServer) {
    let server = RedisServer::start().await;
    let stores = [
        Broken::new(|| Cache::builder().in_memory()),
        Broken::new(|| Cache::builder().url(server.url())),
    ];
    (stores, server)
}

fn kind<T>(result: Result<T, cache_runtime::Error>) -> ErrorKind {
    result.map(drop).expect_err("the cache is broken").kind()
}

/// Errors of this kind of the calls of `function` in the cache.
fn errors(cache: &Cache, function: &str, kind: ErrorKind) -> u64 {
    let stats = cache.stats();
    stats.of(function).expect("it was called").errors.of(kind)
}

/// Every operation of a cache and of an entry, and calls, while nobody is reached.
async fn nothing_is_reached(cache: &Cache, expected: ErrorKind, id: u64) {
    let body = Body::new();
    let mut ran = 0;
    let mut next = || {
        ran += 1;
        ran
    };
    for _ in 0..2 {
        assert_eq!(plain(cache, &body, id).await, Ok(next()));
        assert_eq!(with_all(cache, &body, id).await, Ok(Some(next())));
    }
    body.fail_next(1);
    let failed = Err(Failed { run: next() });
    assert_eq!(plain(cache, &body, id).await, failed);
    assert_eq!(only_if_cached(plain(cache, &body, id)).await, None);
    assert!(errors(cache, "plain", expected) >= 3);

    let entry = plain_entry(cache, id);
    assert_eq!(kind(entry.get().await), expected);
    assert_eq!(kind(entry.ttl().await), expected);
    assert_eq!(kind(entry.put(&1).await), expected);
    let (written, cached) = entry.put_with(body.run()).await;
    assert_eq!((written, kind(cached)), (Ok(next()), expected));
    assert_eq!(kind(entry.invalidate().await), expected);
    entry.invalidate_logged().await;
    assert_eq!(entry.get_or_compute(|| body.run()).await, Ok(next()));
    assert_eq!(entry.refresh(body.run()).await, Ok(next()));

    assert_eq!(kind(cache.ping().await), expected);
    assert_eq!(kind(cache.get::<u64>("a").await), expected);
    assert_eq!(kind(cache.set_ex("a", &1, TTL).await), expected);
    assert_eq!(kind(cache.delete("a").await), expected);
    assert_eq!(kind(cache.clear().await), expected);
    assert!(cache.stats().unfinished_invalidations > 0);
}

/// Every operation of a cache and of an entry, while all is well.
async fn all_is_well(cache: &Cache, id: u64) {
    let body = Body::new();
    let entry = plain_entry(cache, id);
    entry.invalidate().await.expect("all is well");
    for _ in 0..2 {
        assert_eq!(plain(cache, &body, id).await, Ok(1));
    }
    assert_eq!(entry.get().await.expect("all is well"), Some(1));
    assert!(entry.ttl().await.expect("all is well").is_some());
    entry.put(&7).await.expect("all is well");
    assert_eq!(entry.get().await.expect("all is well"), Some(7));
    let (written, cached) = entry.put_with(async { 8 }).await;
    cached.expect("all is well");
    assert_eq!(entry.get_or_compute(async || 0).await, written);
    assert_eq!(entry.refresh(async { 9 }).await, 9);
    assert_eq!(entry.get().await.expect("all is well"), Some(9));
    cache.ping().await.expect("all is well");
    cache.set_ex("a", &1, TTL).await.expect("all is well");
    assert_eq!(cache.get::<u64>("a").await.expect("all is well"), Some(1));
    cache.delete("a").await.expect("all is well");
    assert_eq!(cache.get::<u64>("a").await.expect("all is well"), None);
    entry.invalidate().await.expect("all is well");
    assert_eq!(entry.get().await.expect("all is well"), None);
    entry.put(&10).await.expect("all is well");
    cache.clear().await.expect("all is well");
    assert_eq!(entry.get().await.expect("all is well"), None);
}

/// Waits until what was invalidated under a fault is deleted.
async fn nothing_is_left(cache: &Cache) {
    eventually("what was invalidated is deleted", PATIENCE, async || {
        cache.stats().unfinished_invalidations == 0
    })
    .await;
}

#[tokio::test]
async fn without_a_fault_all_is_well() {
    let (stores, _server) = both().await;
    for Broken { patient, .. } in &stores {
        all_is_well(patient, 1).await;
    }
}

#[tokio::test]
async fn what_is_down_is_an_error_at_once_and_has_its_values_when_it_is_back() {
    let (stores, _server) = both().await;
    for store in &stores {
        let (Broken { faults, hasty, .. }, body) = (store, Body::new());
        assert_eq!(plain(&store.patient, &body, 1).await, Ok(1));
        faults.down();
        assert_eq!(plain(&store.patient, &body, 1).await, Ok(2));
        assert_eq!(kind(store.patient.ping().await), ErrorKind::Connect);
        nothing_is_reached(hasty, ErrorKind::Connect, 2).await;
        faults.none();
        assert_eq!(plain(&store.patient, &body, 1).await, Ok(1), "still there");
        nothing_is_left(hasty).await;
        all_is_well(&store.patient, 2).await;
    }
}

#[tokio::test]
async fn what_is_slower_than_the_timeout_costs_the_timeout_and_is_an_error() {
    let (stores, _server) = both().await;
    for store in &stores {
        let (Broken { faults, hasty, .. }, body) = (store, Body::new());
        faults.slow(FOR_EVER);
        let began = Instant::now();
        assert_eq!(plain(hasty, &body, 1).await, Ok(1));
        assert!(began.elapsed() >= HASTE);
        nothing_is_reached(hasty, ErrorKind::Timeout, 2).await;
        faults.none();
        nothing_is_left(hasty).await;
        all_is_well(&store.patient, 2).await;
    }
}

#[tokio::test]
async fn what_is_slow_within_the_timeout_works_and_takes_so_long() {
    let (stores, _server) = both().await;
    for Broken {
        faults, patient, ..
    } in &stores
    {
        let body = Body::new();
        faults.slow(HASTE);
        for questions in [3, 1] {
            let began = Instant::now();
            assert_eq!(plain(patient, &body, 1).await, Ok(1));
            assert!(began.elapsed() >= HASTE * questions, "{questions}");
        }
        let began = Instant::now();
        all_is_well(patient, 2).await;
        assert!(began.elapsed() >= HASTE * 20);
    }
}

/// That a value is stored, nothing new is, and a deletion is done.
async fn nothing_new_is_stored(cache: &Cache, entry: &Entry<u64>, stored: Option<u64>) {
    assert_eq!(entry.get().await.expect("it is read"), stored);
    let ttl = entry.ttl().await.expect("it is read");
    assert_eq!(ttl.is_some(), stored.is_some());
    cache.ping().await.expect("it answers");
}

#[tokio::test]
async fn what_is_full_is_read_and_takes_nothing() {
    let (stores, _server) = both().await;
    for store in &stores {
        let (faults, cache, body) = (&store.faults, &store.patient, Body::new());
        let [old, new] = [1, 2].map(|id| plain_entry(cache, id));
        assert_eq!(plain(cache, &body, 1).await, Ok(1));
        faults.full();
        assert_eq!(plain(cache, &body, 1).await, Ok(1));
        for run in 2..=3 {
            assert_eq!(plain(cache, &body, 2).await, Ok(run));
        }
        assert!(errors(cache, "plain", ErrorKind::Server) >= 2);
        assert_eq!(with_all(cache, &body, 2).await, Ok(Some(4)));
        nothing_new_is_stored(cache, &old, Some(1)).await;
        nothing_new_is_stored(cache, &new, None).await;
        assert_eq!(new.get_or_compute(|| body.run()).await, Ok(5));
        assert_eq!(old.refresh(body.run()).await, Ok(6));

        let error = old.put(&7).await.expect_err("there is no room");
        assert_eq!(error.kind(), ErrorKind::Server);
        assert!(error.to_string().contains("OOM"), "{error}");
        assert_eq!(kind(cache.set_ex("a", &1, TTL).await), ErrorKind::Server);
        assert_eq!(cache.get::<u64>("a").await.expect("it is read"), None);
        cache.delete("a").await.expect("it is deleted");
        nothing_new_is_stored(cache, &old, Some(1)).await;
        let (written, cached) = old.put_with(body.run()).await;
        assert_eq!(written, Ok(7));
        cached.expect("the old value is deleted");
        nothing_new_is_stored(cache, &old, None).await;
        old.invalidate().await.expect("it is deleted");
        old.invalidate_logged().await;
        cache.clear().await.expect("it is deleted");
        faults.none();
        all_is_well(cache, 2).await;
    }
}

#[tokio::test]
async fn garbage_is_a_miss_and_what_is_stored_can_be_read_later() {
    let (stores, _server) = both().await;
    for store in &stores {
        let (faults, cache, body) = (&store.faults, &store.patient, Body::new());
        let entry = plain_entry(cache, 1);
        assert_eq!(plain(cache, &body, 1).await, Ok(1));
        assert_eq!(with_all(cache, &body, 1).await, Ok(Some(2)));
        faults.garbage();
        assert_eq!(plain(cache, &body, 1).await, Ok(3));
        assert_eq!(with_all(cache, &body, 1).await, Ok(Some(4)));
        assert_eq!(plain(cache, &body, 1).await, Ok(5));
        assert!(errors(cache, "plain", ErrorKind::Decode) >= 2);
        assert_eq!(only_if_cached(plain(cache, &body, 1)).await, None);
        assert_eq!(entry.get().await.expect("it is read"), None);
        assert!(entry.ttl().await.expect("it is read").is_some());
        cache.ping().await.expect("it answers");
        faults.none();
        assert_eq!(entry.get().await.expect("it is read"), Some(5));
        assert_eq!(with_all(cache, &body, 1).await, Ok(Some(4)));

        faults.garbage();
        assert_eq!(entry.get_or_compute(|| body.run()).await, Ok(6));
        assert_eq!(entry.refresh(body.run()).await, Ok(7));
        entry.put(&8).await.expect("it is stored");
        cache.set_ex("a", &9, TTL).await.expect("it is stored");
        assert_eq!(cache.get::<u64>("a").await.expect("it is read"), None);
        faults.none();
        assert_eq!(entry.get().await.expect("it is read"), Some(8));
        assert_eq!(cache.get::<u64>("a").await.expect("it is read"), Some(9));

        faults.garbage();
        let (written, cached) = entry.put_with(body.run()).await;
        assert_eq!(written, Ok(8));
        cached.expect("it is stored");
        cache.delete("a").await.expect("it is deleted");
        faults.none();
        assert_eq!(plain(cache, &body, 1).await, Ok(8));
        faults.garbage();
        entry.invalidate().await.expect("it is deleted");
        entry.invalidate_logged().await;
        cache.clear().await.expect("it is deleted");
        faults.none();
        assert_eq!(entry.get().await.expect("it is read"), None);
    }
}

#[tokio::test]
async fn where_the_right_to_store_is_gone_nothing_stays() {
    let (stores, _server) = both().await;
    for store in &stores {
        let (faults, cache, body) = (&store.faults, &store.patient, Body::new());
        let [old, new] = [1, 2].map(|id| plain_entry(cache, id));
        assert_eq!(plain(cache, &body, 1).await, Ok(1));
        faults.refuses_to_store();
        assert_eq!(plain(cache, &body, 1).await, Ok(1));
        for run in 2..=3 {
            assert_eq!(plain(cache, &body, 2).await, Ok(run));
        }
        assert_eq!(with_all(cache, &body, 2).await, Ok(Some(4)));
        assert_eq!(new.get_or_compute(|| body.run()).await, Ok(5));
        nothing_new_is_stored(cache, &old, Some(1)).await;
        nothing_new_is_stored(cache, &new, None).await;
        assert_eq!(old.refresh(body.run()).await, Ok(6));
        nothing_new_is_stored(cache, &old, None).await;
        new.put(&7).await.expect("it was stored, and taken away");
        nothing_new_is_stored(cache, &new, None).await;
        let (written, cached) = new.put_with(body.run()).await;
        assert_eq!(written, Ok(7));
        cached.expect("it was stored, and taken away");
        nothing_new_is_stored(cache, &new, None).await;
        cache.set_ex("a", &1, TTL).await.expect("it was stored");
        assert_eq!(cache.get::<u64>("a").await.expect("it is read"), None);
        cache.delete("a").await.expect("it is deleted");
        new.invalidate().await.expect("it is deleted");
        new.invalidate_logged().await;
        cache.clear().await.expect("it is deleted");
        assert_eq!(errors(cache, "plain", ErrorKind::Server), 0);
        faults.none();
        all_is_well(cache, 2).await;
    }
}

#[tokio::test]
async fn who_waits_for_what_is_slow_goes_on_as_the_next_fault_says() {
    let (stores, _server) = both().await;
    for store in &stores {
        let (faults, cache, body) = (&store.faults, &store.patient, Body::new());
        assert_eq!(plain(cache, &body, 1).await, Ok(1));
        let entry = plain_entry(cache, 1);
        for down in [false, true] {
            faults.slow(FOR_EVER);
            let mut call = pin!(plain(cache, &body, 1));
            let mut look = pin!(entry.get());
            poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                assert!(look.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            if down {
                faults.down();
                assert_eq!(call.await, Ok(2));
                assert_eq!(kind(look.await), ErrorKind::Connect);
            } else {
                faults.none();
                assert_eq!(call.await, Ok(1));
                assert_eq!(look.await.expect("it is read"), Some(1));
            }
        }
    }
}

#[tokio::test]
async fn a_fault_that_comes_while_a_body_runs_is_met_by_what_it_returns() {
    let (stores, _server) = both().await;
    for (store, is_in_process) in stores.iter().zip([true, false]) {
        let Broken {
            faults,
            patient,
            hasty,
        } = store;
        let begin: [(&Cache, &dyn Fn()); 4] = [
            (patient, &|| faults.down()),
            (hasty, &|| faults.slow(FOR_EVER)),
            (patient, &|| faults.full()),
            (patient, &|| faults.refuses_to_store()),
        ];
        for (id, (cache, begin)) in (1..).zip(begin) {
            let body = Body::gated();
            let call = tokio::spawn({
                let (cache, body) = (cache.clone(), body.clone());
                async move { plain(&cache, &body, id).await }
            });
            body.wait_until_running(1).await;
            begin();
            body.open_gate();
            assert_eq!(call.await.expect("no panic"), Ok(1), "{id}");
            faults.none();
            // On the server, where the same stands for both.
            let cache = if is_in_process { cache } else { patient };
            let stored = plain_entry(cache, id).get().await;
            assert_eq!(stored.expect("it is read"), None, "{id}");
        }
    }
}

#[tokio::test]
async fn a_fault_that_comes_while_the_source_is_written_leaves_no_value() {
    let (stores, _server) = both().await;
    for (store, is_in_process) in stores.iter().zip([true, false]) {
        let Broken {
            faults,
            patient,
            hasty,
        } = store;
        let begin: [(&Cache, &dyn Fn(), _); 5] = [
            (hasty, &|| faults.down(), Some(ErrorKind::Connect)),
            (hasty, &|| faults.slow(FOR_EVER), Some(ErrorKind::Timeout)),
            (patient, &|| faults.full(), Some(ErrorKind::Server)),
            (patient, &|| faults.refuses_to_store(), None),
            (patient, &|| faults.garbage(), None),
        ];
        for (id, (cache, begin, expected)) in (1..).zip(begin) {
            // On the server, where the same stands for both.
            let seeing = if is_in_process { cache } else { patient };
            let stored = plain_entry(seeing, id);
            stored.put(&7).await.expect("all is well");
            let body = Body::gated();
            let write = tokio::spawn({
                let (entry, body) = (plain_entry(cache, id), body.clone());
                async move { entry.put_with(body.run()).await }
            });
            body.wait_until_running(1).await;
            begin();
            body.open_gate();
            let (written, cached) = write.await.expect("no panic");
            assert_eq!(written, Ok(1), "{id}");
            assert_eq!(cached.err().map(|error| error.kind()), expected, "{id}");
            faults.none();
            nothing_is_left(cache).await;
            let left = (id == 5).then_some(1);
            assert_eq!(stored.get().await.expect("it is read"), left, "{id}");
        }
    }
}

#[tokio::test]
async fn who_came_while_a_body_ran_has_no_proof_of_its_failure_where_the_store_gives_none() {
    let (stores, _server) = both().await;
    for Broken {
        faults, patient, ..
    } in &stores
    {
        let begin: [&dyn Fn(); 3] = [&|| faults.none(), &|| faults.refuses_to_store(), &|| {
            faults.down()
        }];
        for (id, begin) in (1..).zip(begin) {
            let body = Body::gated();
            body.fail_next(1);
            let call = || {
                let (cache, body) = (patient.clone(), body.clone());
                tokio::spawn(async move { plain(&cache, &body, id).await })
            };
            let leads = call();
            body.wait_until_running(1).await;
            let waits = call();
            eventually("the second call waits", PATIENCE, async || {
                patient.stats().waiting == 1
            })
            .await;
            begin();
            body.open_gate();
            let failed = Err(Failed { run: 1 });
            assert_eq!(leads.await.expect("no panic"), failed);
            let expected = if id == 1 { failed } else { Ok(2) };
            assert_eq!(waits.await.expect("no panic"), expected, "{id}");
            faults.none();
        }
    }
}

#[tokio::test]
async fn faults_that_come_and_go_fail_no_call() {
    const CALLERS: u64 = 6;
    const ROUNDS: u64 = 5;
    let (stores, _server) = both().await;
    for Broken {
        faults,
        patient,
        hasty,
    } in stores
    {
        let rounds = watch::Sender::new(0);
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let rounds = rounds.subscribe();
                let cache = [&patient, &hasty][caller as usize % 2].clone();
                tokio::spawn(async move {
                    let body = Body::new();
                    for id in (0..3).cycle() {
                        if *rounds.borrow() == ROUNDS {
                            break;
                        }
                        assert!(plain(&cache, &body, id).await.is_ok());
                        assert!(with_all(&cache, &body, id).await.is_ok());
                        // A hit in process waits for nothing, so the faults would never change.
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for round in 1..=ROUNDS {
            let begin: [&dyn Fn(); 6] = [
                &|| faults.down(),
                &|| faults.slow(Duration::from_millis(2)),
                &|| faults.full(),
                &|| faults.garbage(),
                &|| faults.refuses_to_store(),
                &|| faults.none(),
            ];
            for begin in begin {
                begin();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            rounds.send_replace(round);
        }
        for caller in callers {
            caller.await.expect("every call has an answer");
        }
        faults.none();
        for cache in [&patient, &hasty] {
            eventually("no call is under way", PATIENCE, async || {
                cache.stats().flights == 0
            })
            .await;
        }
        all_is_well(&patient, 0).await;
    }
}

#[test]
fn a_runtime_without_timers_runs_bodies_under_every_fault() {
    let faults = Faults::new();
    let cache = Cache::builder().in_memory().faults(&faults).build();
    let (cache, body) = (cache.expect("a store in process"), Body::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        assert_eq!(plain(&cache, &body, 1).await, Ok(1));
        faults.down();
        assert_eq!(plain(&cache, &body, 1).await, Ok(2));
        let invalidated = plain_entry(&cache, 1).invalidate().await;
        assert_eq!(kind(invalidated), ErrorKind::NoRuntime);
        faults.slow(FOR_EVER);
        assert_eq!(plain(&cache, &body, 1).await, Ok(3));
        faults.none();
        assert_eq!(plain(&cache, &body, 1).await, Ok(4), "it was invalidated");
        assert_eq!(plain(&cache, &body, 1).await, Ok(4));
    });
}

/// Where an outage is real, `other` takes the value away while the body runs, as another process.
async fn nine(other: Option<&Cache>, id: u64) -> u64 {
    if let Some(other) = other {
        let entry = echo_entry(other, id);
        entry.invalidate().await.expect("it reaches the server");
    }
    9
}

#[redis_cached(ttl = TTL, key = "faults-echo:{id}", skip(cache, other), cache = cache)]
async fn echo(cache: &Cache, other: Option<&Cache>, id: u64) -> u64 {
    nine(other, id).await
}

/// What an operation of the cache said.
fn told<T: std::fmt::Debug>(result: Result<T, cache_runtime::Error>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        // A breaker that has opened says less than the first who found out.
        Err(error) if error.is_timeout() || error.is_unavailable() => "out of reach".to_owned(),
        Err(error) => error.kind().to_string(),
    }
}

const OPERATIONS: u64 = 9;

async fn operate(operation: u64, cache: &Cache, other: Option<&Cache>, id: u64) -> String {
    let entry = echo_entry(cache, id);
    match operation {
        0 => echo(cache, other, id).await.to_string(),
        1 => format!("{:?}", only_if_cached(echo(cache, other, id)).await),
        2 => told(entry.get().await),
        3 => told(entry.ttl().await.map(|ttl| ttl.is_some())),
        4 => told(entry.put(&8).await),
        5 => {
            let (written, cached) = entry.put_with(nine(other, id)).await;
            format!("{written}, {}", told(cached))
        }
        6 => told(entry.invalidate().await),
        7 => {
            let computed = entry.get_or_compute(|| nine(other, id)).await;
            computed.to_string()
        }
        8 => entry.refresh(nine(other, id)).await.to_string(),
        _ => unreachable!("there are no more"),
    }
}

/// What each operation says of a key without a value and of one with 7, while all is broken, and what stands under each
/// key afterwards. `seeing`: a cache on the same store that waits for longer.
async fn outcomes(
    [cache, seeing]: [&Cache; 2],
    other: Option<&Cache>,
    begin: impl AsyncFnOnce(),
    end: impl AsyncFnOnce(),
) -> [Vec<String>; 2] {
    let ids = 0..2 * OPERATIONS;
    for id in ids.clone().filter(|id| id % 2 == 1) {
        let entry = echo_entry(seeing, id);
        entry.put(&7).await.expect("all is well");
    }
    begin().await;
    let mut said = vec![told(cache.ping().await)];
    for id in ids.clone() {
        let outcome = operate(id / 2, cache, other, id).await;
        said.push(format!("{id}: {outcome}"));
    }
    end().await;
    nothing_is_left(cache).await;
    let mut left = vec![];
    for id in ids {
        let value = echo_entry(seeing, id).get().await;
        left.push(format!("{id}: {value:?}"));
    }
    [said, left]
}

/// What comes of a fault on both stores.
async fn of_faults(is_hasty: bool, begin: impl Fn(&Faults)) -> [[Vec<String>; 2]; 2] {
    let ([memory, redis], _server) = both().await;
    let mut all = vec![];
    for (store, is_in_process) in [(&memory, true), (&redis, false)] {
        let cache = [&store.patient, &store.hasty][usize::from(is_hasty)];
        let seeing = if is_in_process { cache } else { &store.patient };
        let begin = async || begin(&store.faults);
        let end = async || store.faults.none();
        all.push(outcomes([cache, seeing], None, begin, end).await);
    }
    all.try_into().expect("two of them")
}

/// Two caches on one server: one that gives up soon, and one that does not.
fn on(url: &str, direct: &str) -> [Cache; 2] {
    [(url, HASTE), (direct, PATIENCE)].map(|(url, timeout)| {
        let cache = Cache::builder().url(url).timeout(timeout).build();
        cache.expect("settings in order")
    })
}

#[tokio::test]
async fn what_is_down_does_what_a_server_does_that_refuses_connections() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let [hasty, patient] = on(&proxy.url(), &server.url());
    let begin = async || proxy.refuse();
    let real = outcomes([&hasty, &patient], None, begin, async || proxy.accept()).await;
    assert_eq!(of_faults(true, Faults::down).await, [real.clone(), real]);
}

#[tokio::test]
async fn what_is_slow_does_what_a_server_does_that_hangs() {
    let server = RedisServer::start().await;
    let [hasty, patient] = on(&server.url(), &server.url());
    let begin = async || server.stop();
    let real = outcomes([&hasty, &patient], None, begin, async || server.cont()).await;
    let faults = of_faults(true, |faults| faults.slow(FOR_EVER)).await;
    assert_eq!(faults, [real.clone(), real]);
}

#[tokio::test]
async fn what_is_full_does_what_a_server_does_that_is_full() {
    let server = RedisServer::start().await;
    let [_, cache] = on(&server.url(), &server.url());
    let limit = async |bytes: &str| {
        server.cli(&["CONFIG", "SET", "maxmemory", bytes]);
    };
    let [begin, end] = ["1", "0"].map(|bytes| async move || limit(bytes).await);
    let real = outcomes([&cache, &cache], None, begin, end).await;
    assert_eq!(of_faults(false, Faults::full).await, [real.clone(), real]);
}

#[tokio::test]
async fn garbage_does_what_bytes_do_that_are_no_value() {
    let server = RedisServer::start().await;
    let [_, cache] = on(&server.url(), &server.url());
    let begin = async || {
        for id in (0..2 * OPERATIONS).filter(|id| id % 2 == 1) {
            let key = echo_entry(&cache, id).key().expect("a key");
            server.cli(&["SET", &key, "garbage", "KEEPTTL"]);
        }
    };
    let [real, _] = outcomes([&cache, &cache], None, begin, async || {}).await;
    let [[memory, _], [redis, _]] = of_faults(false, Faults::garbage).await;
    assert_eq!([memory, redis], [real.clone(), real]);
}

#[tokio::test]
async fn where_the_right_is_gone_is_what_an_invalidation_by_another_process_leaves() {
    let server = RedisServer::start().await;
    let [[_, cache], [_, other]] = [(); 2].map(|()| on(&server.url(), &server.url()));
    let nothing = async || {};
    let real = outcomes([&cache, &cache], Some(&other), nothing, nothing).await;
    let faults = of_faults(false, Faults::refuses_to_store).await;
    // Nobody comes between here, where a value is put that was there before.
    let put = 2 * 4..2 * 4 + 2;
    for mut faults in faults {
        for id in put.clone() {
            assert!(faults[1][id].ends_with(": Ok(None)"), "{faults:?}");
            faults[1][id].clone_from(&real[1][id]);
        }
        assert_eq!(faults, real);
    }
}
