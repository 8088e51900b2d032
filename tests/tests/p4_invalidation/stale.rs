//! Rule 8: a stale value serves only a caller that came before the GET that brought it was sent.

use std::time::Duration;

use cache_runtime::{Cache, ManualClock};
use cache_tests::body::Failed;
use cache_tests::proxy::about;
use cache_tests::within;

use crate::options::{How, clocked, clocked_in_memory};
use crate::scene::{Elsewhere, Scene, Source, acquire, breathe, caller, key, settle};

const SOON: Duration = Duration::from_secs(20);
/// The ttl of these functions, at which a value is fresh no more.
const TTL: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);

/// Two processes, and version 1 in Redis, as old as the function says.
struct Aged {
    scene: Scene,
    here: Cache,
    there: Cache,
    source: Source,
}

impl Aged {
    async fn new(how: How) -> Self {
        let (scene, clock) = (Scene::new().await, ManualClock::new());
        let aged = Self {
            here: clocked(scene.proxy.url(), &clock),
            there: clocked(scene.server.url(), &clock),
            source: Source::new(),
            scene,
        };
        assert_eq!(how.call(&aged.there, &aged.source, 1).await, Ok(1));
        clock.advance(how.age());
        aged
    }

    /// A change in the other process.
    async fn change(&self, how: How) {
        self.source.change();
        how.entry(&self.there, 1).invalidate().await.unwrap();
    }
}

/// A stale reply under way when the change comes: rule 1, where what it brings is past its ttl.
#[tokio::test]
async fn p4_rule8_a_stale_reply_serves_nobody_who_came_after_its_get_was_sent() {
    for how in [How::Revalidate, How::OnError, How::Soft] {
        let aged = Aged::new(how).await;
        let call = || tokio::spawn(how.call(&aged.here, &aged.source, 1));
        // Two reads of a key are under way at most, so the third caller waits for one of them to end.
        let replies = [(); 2].map(|()| aged.scene.proxy.hold_reply(about("GET", &key(1))));
        let early = [call(), call()];
        for reply in &replies {
            reply.arrived().await;
        }
        aged.change(how).await;
        let late = call();
        breathe().await;
        // No body answers the early ones.
        aged.source
            .body
            .fail_next(if how == How::OnError { 1 } else { 0 });
        if how == How::Soft {
            aged.source.body.shut_gate();
        }
        drop(replies);
        for caller in early {
            assert_eq!(
                caller.await.unwrap(),
                Ok(1),
                "{how:?}: it came before the change"
            );
        }
        aged.source.body.open_gate();
        let late = within("the late caller is answered", SOON, late).await;
        let late = late.unwrap();
        assert!(
            late == Ok(2) || (how == How::OnError && late.is_err()),
            "{how:?}: {late:?}"
        );
    }
}

/// A flight whose leader has a stale value at hand, and a caller who came after the change and has none.
#[tokio::test]
async fn p4_rule8_what_the_leader_falls_back_on_is_its_own() {
    for also_late_fails in [false, true] {
        let how = How::OnError;
        let aged = Aged::new(how).await;
        aged.source.body.shut_gate();
        let leader = tokio::spawn(how.call(&aged.here, &aged.source, 1));
        aged.source.body.wait_until_running(1).await;
        aged.change(how).await;
        let late = tokio::spawn(how.call(&aged.here, &aged.source, 1));
        settle(&aged.here).await;
        assert_eq!(aged.here.stats().waiting, 1);

        aged.source
            .body
            .fail_next(if also_late_fails { 2 } else { 1 });
        aged.source.body.let_through(2);
        assert_eq!(
            leader.await.unwrap(),
            Ok(1),
            "stale, and it came before the change"
        );
        aged.source.body.open_gate();
        let late = within("the late caller is answered", SOON, late).await;
        let wanted = if also_late_fails {
            Err(Failed { run: 3 })
        } else {
            Ok(2)
        };
        assert_eq!(late.unwrap(), wanted);
    }
}

/// The same where the leader's body is slow, not failing.
#[tokio::test]
async fn p4_rule8_a_soft_timeout_answers_its_own_caller_only() {
    let how = How::Soft;
    let aged = Aged::new(how).await;
    aged.source.body.shut_gate();
    let early = tokio::spawn(how.call(&aged.here, &aged.source, 1));
    aged.source.body.wait_until_running(1).await;
    aged.change(how).await;
    let late = tokio::spawn(how.call(&aged.here, &aged.source, 1));
    settle(&aged.here).await;
    assert_eq!(early.await.unwrap(), Ok(1), "it came before the change");
    breathe().await;
    assert!(!late.is_finished(), "it has nothing to fall back on");
    aged.source.body.open_gate();
    let late = within("the late caller is answered", SOON, late).await;
    assert_eq!(late.unwrap(), Ok(2));
}

/// Somebody else is at it: who has a stale value takes that, who came after the change waits.
#[tokio::test]
async fn p4_rule8_a_stale_value_in_the_place_of_waiting_is_the_callers_own() {
    let how = How::Cluster;
    let aged = Aged::new(how).await;
    let elsewhere = Elsewhere::new();
    let asked = aged.scene.proxy.hold(acquire(1));
    let early = tokio::spawn(how.call(&aged.here, &aged.source, 1));
    asked.arrived().await;
    aged.change(how).await;
    // A third process takes the lock.
    aged.source.body.shut_gate();
    let third = tokio::spawn(how.call(&aged.there, &aged.source, 1));
    aged.source.body.wait_until_running(1).await;
    let late = elsewhere.spawn(how.call(&aged.here, &aged.source, 1));
    elsewhere.settle(&aged.here).await;
    assert_eq!(aged.here.stats().waiting, 1);
    asked.release();
    assert_eq!(early.await.unwrap(), Ok(1), "it came before the change");
    elsewhere.settle(&aged.here).await;
    assert!(!late.is_finished(), "it has no value");
    aged.source.body.open_gate();
    assert_eq!(third.await.unwrap(), Ok(2));
    let late = within("the late caller is answered", SOON, late).await;
    assert_eq!(late.unwrap(), Ok(2));
    assert_eq!(aged.source.body.runs(), 2);
}

/// What the question for the right to store finds is shared; but not if it is past its ttl.
#[tokio::test]
async fn p4_rule8_a_stale_value_that_acquire_finds_answers_nobody() {
    for (how, age) in [How::Revalidate, How::OnError, How::Soft, How::Cluster]
        .into_iter()
        .flat_map(|how| [(how, TTL), (how, how.age())])
    {
        let (scene, clock) = (Scene::new().await, ManualClock::new());
        let (here, there) = (
            clocked(scene.proxy.url(), &clock),
            clocked(scene.server.url(), &clock),
        );
        let (elsewhere, source) = (Elsewhere::new(), Source::new());
        let asked = scene.proxy.hold(acquire(1));
        let leader = tokio::spawn(how.call(&here, &source, 1));
        asked.arrived().await;
        let waiter = elsewhere.spawn(how.call(&here, &source, 1));
        elsewhere.settle(&here).await;
        assert_eq!(how.call(&there, &source, 1).await, Ok(1));
        clock.advance(age);
        source.change();
        asked.release();
        for call in [leader, waiter] {
            let got = within("an answer", SOON, call).await;
            assert_eq!(got.unwrap(), Ok(2), "{how:?} at {age:?}");
        }
        assert_eq!(source.body.runs(), 2, "{how:?} at {age:?}");
        let stored = how.entry(&there, 1).get().await.unwrap();
        assert_eq!(stored, Some(2), "{how:?} at {age:?}");
    }
}

/// In this process it is who takes a flight over that may find one.
#[tokio::test]
async fn p4_rule8_a_stale_value_that_a_takeover_finds_in_process_answers_nobody() {
    for (how, age) in [How::Revalidate, How::OnError, How::Soft]
        .into_iter()
        .flat_map(|how| [(how, TTL - MILLI), (how, TTL)])
    {
        let (clock, source) = (ManualClock::new(), Source::gated());
        let cache = clocked_in_memory(&clock);
        let leader = tokio::spawn(how.call(&cache, &source, 1));
        source.body.wait_until_running(1).await;
        let waiter = tokio::spawn(how.call(&cache, &source, 1));
        breathe().await;
        assert_eq!(cache.stats().waiting, 1, "{how:?}");
        // Another flight stores a value, which ages before the first leader goes.
        source.change();
        how.entry(&cache, 1).invalidate().await.unwrap();
        source.body.let_through(2);
        assert_eq!(how.call(&cache, &source, 1).await, Ok(2), "{how:?}");
        clock.advance(age);
        source.change();
        source.body.let_through(3);
        leader.abort();
        let waiter = within("it takes over", SOON, waiter).await;
        let fresh = age < TTL;
        let wanted = if fresh { 2 } else { 3 };
        assert_eq!(waiter.unwrap(), Ok(wanted), "{how:?} at {age:?}");
        assert_eq!(source.body.runs(), wanted, "{how:?} at {age:?}");
    }
}

/// In this process a look is no more than a moment, but the body that follows takes its time.
#[tokio::test]
async fn p4_rule8_in_process_a_stale_value_serves_who_looked_before_the_change() {
    for how in [How::OnError, How::Soft] {
        let (clock, source) = (ManualClock::new(), Source::new());
        let cache = clocked_in_memory(&clock);
        assert_eq!(how.call(&cache, &source, 1).await, Ok(1));
        clock.advance(how.age());
        source.body.shut_gate();
        let early = tokio::spawn(how.call(&cache, &source, 1));
        source.body.wait_until_running(1).await;
        source.change();
        how.entry(&cache, 1).invalidate().await.unwrap();
        let late = tokio::spawn(how.call(&cache, &source, 1));
        source.body.wait_until_running(2).await;
        source.body.fail_next(2);
        source.body.let_through(2);
        assert_eq!(
            early.await.unwrap(),
            Ok(1),
            "{how:?}: it came before the change"
        );
        source.body.let_through(3);
        assert_eq!(late.await.unwrap(), Err(Failed { run: 3 }), "{how:?}");
    }
}

/// A plain function on the same key never answers what is past its ttl, whoever stored it.
#[tokio::test]
async fn p4_rule8_who_allows_no_stale_value_gets_none() {
    let aged = Aged::new(How::Revalidate).await;
    aged.source.change();
    // Its own cache, with the same clock.
    assert_eq!(caller(&aged.here, &aged.source, 1).await.unwrap(), Ok(2));
}
