//! A change in every phase of a call: who comes after it never gets what began before it.

use cache_runtime::{Cache, Error};
use cache_tests::body::Failed;
use cache_tests::proxy::{Held, about};
use cache_tests::{Proxy, RedisServer};

use crate::scene::{
    Elsewhere, Source, acquire, breathe, call, find_nothing, in_memory, key, look, look_entry,
    process, server, settle, store, token,
};

/// Who is under way when the change comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Call,
    GetOrCompute,
    Refresh,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not begun; the old value is stored.
    Before,
    /// The GET of the old value has been sent, but not executed.
    GetSent,
    /// The GET of the old value has been executed, but the answer is under way.
    GetAnswered,
    AcquireSent,
    AcquireAnswered,
    /// The answer is the old value, which another process has stored since this one's GET.
    AcquireFound,
    /// The question for the right to store that a refresh asks.
    SeizeSent,
    SeizeAnswered,
    Body,
    StoreSent,
    StoreAnswered,
    /// The old value is stored by it.
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Invalidate,
    Put,
}

const ALL: [Who; 3] = [Who::Call, Who::GetOrCompute, Who::Refresh];

impl Who {
    fn phases(self) -> &'static [Phase] {
        use Phase::*;
        match self {
            Self::Call | Self::GetOrCompute => &[
                Before,
                GetSent,
                GetAnswered,
                AcquireSent,
                AcquireAnswered,
                AcquireFound,
                Body,
                StoreSent,
                StoreAnswered,
                After,
            ],
            Self::Refresh => &[
                Before,
                SeizeSent,
                SeizeAnswered,
                Body,
                StoreSent,
                StoreAnswered,
                After,
            ],
        }
    }

    async fn begin(self, cache: Cache, source: Source, id: u64) -> Result<u64, Failed> {
        match self {
            Self::Call => look(&cache, &source, id).await,
            Self::GetOrCompute => {
                look_entry(&cache, id)
                    .get_or_compute(|| source.read())
                    .await
            }
            Self::Refresh => look_entry(&cache, id).refresh(source.read()).await,
        }
    }
}

impl Change {
    /// Changes the source, then the cache.
    async fn make(self, cache: Cache, source: Source, id: u64) -> Result<(), Error> {
        let version = source.change();
        let entry = look_entry(&cache, id);
        match self {
            Self::Invalidate => entry.invalidate().await,
            Self::Put => entry.put(&version).await,
        }
    }
}

impl Phase {
    fn has_old_value(self) -> bool {
        matches!(self, Self::Before | Self::GetSent | Self::GetAnswered)
    }

    fn hold(self, proxy: &Proxy, id: u64) -> Option<Held> {
        Some(match self {
            Self::GetSent => proxy.hold(about("GET", &key(id))),
            Self::GetAnswered => proxy.hold_reply(about("GET", &key(id))),
            Self::AcquireSent => proxy.hold(acquire(id)),
            Self::AcquireAnswered | Self::AcquireFound => proxy.hold_reply(acquire(id)),
            Self::SeizeSent => proxy.hold(about("SET", &token(id))),
            Self::SeizeAnswered => proxy.hold_reply(about("SET", &token(id))),
            Self::StoreSent => proxy.hold(store(id)),
            Self::StoreAnswered => proxy.hold_reply(store(id)),
            Self::Before | Self::Body | Self::After => return None,
        })
    }
}

/// Where the change is made: in the process of the call, or in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    There,
}

/// Whether others come before the call ends. One of them may store first, and so hide what the call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Meanwhile,
    Afterwards,
}

/// What the function's calls have found lately. Where that is nothing, a call asks for the right to store before it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lately {
    Something,
    Nothing,
}

/// Returns what those who came after the change got.
async fn on_redis(
    server: &RedisServer,
    elsewhere: &Elsewhere,
    (who, phase, change, place, others, lately): (Who, Phase, Change, Place, Others, Lately),
    id: u64,
) -> Vec<u64> {
    let proxy = Proxy::before(server);
    let (here, there) = (process(proxy.url()), process(server.url()));
    let source = Source::new();
    if lately == Lately::Nothing {
        find_nothing(&here).await;
        find_nothing(&there).await;
    }
    if phase.has_old_value() {
        assert_eq!(call(&there, &source, id).await, Ok(1));
    }

    let before_acquire = (phase == Phase::AcquireFound).then(|| proxy.hold(acquire(id)));
    let held = phase.hold(&proxy, id);
    if phase == Phase::Body {
        source.body.shut_gate();
    }
    let mut under_way = None;
    if phase != Phase::Before {
        under_way = Some(tokio::spawn(who.begin(here.clone(), source.clone(), id)));
    }
    if let Some(command) = before_acquire {
        command.arrived().await;
        assert_eq!(call(&there, &source, id).await, Ok(1));
        command.release();
    }
    match (&held, phase) {
        (Some(held), _) => drop(held.arrived().await),
        (None, Phase::Body) => source.body.wait_until_running(1).await,
        (None, Phase::After) => drop(under_way.take().unwrap().await),
        (None, _) => {}
    }

    let by = if place == Place::Here { &here } else { &there };
    let change = change.make(by.clone(), source.clone(), id);
    if held.is_some() {
        // The connection of this runtime is held up; that of the other one is not.
        elsewhere.spawn(change).await.unwrap().unwrap();
    } else {
        change.await.unwrap();
    }

    let mut newcomers = Vec::new();
    if others == Others::Meanwhile {
        newcomers.push(tokio::spawn(call(&here, &source, id)));
        newcomers.push(elsewhere.spawn(call(&here, &source, id)));
        newcomers.push(tokio::spawn(call(&there, &source, id)));
        // They get as far as they can before the call goes on.
        elsewhere.settle(&here).await;
        settle(&there).await;
    }
    drop(held);
    source.body.let_through(1);
    if let Some(call) = under_way {
        call.await.unwrap().unwrap();
    }
    source.body.open_gate();
    newcomers.push(tokio::spawn(call(&here, &source, id)));
    newcomers.push(tokio::spawn(call(&there, &source, id)));
    let mut got = Vec::new();
    for newcomer in newcomers {
        got.push(newcomer.await.unwrap().unwrap());
    }
    got.push(call(&here, &source, id).await.unwrap());
    got.push(call(&there, &source, id).await.unwrap());
    got
}

/// Runs every case on one Redis, and says of all that went wrong which they were.
async fn every_phase_on_redis(place: Place) {
    let (server, elsewhere) = (server().await, Elsewhere::new());
    let mut wrong = Vec::new();
    let mut id = 0;
    for who in ALL {
        for &phase in who.phases() {
            for change in [Change::Invalidate, Change::Put] {
                for (others, lately) in [
                    (Others::Meanwhile, Lately::Something),
                    (Others::Meanwhile, Lately::Nothing),
                    (Others::Afterwards, Lately::Something),
                    (Others::Afterwards, Lately::Nothing),
                ] {
                    id += 1;
                    let case = (who, phase, change, place, others, lately);
                    let got = on_redis(&server, &elsewhere, case, id).await;
                    if got.iter().any(|version| *version != 2) {
                        wrong.push((case, got));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "the old value came back: {wrong:#?}");
}

#[tokio::test]
async fn p4_in_every_phase_on_redis_when_the_same_process_changes_it() {
    every_phase_on_redis(Place::Here).await;
}

#[tokio::test]
async fn p4_in_every_phase_on_redis_when_another_process_changes_it() {
    every_phase_on_redis(Place::There).await;
}

/// In process a call waits for nothing but the body.
#[tokio::test]
async fn p4_in_every_phase_on_the_in_process_store() {
    let elsewhere = Elsewhere::new();
    let mut wrong = Vec::new();
    for who in ALL {
        for phase in [Phase::Before, Phase::Body, Phase::After] {
            for change in [Change::Invalidate, Change::Put] {
                let (cache, source) = (in_memory(), Source::new());
                if phase == Phase::Before {
                    assert_eq!(call(&cache, &source, 1).await, Ok(1));
                }
                if phase == Phase::Body {
                    source.body.shut_gate();
                }
                let mut under_way = None;
                if phase != Phase::Before {
                    let begun = tokio::spawn(who.begin(cache.clone(), source.clone(), 1));
                    source.body.wait_until_begun(1).await;
                    under_way = Some(begun);
                }
                if phase == Phase::After {
                    under_way.take().unwrap().await.unwrap().unwrap();
                }
                change.make(cache.clone(), source.clone(), 1).await.unwrap();

                let mut newcomers = vec![
                    tokio::spawn(call(&cache, &source, 1)),
                    elsewhere.spawn(call(&cache, &source, 1)),
                ];
                breathe().await;
                source.body.let_through(1);
                if let Some(call) = under_way {
                    call.await.unwrap().unwrap();
                }
                source.body.open_gate();
                newcomers.push(tokio::spawn(call(&cache, &source, 1)));
                let mut got = Vec::new();
                for newcomer in newcomers {
                    got.push(newcomer.await.unwrap().unwrap());
                }
                if got.iter().any(|version| *version != 2) {
                    wrong.push(((who, phase, change), got));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "the old value came back: {wrong:#?}");
}
