//! A body that runs for long: what it computed before an invalidation is never stored after it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_tests::body::Failed;
use cache_tests::proxy::{about, named};

use crate::scene::{
    Scene, Source, acquire, call, caller, impatient, key, look_entry, settle, token,
};

#[tokio::test]
async fn p4_a_value_computed_before_an_invalidation_is_never_stored() {
    let scene = Scene::new().await;
    for (id, by) in [(1, &scene.there), (2, &scene.here)] {
        let source = Source::gated();
        let slow = caller(&scene.here, &source, id);
        source.body.wait_until_running(1).await;
        look_entry(by, id).invalidate().await.unwrap();
        source.body.open_gate();
        assert_eq!(slow.await.unwrap(), Ok(1));
        assert_eq!(scene.stored(&key(id)).await, None);
        assert_eq!(scene.stored(&token(id)).await, None);
    }
}

#[tokio::test]
async fn p4_a_value_that_refresh_or_get_or_compute_brings_late_is_never_stored() {
    for refresh in [false, true] {
        let (scene, source) = (Scene::new().await, Source::gated());
        let entry = look_entry(&scene.here, 1);
        let slow = {
            let source = source.clone();
            tokio::spawn(async move {
                if refresh {
                    entry.refresh(source.read()).await
                } else {
                    entry.get_or_compute(|| source.read()).await
                }
            })
        };
        source.body.wait_until_running(1).await;
        look_entry(&scene.there, 1).invalidate().await.unwrap();
        source.body.open_gate();
        assert_eq!(slow.await.unwrap(), Ok(1));
        assert_eq!(scene.stored(&key(1)).await, None);
    }
}

/// A refresh takes the right to store from a body that runs, and that body's callers who came later get the new value.
#[tokio::test]
async fn p4_a_body_from_before_a_refresh_does_not_replace_it() {
    let scene = Scene::new().await;
    for (id, by) in [(1, &scene.here), (2, &scene.there)] {
        let source = Source::gated();
        let slow = caller(&scene.here, &source, id);
        source.body.wait_until_running(1).await;
        let version = source.change();
        let entry = look_entry(by, id);
        let refreshed = entry.refresh(async { Ok::<_, Failed>(version) }).await;
        assert_eq!(refreshed, Ok(version));
        source.body.open_gate();
        assert_eq!(slow.await.unwrap(), Ok(1));
        assert_eq!(scene.stored(&key(id)).await.as_deref(), Some("2"));
    }
}

/// The right to store is shared, so whoever gets it later lengthens its life.
#[tokio::test]
async fn p4_who_shares_the_right_to_store_has_it_for_as_long_as_who_set_it() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let first = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    let token = token(1);
    assert_eq!(scene.server.cli(&["PEXPIRE", &token, "15000"]), "1");
    let second = caller(&scene.there, &source, 1);
    source.body.wait_until_running(2).await;
    let left: u64 = scene.server.cli(&["PTTL", &token]).parse().unwrap();
    assert!(left > 15_000, "{left} ms");
    source.body.open_gate();
    assert_eq!(
        (first.await.unwrap(), second.await.unwrap()),
        (Ok(1), Ok(1))
    );
}

/// The token goes first: between the two DELs a body that runs elsewhere would store, were it the other way round.
#[tokio::test]
async fn p4_an_invalidation_revokes_before_it_deletes() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let slow = caller(&scene.there, &source, 1);
    source.body.wait_until_running(1).await;
    let deletes = AtomicUsize::new(0);
    let second = scene.proxy.hold(move |args: &[Vec<u8>]| {
        named("DEL")(args) && deletes.fetch_add(1, Ordering::SeqCst) == 1
    });
    source.change();
    let entry = look_entry(&scene.here, 1);
    let invalidation = tokio::spawn(async move { entry.invalidate().await });
    second.arrived().await;
    source.body.open_gate();
    assert_eq!(slow.await.unwrap(), Ok(1));
    second.release();
    invalidation.await.unwrap().unwrap();
    assert_eq!(scene.stored(&key(1)).await, None);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(2));
}

/// A renewal keeps a token alive, and brings none back. It comes after ten seconds.
#[tokio::test]
async fn p4_a_renewal_does_not_revive_a_revoked_token() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let slow = [1, 2].map(|id| caller(&scene.here, &source, id));
    source.body.wait_until_running(2).await;
    let renewed = scene.proxy.hold_reply(about("PEXPIRE", &token(1)));
    let revoked = scene.proxy.hold_reply(about("PEXPIRE", &token(2)));
    assert_eq!(scene.server.cli(&["PEXPIRE", &token(1), "25000"]), "1");
    look_entry(&scene.there, 2).invalidate().await.unwrap();

    renewed.arrived().await;
    let left: u64 = scene.server.cli(&["PTTL", &token(1)]).parse().unwrap();
    assert!(left > 25_000, "{left} ms are left");
    renewed.release();
    revoked.arrived().await;
    assert_eq!(scene.stored(&token(2)).await, None);
    revoked.release();

    source.body.open_gate();
    for caller in slow {
        assert_eq!(caller.await.unwrap(), Ok(1));
    }
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("1"));
    assert_eq!(scene.stored(&key(2)).await, None);
}

/// A question for the right to store that got no answer is not the last one, however many callers follow each other.
#[tokio::test]
async fn p4_a_flight_that_never_ends_asks_for_the_right_to_store_again() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let hasty = impatient(scene.proxy.url(), Duration::from_millis(200));
    hasty.ping().await.unwrap();
    let lost = scene.proxy.hold(acquire(1));
    let mut callers = vec![caller(&hasty, &source, 1)];
    lost.arrived().await;
    source.body.wait_until_begun(1).await;
    lost.release();
    // Each body has a caller that came too late for it, and so the next one.
    for run in 1..=4 {
        callers.push(caller(&hasty, &source, 1));
        settle(&hasty).await;
        source.body.let_through(run);
        callers.remove(0).await.unwrap().unwrap();
        if scene.stored(&key(1)).await.is_some() {
            break;
        }
        source.body.wait_until_begun(run + 1).await;
    }
    assert!(scene.stored(&key(1)).await.is_some());
    source.body.open_gate();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
}
