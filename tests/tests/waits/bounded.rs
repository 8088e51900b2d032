//! Waits for a body that does not end: the bound, who runs then, and who is answered by whom.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use cache_runtime::{Cache, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Logs, RedisServer, Stores, eventually, in_memory, patient, within};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::{DEFAULT, SHORT, herd, stats};

const WAITS: &str = "waits for another's body";

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn value(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn endless(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn told(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
async fn answered(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = 300,
    key = "clustered:{id}",
    skip(cache, body),
    cache = cache,
    coalesce = "cluster"
)]
async fn clustered(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

type Call = JoinHandle<Result<u64, Failed>>;

fn call(cache: &Cache, body: &Body, id: u64) -> Call {
    let (cache, body) = (cache.clone(), body.clone());
    tokio::spawn(async move { value(&cache, &body, id).await })
}

async fn answer(call: Call) -> Result<u64, Failed> {
    within("an answer", SOON, call).await.expect("no panic")
}

/// The number of the run whose value each of them got.
async fn answers(calls: Vec<Call>) -> Vec<u64> {
    let mut answers = vec![];
    for call in calls {
        answers.push(answer(call).await.expect("a value"));
    }
    answers
}

/// Polls a call that is not done, and leaves it there.
async fn poll_once(call: &mut Pin<Box<impl Future>>) {
    let is_pending = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending()));
    assert!(is_pending.await);
}

async fn until_waiting(cache: &Cache, callers: usize) {
    eventually("the other callers to wait", SOON, async || {
        cache.stats().waiting == callers
    })
    .await;
}

/// One whose body is run `1` and blocked, and others that wait for it.
async fn blocked(cache: &Cache, body: &Body, others: usize) -> (Call, Vec<Call>) {
    let first = call(cache, body, 1);
    body.wait_until_begun(1).await;
    let calls = (0..others).map(|_| call(cache, body, 1)).collect();
    (first, calls)
}

#[tokio::test(start_paused = true)]
async fn p5_a_thousand_callers_of_a_body_that_never_ends_are_one_run_more_for_each_bound() {
    let (cache, body) = (in_memory(), Body::gated());
    let callers = herd(1_000, || {
        let (cache, body) = (cache.clone(), body.clone());
        async move { endless(&cache, &body, 1).await }
    });
    for bounds in 0..=3 {
        let began = bounds + 1;
        // A second past the bound; the last one was a second before it.
        sleep(Duration::from_secs(if bounds == 0 { 1 } else { 2 })).await;
        assert_eq!(body.runs(), began);
        let waiting = 1_000 - body.running();
        assert_eq!((cache.stats().flights, cache.stats().waiting), (1, waiting));
        sleep(DEFAULT - Duration::from_secs(2)).await;
        assert_eq!(body.runs(), began, "before the next bound");
    }
    assert_eq!(stats("endless").overtook, 3);
    // Any of them ends it for all who wait.
    body.let_through(3);
    body.wait_until_finished(1).await;
    until_waiting(&cache, 0).await;
    body.open_gate();
    let outcomes = callers.join_all().await;
    let of_third = outcomes.iter().filter(|outcome| **outcome == Ok(3)).count();
    assert_eq!(of_third, 1_000 - 3, "the other three have each their own");
}

#[tokio::test]
async fn p5_a_thousand_callers_on_either_store_are_no_more_runs_than_bounds_passed() {
    let stores = Stores::with(|builder| builder.run_wait(SHORT)).await;
    for cache in stores.both() {
        let body = Body::gated();
        let began = Instant::now();
        let callers = herd(1_000, || {
            let (cache, body) = (cache.clone(), body.clone());
            async move { value(&cache, &body, 2).await }
        });
        body.wait_until_begun(4).await;
        assert!(began.elapsed() >= SHORT * 3, "{:?}", began.elapsed());
        body.open_gate();
        for outcome in within("everybody to be answered", SOON, callers.join_all()).await {
            outcome.expect("a value");
        }
        assert_eq!((cache.stats().flights, cache.stats().waiting), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn p5_a_source_that_takes_one_bound_and_a_half_is_asked_twice() {
    #[redis_cached(ttl = 300, skip(cache, body), cache = cache)]
    async fn slow(cache: &Cache, body: &Body, id: u64) -> u64 {
        let _ = id;
        let run = body.run().await.expect("a body that returns");
        sleep(DEFAULT * 3 / 2).await;
        run
    }
    let (cache, body) = (in_memory(), Body::new());
    let began = tokio::time::Instant::now();
    let mut callers = herd(100, || {
        let (cache, body) = (cache.clone(), body.clone());
        async move { slow(&cache, &body, 1).await }
    });
    for answered in 1..100 {
        let run = callers
            .join_next()
            .await
            .expect("a caller")
            .expect("no panic");
        assert_eq!(run, 1, "{answered}");
    }
    // Those who wait have what ends first, and it is stored.
    assert_eq!(began.elapsed().as_secs(), DEFAULT.as_secs() * 3 / 2);
    assert_eq!(slow(&cache, &body, 1).await, 1);
    let run = callers
        .join_next()
        .await
        .expect("the one beside")
        .expect("no panic");
    assert_eq!(
        (run, began.elapsed().as_secs()),
        (2, DEFAULT.as_secs() * 5 / 2)
    );
    assert_eq!(body.runs(), 2);
}

#[tokio::test]
async fn a_run_beside_one_that_hangs_answers_all_and_is_stored() {
    let stores = Stores::with(|builder| builder.run_wait(SHORT)).await;
    for cache in stores.both() {
        let body = Body::gated();
        let (hangs, calls) = blocked(cache, &body, 10).await;
        body.wait_until_begun(2).await;
        // On a machine that is busy enough, more bounds pass before the second run ends.
        (2..=11).for_each(|run| body.let_through(run));
        let runs = answers(calls).await;
        assert!(runs.iter().all(|run| *run >= 2), "{runs:?}");
        let later = within("a later caller", SOON, value(cache, &body, 1)).await;
        assert!(later.is_ok_and(|run| runs.contains(&run)), "it is stored");
        // The first has its own, and it does not take the place of what is stored.
        body.open_gate();
        assert_eq!(answer(hangs).await, Ok(1));
        assert_ne!(value(cache, &body, 1).await, Ok(1));
        assert_eq!((cache.stats().flights, cache.stats().waiting), (0, 0));
    }
}

#[tokio::test]
async fn a_later_caller_beside_an_old_run_that_hangs_leads_or_waits_no_longer_than_the_bound() {
    let stores = Stores::with(|builder| builder.run_wait(SHORT)).await;
    for cache in stores.both() {
        let body = Body::gated();
        body.fail_next(1);
        let (hangs, calls) = blocked(cache, &body, 1).await;
        body.wait_until_begun(2).await;
        // Nothing is stored of this one, and nobody else leads now.
        body.let_through(2);
        for outcome in calls {
            assert_eq!(answer(outcome).await, Err(Failed { run: 2 }));
        }
        let later = call(cache, &body, 1);
        body.wait_until_begun(3).await;
        let last = call(cache, &body, 1);
        body.wait_until_begun(4).await;
        body.let_through(4);
        assert_eq!(answer(last).await, Ok(4));
        body.open_gate();
        assert_eq!(answer(hangs).await, Ok(1));
        assert_eq!(answer(later).await, Ok(3));
        assert_eq!(value(cache, &body, 1).await, Ok(4));
    }
}

#[tokio::test]
async fn p4_neither_of_two_runs_stores_what_an_invalidation_overtook() {
    let stores = Stores::with(|builder| builder.run_wait(SHORT)).await;
    for cache in stores.both() {
        for ends_first in [0, 1] {
            let body = Body::gated();
            let (hangs, mut calls) = blocked(cache, &body, 1).await;
            body.wait_until_begun(2).await;
            calls.insert(0, hangs);
            value_entry(cache, 1).invalidate().await.expect("redis");
            let last = calls.remove(1 - ends_first);
            body.let_through(ends_first as u64 + 1);
            assert_eq!(answer(calls.remove(0)).await, Ok(ends_first as u64 + 1));
            body.open_gate();
            assert_eq!(answer(last).await, Ok(2 - ends_first as u64));
            let after = within("a call after the change", SOON, value(cache, &body, 1)).await;
            assert_eq!(after, Ok(3), "the run of caller {ends_first} ended first");
            value_entry(cache, 1).invalidate().await.expect("redis");
        }
    }
}

#[tokio::test]
async fn p4_who_takes_over_after_an_invalidation_opens_the_flight_for_itself_alone() {
    let stores = Stores::with(|builder| builder.run_wait(SHORT)).await;
    for cache in stores.both() {
        let body = Body::gated();
        let (hangs, calls) = blocked(cache, &body, 1).await;
        let waits_or_runs = async |run| {
            eventually("a caller to wait, or to have done so", SOON, async || {
                cache.stats().waiting == 1 || body.runs() >= run
            })
            .await;
        };
        waits_or_runs(2).await;
        value_entry(cache, 1).invalidate().await.expect("redis");
        body.wait_until_begun(2).await;
        let after = call(cache, &body, 1);
        waits_or_runs(3).await;
        // It began before the change, and ends while new callers wait in its flight.
        body.let_through(1);
        assert_eq!(answer(hangs).await, Ok(1));
        assert!(!after.is_finished());
        body.open_gate();
        for call in calls.into_iter().chain([after]) {
            assert!(answer(call).await.is_ok_and(|run| run >= 2));
        }
        assert!(value(cache, &body, 1).await.is_ok_and(|run| run >= 2));
        value_entry(cache, 1).invalidate().await.expect("redis");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_p7_a_run_beside_another_that_goes_away_or_panics_goes_to_the_next_who_waits() {
    let (cache, body) = (in_memory(), Body::gated());
    let (hangs, mut calls) = blocked(&cache, &body, 3).await;
    sleep(DEFAULT).await;
    body.wait_until_begun(2).await;
    // Dropped: another takes its place at once, and the one that hangs goes on.
    let gone = calls.remove(0);
    gone.abort();
    assert!(
        gone.await
            .expect_err("it was the first to wait")
            .is_cancelled()
    );
    body.wait_until_begun(3).await;
    assert_eq!((body.dropped(), body.running()), (1, 2));
    body.panic_next(1);
    body.let_through(3);
    assert!(calls.remove(0).await.expect_err("a panic").is_panic());
    body.wait_until_begun(4).await;
    // The first goes away: nobody takes its place, because another leads.
    hangs.abort();
    drop(hangs.await);
    assert_eq!((body.runs(), body.running()), (4, 1));
    body.open_gate();
    assert_eq!(answers(calls).await, [4]);
    assert_eq!(value(&cache, &body, 1).await, Ok(4));
    assert_eq!((cache.stats().flights, body.runs()), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn p6_a_call_that_is_kept_and_not_polled_keeps_nobody_for_longer_than_the_bound() {
    let (cache, body) = (in_memory(), Body::gated());
    let mut kept = Box::pin(value(&cache, &body, 1));
    poll_once(&mut kept).await;
    let mut heir = Box::pin(value(&cache, &body, 1));
    poll_once(&mut heir).await;
    body.open_gate();
    let began = tokio::time::Instant::now();
    let other = within("the bound", SOON, value(&cache, &body, 1)).await;
    assert_eq!(
        (other, began.elapsed().as_secs()),
        (Ok(2), DEFAULT.as_secs())
    );
    assert_eq!((heir.await, kept.await), (Ok(2), Ok(1)));
    // The same of a lead that was handed to one who is not polled.
    let body = Body::gated();
    let mut first = Box::pin(value(&cache, &body, 2));
    poll_once(&mut first).await;
    let mut heir = Box::pin(value(&cache, &body, 2));
    poll_once(&mut heir).await;
    drop(first);
    body.open_gate();
    let other = within("the bound", SOON, value(&cache, &body, 2)).await;
    assert_eq!(other, Ok(2));
    assert_eq!(heir.await, Ok(2), "it looks before it runs its body");
}

#[tokio::test]
async fn a_lock_that_hangs_with_its_body_keeps_nobody_in_its_own_process() {
    let server = RedisServer::start().await;
    let builder = Cache::builder().url(server.url()).timeout(SOON);
    let builder = builder
        .run_wait(SHORT)
        .cluster_wait(Duration::from_secs(3600));
    let cache = builder.build().expect("a cache");
    let body = Body::gated();
    let (own, its) = (cache.clone(), body.clone());
    let hangs = tokio::spawn(async move { clustered(&own, &its, 1).await });
    body.wait_until_begun(1).await;
    let (own, its) = (cache.clone(), body.clone());
    let waits = tokio::spawn(async move { clustered(&own, &its, 1).await });
    body.wait_until_begun(2).await;
    body.let_through(2);
    assert_eq!(answer(waits).await, Ok(2));
    assert_eq!(
        within("what was stored", SOON, clustered(&cache, &body, 1)).await,
        Ok(2)
    );
    // Whose body hangs cannot store any more, so nobody is to wait for it.
    assert_eq!(server.cli(&["DEL", "clustered:1"]), "1");
    let (own, its) = (cache.clone(), body.clone());
    let next = tokio::spawn(async move { clustered(&own, &its, 1).await });
    body.wait_until_begun(3).await;
    body.open_gate();
    assert_eq!(answer(hangs).await, Ok(1));
    assert_eq!(answer(next).await, Ok(3));
    assert_eq!(
        within("what was stored", SOON, clustered(&cache, &body, 1)).await,
        Ok(3)
    );
}

#[tokio::test]
async fn where_the_wait_for_another_process_ends_first_one_runs_for_all() {
    let server = RedisServer::start().await;
    let holder = patient(&server.url());
    let builder = Cache::builder().url(server.url()).timeout(SOON);
    let builder = builder.run_wait(SOON).cluster_wait(Duration::from_secs(1));
    let cache = builder.build().expect("a cache");
    let (body, its) = (Body::gated(), Body::gated());
    let holds = {
        let (holder, body) = (holder.clone(), body.clone());
        tokio::spawn(async move { clustered(&holder, &body, 2).await })
    };
    body.wait_until_begun(1).await;
    let calls: Vec<Call> = (0..10)
        .map(|_| {
            let (cache, its) = (cache.clone(), its.clone());
            tokio::spawn(async move { clustered(&cache, &its, 2).await })
        })
        .collect();
    its.wait_until_begun(1).await;
    until_waiting(&cache, 9).await;
    its.let_through(1);
    assert_eq!(answers(calls).await, [1; 10]);
    body.open_gate();
    assert_eq!(answer(holds).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_ten_seconds_is_one_line_however_many_wait() {
    let (logs, _guard) = Logs::of_this_thread();
    let (cache, body) = (in_memory(), Body::gated());
    let callers = herd(1_000, || {
        let (cache, body) = (cache.clone(), body.clone());
        async move { told(&cache, &body, 31_415_926).await }
    });
    sleep(Duration::from_millis(9_900)).await;
    assert_eq!(logs.lines_with(WAITS), [""; 0]);
    sleep(Duration::from_millis(200)).await;
    let lines = logs.lines_with(WAITS);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("function=told"),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("10s") && !lines[0].contains("31415926"),
        "{lines:?}"
    );
    sleep(DEFAULT * 3).await;
    assert_eq!(logs.lines_with(WAITS).len(), 1);
    body.open_gate();
    callers.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn waits_that_end_in_time_are_no_lines_and_no_runs() {
    let (logs, _guard) = Logs::of_this_thread();
    let (cache, body) = (in_memory(), Body::gated());
    let callers = herd(100, || {
        let (cache, body) = (cache.clone(), body.clone());
        async move { answered(&cache, &body, 1).await }
    });
    sleep(Duration::from_millis(9_900)).await;
    body.open_gate();
    callers.join_all().await;
    assert_eq!((body.runs(), stats("answered").overtook), (1, 0));
    assert_eq!(logs.lines_with(WAITS), [""; 0]);
}

#[test]
fn without_timers_callers_wait_as_long_as_it_takes() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let (cache, body) = (in_memory(), Body::gated());
        let (first, calls) = blocked(&cache, &body, 10).await;
        until_waiting(&cache, 10).await;
        body.open_gate();
        assert_eq!(answer(first).await, Ok(1));
        assert_eq!(answers(calls).await, [1; 10]);
    });
}
