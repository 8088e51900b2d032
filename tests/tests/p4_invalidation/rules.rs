//! Each rule of the protocol, in the interleaving that it is there for.

use std::time::Duration;

use cache_runtime::BreakerState;
use cache_tests::body::Failed;
use cache_tests::proxy::about;
use cache_tests::{eventually, redis_state, within};
use tokio::task::JoinHandle;

use crate::put_with::{Write, both};
use crate::scene::{
    Elsewhere, Scene, Source, acquire, breathe, call, caller, find_nothing, impatient, in_memory,
    key, lock, look_entry, release, settle, store, token,
};

const SOON: Duration = Duration::from_secs(10);

/// Rule 1: a GET's answer belongs to the callers that came before it was sent.
#[tokio::test]
async fn p4_rule1_a_reply_serves_nobody_who_came_after_the_get_was_sent() {
    let (scene, source) = (Scene::new().await, Source::new());
    assert_eq!(call(&scene.there, &source, 1).await, Ok(1));

    // Two reads of a key are under way at most, so the third caller waits for one of them to end.
    let first = scene.proxy.hold_reply(about("GET", &key(1)));
    let second = scene.proxy.hold_reply(about("GET", &key(1)));
    let early = [
        caller(&scene.here, &source, 1),
        caller(&scene.here, &source, 1),
    ];
    first.arrived().await;
    second.arrived().await;

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let late = caller(&scene.here, &source, 1);
    breathe().await;
    assert_eq!(scene.proxy.seen("GET"), 2);

    first.release();
    second.release();
    for caller in early {
        assert_eq!(caller.await.unwrap(), Ok(1), "it came before the change");
    }
    assert_eq!(late.await.unwrap(), Ok(2));
}

/// Rule 2: callers join a flight only after their own miss.
///
/// Without it nobody gets an old value, but who comes after a `put` waits for a body that began before.
#[tokio::test]
async fn p4_rule2_a_caller_looks_for_itself_before_it_waits_for_a_body() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let old = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;

    source.change();
    look_entry(&scene.there, 1).put(&2).await.unwrap();
    // Its GET is held while another one passes, so that it comes while the body runs and looks later.
    let held = scene.proxy.hold(about("GET", &key(1)));
    let newcomer = caller(&scene.here, &source, 1);
    held.arrived().await;
    look_entry(&scene.there, 1).put(&3).await.unwrap();
    held.release();

    let got = within("an answer from Redis, not from the body", SOON, newcomer).await;
    assert_eq!(got.unwrap(), Ok(3));
    assert_eq!(source.body.running(), 1);
    source.body.open_gate();
    assert_eq!(old.await.unwrap(), Ok(1));
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("3"));
}

/// Rule 3: a body's outcome goes to those who joined before it began, to later ones only with the proof.
#[tokio::test]
async fn p4_rule3_late_callers_get_the_value_only_with_the_proof() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::gated();
    let asked = scene.proxy.hold(acquire(1));
    let leader = caller(&scene.here, &source, 1);
    asked.arrived().await;
    let early = elsewhere.spawn(call(&scene.here, &source, 1));
    elsewhere.settle(&scene.here).await;
    asked.release();
    source.body.wait_until_running(1).await;

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let late = caller(&scene.here, &source, 1);
    settle(&scene.here).await;

    let proof = scene.proxy.hold(store(1));
    source.body.let_through(1);
    proof.arrived().await;
    let early = within("the early caller needs no proof", SOON, early).await;
    assert_eq!(early.unwrap(), Ok(1), "it came before the body began");
    breathe().await;
    assert!(!late.is_finished(), "there is no proof yet");

    proof.release();
    assert_eq!(leader.await.unwrap(), Ok(1));
    source.body.open_gate();
    assert_eq!(late.await.unwrap(), Ok(2));
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
}

/// Rule 3, for an error: it is never stored, but shared.
#[tokio::test]
async fn p4_rule3_late_callers_get_the_error_only_with_the_proof() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let leader = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let late = caller(&scene.here, &source, 1);
    settle(&scene.here).await;

    let proof = scene.proxy.hold(release(1));
    source.body.fail_next(1);
    source.body.let_through(1);
    assert_eq!(leader.await.unwrap(), Err(Failed { run: 1 }));
    proof.arrived().await;
    breathe().await;
    assert!(!late.is_finished(), "there is no proof yet");
    proof.release();
    source.body.open_gate();
    assert_eq!(late.await.unwrap(), Ok(2));
}

/// Rule 3, where the proof does not come: the connection breaks, and there is no other. So nobody knows whether the
/// right stood, and who came late gets what a body of its own returns.
#[tokio::test]
async fn p4_rule3_late_callers_start_over_when_there_is_no_answer() {
    for fails in [false, true] {
        let (scene, source) = (Scene::new().await, Source::gated());
        let leader = caller(&scene.here, &source, 1);
        source.body.wait_until_running(1).await;
        let late = change_and_come_late(&scene, &source).await;

        let proof = if fails {
            source.body.fail_next(1);
            scene.proxy.hold(release(1))
        } else {
            scene.proxy.hold(store(1))
        };
        source.body.let_through(1);
        proof.arrived().await;
        scene.proxy.refuse();
        proof.reset();
        let outcome = if fails { Err(Failed { run: 1 }) } else { Ok(1) };
        assert_eq!(leader.await.unwrap(), outcome);
        has_a_body_of_its_own(late, &source).await;
        scene.proxy.accept();
    }
}

/// The source is changed, its value invalidated, and a caller comes after that.
async fn change_and_come_late(scene: &Scene, source: &Source) -> JoinHandle<Result<u64, Failed>> {
    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let late = caller(&scene.here, source, 1);
    eventually("the late caller waits", SOON, async || {
        scene.here.stats().waiting == 1
    })
    .await;
    late
}

async fn has_a_body_of_its_own(late: JoinHandle<Result<u64, Failed>>, source: &Source) {
    source.body.open_gate();
    let late = within("a body of its own", SOON, late).await;
    assert_eq!(late.unwrap(), Ok(2), "it came after the change");
}

/// Rule 3, where there never was a right: the question for it got no answer.
#[tokio::test]
async fn p4_rule3_late_callers_start_over_when_there_was_no_right() {
    for fails in [false, true] {
        let (scene, source) = (Scene::new().await, Source::gated());
        let asked = scene.proxy.hold(acquire(1));
        let leader = caller(&scene.here, &source, 1);
        asked.arrived().await;
        scene.proxy.refuse();
        asked.reset();
        source.body.wait_until_running(1).await;
        let late = change_and_come_late(&scene, &source).await;
        if fails {
            source.body.fail_next(1);
        }
        source.body.let_through(1);
        assert_eq!(leader.await.unwrap().is_err(), fails);
        has_a_body_of_its_own(late, &source).await;
        scene.proxy.accept();
    }
}

/// Rule 3, where callers follow each other without end: one attempt that had no answer is followed by one that does
/// not ask, and that by one that asks. So something is stored once Redis is back.
#[tokio::test]
async fn p5_rule3_every_other_attempt_asks() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let waits = async |caller: &str| {
        eventually(caller, SOON, async || scene.here.stats().waiting == 1).await;
    };
    let asked = scene.proxy.hold(acquire(1));
    let first = caller(&scene.here, &source, 1);
    asked.arrived().await;
    scene.proxy.refuse();
    asked.reset();
    source.body.wait_until_running(1).await;
    let second = caller(&scene.here, &source, 1);
    waits("the second caller waits").await;
    source.body.let_through(1);
    assert_eq!(first.await.unwrap(), Ok(1));
    source.body.wait_until_begun(2).await;

    scene.proxy.accept();
    eventually("Redis is asked again", SOON, async || {
        redis_state(&scene.here).breaker != BreakerState::Open
    })
    .await;
    let third = caller(&scene.here, &source, 1);
    waits("the third caller waits").await;
    source.body.let_through(2);
    assert_eq!(second.await.unwrap(), Ok(1));
    assert_eq!(scene.stored(&key(1)).await, None, "it had no right to");
    source.body.let_through(3);
    assert_eq!(third.await.unwrap(), Ok(1));
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("1"));
}

/// The other side of rule 3: with the proof they do get it.
#[tokio::test]
async fn p4_rule3_late_callers_share_the_run_when_nothing_changed() {
    let (scene, source) = (Scene::new().await, Source::gated());
    for fails in [false, true] {
        let before = source.body.runs();
        let leader = caller(&scene.here, &source, u64::from(fails));
        source.body.wait_until_running(1).await;
        let late = caller(&scene.here, &source, u64::from(fails));
        settle(&scene.here).await;
        if fails {
            source.body.fail_next(1);
        }
        source.body.let_through(before + 1);
        let outcome = leader.await.unwrap();
        assert_eq!(outcome.is_err(), fails);
        assert_eq!(late.await.unwrap(), outcome);
        assert_eq!(source.body.runs(), before + 1);
    }
}

/// Rule 4: STORE's "valid" says nothing to those who come once it is sent, because it may be older than they.
#[tokio::test]
async fn p4_rule4_who_comes_once_the_store_is_sent_waits_for_the_next_attempt() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    // The store has been executed; that the token stood is on its way.
    let proof = scene.proxy.hold_reply(store(1));
    let leader = caller(&scene.here, &source, 1);
    proof.arrived().await;

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let late = elsewhere.spawn(call(&scene.here, &source, 1));
    elsewhere.settle(&scene.here).await;
    assert_eq!(scene.here.stats().waiting, 1);
    proof.release();
    assert_eq!(leader.await.unwrap(), Ok(1));
    assert_eq!(late.await.unwrap(), Ok(2));
}

/// Rule 4 for P5: whoever comes while the value is on its way finds none, and is no body run for that.
#[tokio::test]
async fn p5_rule4_callers_who_come_while_the_value_is_being_stored_wait_for_it() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    let sent = scene.proxy.hold(store(1));
    let leader = caller(&scene.here, &source, 1);
    sent.arrived().await;
    let late: Vec<_> = (0..10)
        .map(|_| elsewhere.spawn(call(&scene.here, &source, 1)))
        .collect();
    elsewhere.settle(&scene.here).await;
    sent.release();
    assert_eq!(leader.await.unwrap(), Ok(1));
    for late in late {
        assert_eq!(late.await.unwrap(), Ok(1));
    }
    assert_eq!(source.body.runs(), 1);
}

/// Rule 4, for an error and RELEASE: somebody came before it was sent, and waits for its answer.
#[tokio::test]
async fn p4_rule4_who_comes_once_the_release_is_sent_waits_for_the_next_attempt() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::gated();
    source.body.fail_next(1);
    let proof = scene.proxy.hold_reply(release(1));
    let leader = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    let late = caller(&scene.here, &source, 1);
    settle(&scene.here).await;
    source.body.open_gate();
    assert_eq!(leader.await.unwrap(), Err(Failed { run: 1 }));
    proof.arrived().await;

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let later = elsewhere.spawn(call(&scene.here, &source, 1));
    elsewhere.settle(&scene.here).await;
    assert_eq!(scene.here.stats().waiting, 2);
    proof.release();
    assert_eq!(late.await.unwrap(), Err(Failed { run: 1 }), "its proof");
    assert_eq!(later.await.unwrap(), Ok(2));
}

/// Where nobody waits for RELEASE's answer, nobody begins to.
#[tokio::test]
async fn p4_rule4_an_error_that_nobody_waits_for_ends_the_flight_at_once() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    source.body.fail_next(1);
    let proof = scene.proxy.hold_reply(release(1));
    let leader = caller(&scene.here, &source, 1);
    assert_eq!(leader.await.unwrap(), Err(Failed { run: 1 }));
    proof.arrived().await;

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let late = elsewhere.spawn(call(&scene.here, &source, 1));
    let late = within("an answer before that of RELEASE", SOON, late).await;
    assert_eq!(late.unwrap(), Ok(2));
    proof.release();
}

/// Rule 5: every send of ACQUIRE has a fresh nonce, so a lost copy brings no revoked token back.
#[tokio::test]
async fn p4_rule5_a_copy_of_acquire_that_executes_late_revives_no_token() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let copy = scene.proxy.hold(acquire(1));
    let leader = caller(&scene.here, &source, 1);
    let lost = copy.arrived().await;
    // The connection breaks, so it is sent again; the first copy is still on its way to the server.
    scene.proxy.reset();
    source.body.wait_until_running(1).await;

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    copy.release();
    eventually("the late copy is executed", SOON, async || {
        scene.stored(&token(1)).await.is_some()
    })
    .await;
    source.body.open_gate();
    assert_eq!(leader.await.unwrap(), Ok(1));
    assert_eq!(scene.stored(&key(1)).await, None);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(2));
    assert_eq!(call(&scene.here, &source, 1).await, Ok(2));

    let sent = scene.proxy.commands();
    let nonces: Vec<_> = sent
        .iter()
        .filter(|args| {
            let args: Vec<_> = args.iter().map(|arg| arg.clone().into_bytes()).collect();
            acquire(1)(&args)
        })
        .map(|args| args[2].as_bytes())
        .collect();
    assert_eq!(nonces.len(), 2);
    assert_ne!(nonces[0], nonces[1]);
    assert_eq!(nonces[0], lost[2]);
}

/// Rule 5: what happens between the two commands of ACQUIRE revokes the lease, or is found.
#[tokio::test]
async fn p4_rule5_a_change_between_the_lease_and_the_look_is_seen() {
    for change in ["invalidate", "put", "computed"] {
        let (scene, source) = (Scene::new().await, Source::new());
        let lease = scene.proxy.hold(acquire(1));
        let leader = caller(&scene.here, &source, 1);
        lease.arrived().await;
        let look = scene.proxy.hold(about("GET", &key(1)));
        lease.release();
        look.arrived().await;
        eventually("the lease is there", SOON, async || {
            scene.stored(&token(1)).await.is_some()
        })
        .await;
        let entry = look_entry(&scene.there, 1);
        let (answer, runs) = match change {
            "invalidate" => {
                source.change();
                entry.invalidate().await.unwrap();
                (2, 1)
            }
            "put" => {
                source.change();
                entry.put(&2).await.unwrap();
                (2, 0)
            }
            _ => {
                assert_eq!(call(&scene.there, &source, 1).await, Ok(1));
                (1, 1)
            }
        };
        look.release();
        assert_eq!(leader.await.unwrap(), Ok(answer), "{change}");
        assert_eq!(source.body.runs(), runs, "{change}");
        let stored = scene.stored(&key(1)).await;
        let expected = (change != "invalidate").then(|| answer.to_string());
        assert_eq!(stored, expected, "{change}");
    }
}

/// Rule 5, where the connection breaks between the two commands of ACQUIRE: the first one executes late, and alone.
#[tokio::test]
async fn p4_rule5_half_a_copy_of_acquire_that_executes_late_revives_no_token() {
    let (scene, source) = (Scene::new().await, Source::gated());
    find_nothing(&scene.here).await;
    let copy = scene.proxy.hold(acquire(1));
    let leader = caller(&scene.here, &source, 1);
    copy.arrived().await;
    scene.proxy.reset();
    source.body.wait_until_running(1).await;

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let rest = scene.proxy.hold(about("GET", &key(1)));
    copy.release();
    rest.arrived().await;
    eventually("the late copy is executed", SOON, async || {
        scene.stored(&token(1)).await.is_some()
    })
    .await;
    rest.reset();
    source.body.open_gate();
    assert_eq!(leader.await.unwrap(), Ok(1));
    assert_eq!(scene.stored(&key(1)).await, None);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(2));
    assert_eq!(call(&scene.here, &source, 1).await, Ok(2));
}

/// Two processes that read by asking for the right to store have one, which the first to end uses up, and a change takes from
/// both.
#[tokio::test]
async fn p4_two_processes_that_read_by_acquire_share_one_token() {
    for invalidated in [false, true] {
        let (scene, source) = (Scene::new().await, Source::gated());
        find_nothing(&scene.here).await;
        find_nothing(&scene.there).await;
        scene.proxy.forget();
        let first = caller(&scene.there, &source, 1);
        source.body.wait_until_running(1).await;
        let shared = scene.stored(&token(1)).await;
        assert!(shared.is_some());
        source.change();
        let second = caller(&scene.here, &source, 1);
        source.body.wait_until_running(2).await;
        assert_eq!(scene.stored(&token(1)).await, shared);
        let sent = scene.proxy.commands();
        let sent: Vec<_> = sent.iter().map(|command| &*command[0]).collect();
        let [set, get, script] = sent[sent.len() - 3..] else {
            panic!("too few: {sent:?}");
        };
        assert_eq!((set, get), ("SET", "GET"));
        assert!(script.starts_with("EVAL"), "{script}");
        if invalidated {
            source.change();
            look_entry(&scene.there, 1).invalidate().await.unwrap();
        }
        source.body.let_through(2);
        assert_eq!(second.await.unwrap(), Ok(2));
        let stored = (!invalidated).then_some("2");
        assert_eq!(scene.stored(&key(1)).await.as_deref(), stored);
        source.body.let_through(1);
        assert_eq!(first.await.unwrap(), Ok(1));
        assert_eq!(scene.stored(&key(1)).await.as_deref(), stored);
        assert_eq!(scene.stored(&token(1)).await, None);
    }
}

/// A right that was set beside a value is given back, and nobody else's is.
#[tokio::test]
async fn p4_a_hit_that_asked_for_the_right_to_store_gives_back_its_own_only() {
    for computed in [false, true] {
        let (scene, source) = (Scene::new().await, Source::new());
        assert_eq!(call(&scene.there, &source, 1).await, Ok(1));
        find_nothing(&scene.here).await;
        let mut refresh = None;
        if computed {
            source.body.shut_gate();
            source.change();
            let (cache, source) = (scene.there.clone(), source.clone());
            refresh = Some(tokio::spawn(async move {
                look_entry(&cache, 1).refresh(source.read()).await
            }));
            eventually("the right to refresh", SOON, async || {
                scene.stored(&token(1)).await.is_some()
            })
            .await;
        }
        let others = scene.stored(&token(1)).await;
        scene.proxy.forget();
        assert_eq!(call(&scene.here, &source, 1).await, Ok(1));
        settle(&scene.here).await;
        assert_eq!(scene.proxy.seen("SET"), 1, "it is no GET");
        assert_eq!(scene.proxy.scripts_seen(), u64::from(!computed));
        assert_eq!(scene.stored(&token(1)).await, others);
        if let Some(refresh) = refresh {
            source.body.open_gate();
            assert_eq!(refresh.await.unwrap(), Ok(2));
            assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
        }
    }
}

/// Rule 5: only a token whose answer came before the body began may be used.
#[tokio::test]
async fn p4_rule5_a_token_that_was_answered_too_late_is_not_used() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let hasty = impatient(scene.proxy.url(), Duration::from_millis(200));
    hasty.ping().await.unwrap();
    let answer = scene.proxy.hold_reply(acquire(1));
    let leader = caller(&hasty, &source, 1);
    answer.arrived().await;
    source.body.wait_until_running(1).await;
    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    answer.release();
    settle(&hasty).await;
    source.body.open_gate();
    assert_eq!(leader.await.unwrap(), Ok(1));
    settle(&hasty).await;
    assert_eq!(scene.stored(&key(1)).await, None);
    assert_eq!(call(&hasty, &source, 1).await, Ok(2));
}

/// Rule 6: who takes over asks for a right of its own, so a change since the first one is seen.
#[tokio::test]
async fn p4_rule6_a_takeover_acquires_anew() {
    for panics in [false, true] {
        let (scene, source) = (Scene::new().await, Source::gated());
        let leader = caller(&scene.here, &source, 1);
        source.body.wait_until_running(1).await;
        let waiter = caller(&scene.here, &source, 1);
        settle(&scene.here).await;

        source.change();
        look_entry(&scene.there, 1).invalidate().await.unwrap();
        scene.proxy.forget();
        let anew = scene.proxy.hold(acquire(1));
        if panics {
            source.body.panic_next(1);
            source.body.let_through(1);
        } else {
            leader.abort();
        }
        assert!(leader.await.is_err());
        anew.arrived().await;
        anew.release();
        source.body.open_gate();
        assert_eq!(waiter.await.unwrap(), Ok(2));
        // The right that was revoked would not have stored it.
        assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
    }
}

/// Rule 6: what was put since the dropped leader looked is found by who takes over.
#[tokio::test]
async fn p4_rule6_a_takeover_finds_what_was_put_meanwhile() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let leader = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    let waiter = caller(&scene.here, &source, 1);
    settle(&scene.here).await;
    let anew = scene.proxy.hold(acquire(1));
    leader.abort();
    anew.arrived().await;
    source.change();
    look_entry(&scene.there, 1).put(&2).await.unwrap();
    anew.release();
    assert_eq!(waiter.await.unwrap(), Ok(2));
    assert_eq!(source.body.runs(), 1);
}

/// Rule 7: an invalidation here takes the flight from new callers, who need not wait for its body.
#[tokio::test]
async fn p4_rule7_an_invalidation_here_detaches_the_flight() {
    let scene = Scene::new().await;
    for cache in [scene.here.clone(), in_memory()] {
        let source = Source::gated();
        let old = caller(&cache, &source, 1);
        source.body.wait_until_running(1).await;
        source.change();
        look_entry(&cache, 1).invalidate().await.unwrap();
        source.body.let_through(2);
        let newcomer = within("a body of its own", SOON, call(&cache, &source, 1)).await;
        assert_eq!(newcomer, Ok(2));
        assert_eq!(source.body.running(), 1, "the old body still runs");
        source.body.open_gate();
        assert_eq!(old.await.unwrap(), Ok(1));
        assert_eq!(call(&cache, &source, 1).await, Ok(2));
        assert_eq!(source.body.runs(), 2);
    }
}

/// Rule 7, in the phase before the body: the flight waits for a right that is revoked already.
#[tokio::test]
async fn p4_rule7_a_flight_whose_right_is_on_its_way_is_detached_too() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    let right = scene.proxy.hold_reply(acquire(1));
    let old = caller(&scene.here, &source, 1);
    right.arrived().await;
    let version = source.change();
    let entry = look_entry(&scene.here, 1);
    elsewhere
        .spawn(async move { entry.invalidate().await })
        .await
        .unwrap()
        .unwrap();
    let newcomer = elsewhere.spawn(call(&scene.here, &source, 1));
    let newcomer = within("a flight of its own", SOON, newcomer).await;
    assert_eq!(newcomer.unwrap(), Ok(version));
    right.release();
    assert_eq!(old.await.unwrap(), Ok(version));
}

/// Rule 7, for `put`: who comes when the value is gone again need not wait for the old body either.
#[tokio::test]
async fn p4_rule7_a_put_here_detaches_the_flight() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let old = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    source.change();
    look_entry(&scene.here, 1).put(&2).await.unwrap();
    scene.server.empty().await;
    source.body.let_through(2);
    let newcomer = within("a body of its own", SOON, call(&scene.here, &source, 1)).await;
    assert_eq!(newcomer, Ok(2));
    assert_eq!(source.body.running(), 1, "the old body still runs");
    source.body.open_gate();
    assert_eq!(old.await.unwrap(), Ok(1));
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
}

/// Rule 7, for `put_with`, as it begins: who comes while the source is written has a body that may read what is
/// written, and need not wait for one that cannot.
#[tokio::test]
async fn p4_rule7_a_put_with_here_detaches_the_flight() {
    let scene = Scene::new().await;
    for cache in [scene.here.clone(), in_memory()] {
        let source = Source::gated();
        let old = caller(&cache, &source, 1);
        source.body.wait_until_running(1).await;
        let write = Write::of(&source);
        let written = write.begun(&cache, 1).await;
        write.commit().await;
        source.body.let_through(2);
        let newcomer = within("a body of its own", SOON, call(&cache, &source, 1)).await;
        assert_eq!(newcomer, Ok(2));
        assert_eq!(source.body.running(), 1, "the old body still runs");
        write.finish();
        assert_eq!(both(written).await, 2);
        source.body.open_gate();
        assert_eq!(old.await.unwrap(), Ok(1));
        assert_eq!(call(&cache, &source, 1).await, Ok(2));
    }
}

/// An invalidation revokes the right to store before it deletes the value: else a body could store between the two.
#[tokio::test]
async fn p4_an_invalidation_deletes_the_value_last() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let old = caller(&scene.there, &source, 1);
    source.body.wait_until_running(1).await;
    source.change();
    let halfway = scene.proxy.hold(about("DEL", &lock(1)));
    let entry = look_entry(&scene.here, 1);
    let invalidated = tokio::spawn(async move { entry.invalidate().await });
    halfway.arrived().await;
    eventually("what comes before it is executed", SOON, async || {
        scene.stored(&token(1)).await.is_none() || scene.proxy.seen("DEL") > 2
    })
    .await;
    source.body.open_gate();
    assert_eq!(old.await.unwrap(), Ok(1));
    halfway.release();
    invalidated.await.unwrap().unwrap();
    assert_eq!(scene.stored(&key(1)).await, None);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(2));
}
