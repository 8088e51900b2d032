//! A change at each step of a run that its call does not wait for, or not for long: a refresh behind a stale value
//! or ahead of the ttl's end, a body slower than the soft timeout, a body for the whole cluster, and what takes over
//! from one of them.

use std::time::Duration;

use cache_runtime::{Cache, Error, ManualClock};
use cache_tests::proxy::Held;
use cache_tests::{Proxy, RedisServer, eventually, within};

use crate::options::{How, clocked, clocked_in_memory};
use crate::scene::{Elsewhere, Scene, Source, acquire, breathe, server, settle, store};

const SOON: Duration = Duration::from_secs(20);

const ALL: [How; 4] = [How::Revalidate, How::Ahead, How::Soft, How::Cluster];

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AcquireSent,
    AcquireAnswered,
    Body,
    StoreSent,
    StoreAnswered,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::AcquireSent,
        Self::AcquireAnswered,
        Self::Body,
        Self::StoreSent,
        Self::StoreAnswered,
    ];

    fn hold(self, proxy: &Proxy, id: u64) -> Option<Held> {
        Some(match self {
            Self::AcquireSent => proxy.hold(acquire(id)),
            Self::AcquireAnswered => proxy.hold_reply(acquire(id)),
            Self::StoreSent => proxy.hold(store(id)),
            Self::StoreAnswered => proxy.hold_reply(store(id)),
            Self::Body => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Invalidate,
    Put,
    PutWith,
}

impl Change {
    const ALL: [Self; 3] = [Self::Invalidate, Self::Put, Self::PutWith];

    async fn make(self, how: How, cache: Cache, source: Source, id: u64) -> Result<(), Error> {
        let entry = how.entry(&cache, id);
        match self {
            Self::Invalidate => {
                source.change();
                entry.invalidate().await
            }
            Self::Put => entry.put(&source.change()).await,
            Self::PutWith => entry.put_with(async { source.change() }).await.1,
        }
    }
}

/// Where the change is made: in the process of the run, or in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    There,
}

/// Returns what those who came after the change got.
async fn on_redis(
    server: &RedisServer,
    elsewhere: &Elsewhere,
    (how, phase, change, place): (How, Phase, Change, Place),
    id: u64,
) -> Vec<u64> {
    let (proxy, clock) = (Proxy::before(server), ManualClock::new());
    let here = clocked(proxy.url(), &clock);
    let there = clocked(server.url(), &clock);
    let source = Source::new();
    if how != How::Cluster {
        assert_eq!(how.call(&there, &source, id).await, Ok(1));
        clock.advance(how.age());
    }
    let held = phase.hold(&proxy, id);
    if phase == Phase::Body {
        source.body.shut_gate();
    }
    let first = tokio::spawn(how.call(&here, &source, id));
    match &held {
        Some(held) => drop(held.arrived().await),
        None => source.body.wait_until_running(1).await,
    }
    let by = if place == Place::Here { &here } else { &there };
    let change = change.make(how, by.clone(), source.clone(), id);
    // The connection of this runtime may be held up; that of the other one is not.
    elsewhere.spawn(change).await.unwrap().unwrap();

    let mut newcomers = vec![
        tokio::spawn(how.call(&here, &source, id)),
        elsewhere.spawn(how.call(&here, &source, id)),
        tokio::spawn(how.call(&there, &source, id)),
    ];
    // They get as far as they can before the run goes on.
    elsewhere.settle(&here).await;
    settle(&there).await;
    drop(held);
    source.body.open_gate();
    first.await.unwrap().unwrap();
    eventually("the runs are over", SOON, async || {
        here.stats().flights == 0
    })
    .await;
    newcomers.push(tokio::spawn(how.call(&here, &source, id)));
    newcomers.push(tokio::spawn(how.call(&there, &source, id)));
    let mut got = Vec::new();
    for newcomer in newcomers {
        got.push(newcomer.await.unwrap().unwrap());
    }
    let stored = how.entry(&there, id).get().await.unwrap();
    got.extend(stored);
    got
}

async fn every_phase_on_redis(place: Place) {
    let (server, elsewhere) = (server().await, Elsewhere::new());
    let mut wrong = Vec::new();
    let mut id = 0;
    for how in ALL {
        for phase in Phase::ALL {
            for change in Change::ALL {
                id += 1;
                let case = (how, phase, change, place);
                let got = on_redis(&server, &elsewhere, case, id).await;
                if got.iter().any(|version| *version != 2) {
                    wrong.push((case, got));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "the old value came back: {wrong:#?}");
}

#[tokio::test]
async fn p4_in_every_phase_of_a_run_behind_when_the_same_process_changes_it() {
    every_phase_on_redis(Place::Here).await;
}

#[tokio::test]
async fn p4_in_every_phase_of_a_run_behind_when_another_process_changes_it() {
    every_phase_on_redis(Place::There).await;
}

#[tokio::test]
async fn p4_a_run_behind_that_a_change_overtakes_stores_nothing_in_process() {
    for how in [How::Revalidate, How::Ahead, How::Soft] {
        for change in Change::ALL {
            let (clock, source) = (ManualClock::new(), Source::new());
            let cache = clocked_in_memory(&clock);
            assert_eq!(how.call(&cache, &source, 1).await, Ok(1));
            clock.advance(how.age());
            source.body.shut_gate();
            assert_eq!(how.call(&cache, &source, 1).await, Ok(1));
            source.body.wait_until_running(1).await;
            change
                .make(how, cache.clone(), source.clone(), 1)
                .await
                .unwrap();
            let newcomer = tokio::spawn(how.call(&cache, &source, 1));
            breathe().await;
            source.body.open_gate();
            let case = (how, change);
            assert_eq!(newcomer.await.unwrap(), Ok(2), "{case:?}");
            source.body.wait_until_idle().await;
            breathe().await;
            assert_eq!(how.call(&cache, &source, 1).await, Ok(2), "{case:?}");
        }
    }
}

/// Rule 6 for a body behind its call: who waited for it takes over with a right of its own.
#[tokio::test]
async fn p4_rule6_a_takeover_from_a_run_behind_acquires_anew() {
    for how in [How::Revalidate, How::Soft] {
        let (scene, clock) = (Scene::new().await, ManualClock::new());
        let here = clocked(scene.proxy.url(), &clock);
        let there = clocked(scene.server.url(), &clock);
        let source = Source::new();
        assert_eq!(how.call(&there, &source, 1).await, Ok(1));
        clock.advance(how.age());
        source.body.shut_gate();
        assert_eq!(how.call(&here, &source, 1).await, Ok(1), "stale");
        source.body.wait_until_running(1).await;
        source.change();
        how.entry(&there, 1).invalidate().await.unwrap();
        // It finds no value, so it waits for the body, which began before the change.
        let late = tokio::spawn(how.call(&here, &source, 1));
        settle(&here).await;
        assert_eq!(here.stats().waiting, 1, "{how:?}");

        let anew = scene.proxy.hold(acquire(1));
        source.body.panic_next(1);
        source.body.let_through(2);
        anew.arrived().await;
        anew.release();
        source.body.open_gate();
        let late = within("the waiting caller takes over", SOON, late).await;
        assert_eq!(late.unwrap(), Ok(2), "{how:?}");
        let stored = how.entry(&there, 1).get().await.unwrap();
        assert_eq!(stored, Some(2), "{how:?}");
    }
}

/// Whose caller has left meanwhile.
#[tokio::test]
async fn p4_a_body_past_its_soft_timeout_stores_nothing_when_a_change_overtakes_it() {
    let (scene, clock) = (Scene::new().await, ManualClock::new());
    let here = clocked(scene.proxy.url(), &clock);
    let source = Source::new();
    assert_eq!(How::Soft.call(&here, &source, 1).await, Ok(1));
    clock.advance(How::Soft.age());
    source.body.shut_gate();
    let caller = tokio::spawn(How::Soft.call(&here, &source, 1));
    source.body.wait_until_running(1).await;
    caller.abort();
    drop(caller.await);
    source.change();
    How::Soft.entry(&scene.there, 1).invalidate().await.unwrap();
    source.body.open_gate();
    source.body.wait_until_finished(2).await;
    eventually("the run is over", SOON, async || here.stats().flights == 0).await;
    assert_eq!(How::Soft.call(&here, &source, 1).await, Ok(2));
}
