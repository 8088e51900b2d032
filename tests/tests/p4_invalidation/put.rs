//! A `put` is two steps, so that one of them that comes late brings nothing back.

use std::time::Duration;

use cache_tests::eventually;

use crate::scene::{Scene, Source, call, impatient, key, look_entry, process, put, settle, token};

const SOON: Duration = Duration::from_secs(10);

/// Rule 9: the first step of a put that was given up lands after a later invalidation.
#[tokio::test]
async fn p4_rule9_a_first_step_that_lands_late_brings_no_value_back() {
    let (scene, source) = (Scene::new().await, Source::new());
    let hasty = impatient(scene.proxy.url(), Duration::from_millis(200));
    hasty.ping().await.unwrap();
    let version = source.change();
    let step = scene.proxy.hold(|args: &[Vec<u8>]| args[0] == b"SET");
    let put = look_entry(&hasty, 1).put(&version).await;
    assert!(put.unwrap_err().is_timeout());
    assert!(step.has_arrived());

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    step.release();
    settle(&hasty).await;
    assert_eq!(scene.stored(&key(1)).await, None);
    assert_eq!(call(&scene.there, &source, 1).await, Ok(3));
    assert_eq!(call(&hasty, &source, 1).await, Ok(3));
}

/// Rule 9: the same with the second step.
#[tokio::test]
async fn p4_rule9_a_second_step_that_lands_late_brings_no_value_back() {
    for then_put in [false, true] {
        let (scene, source) = (Scene::new().await, Source::new());
        let hasty = impatient(scene.proxy.url(), Duration::from_millis(200));
        hasty.ping().await.unwrap();
        let version = source.change();
        let step = scene.proxy.hold(put(1));
        let put = look_entry(&hasty, 1).put(&version).await;
        assert!(put.unwrap_err().is_timeout());
        assert!(step.has_arrived());

        let version = source.change();
        let entry = look_entry(&scene.there, 1);
        if then_put {
            entry.put(&version).await.unwrap();
        } else {
            entry.invalidate().await.unwrap();
        }
        step.release();
        settle(&hasty).await;
        assert_eq!(scene.stored(&key(1)).await, None);
        assert_eq!(call(&scene.there, &source, 1).await, Ok(3));
    }
}

/// A second step whose connection broke is sent again, and its first copy is executed last of all.
#[tokio::test]
async fn p4_rule9_a_copy_of_the_second_step_that_lands_late_brings_no_value_back() {
    let (scene, source) = (Scene::new().await, Source::new());
    let version = source.change();
    let copy = scene.proxy.hold(put(1));
    let entry = look_entry(&scene.here, 1);
    let put = tokio::spawn(async move { entry.put(&version).await });
    copy.arrived().await;
    scene.proxy.reset();
    put.await.unwrap().unwrap();
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));

    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    assert_eq!(call(&scene.there, &source, 1).await, Ok(3));
    copy.release();
    eventually("the late copy is executed", SOON, async || {
        scene.stored(&key(1)).await.is_none()
    })
    .await;
    assert_eq!(call(&scene.here, &source, 1).await, Ok(3));
}

/// A put that is dropped at any poll leaves nothing behind that a later change does not end.
#[tokio::test]
async fn p4_a_put_dropped_at_any_poll_undoes_no_later_change() {
    let scene = Scene::new().await;
    let source = Source::new();
    let (polls, done) = cache_tests::at_every_poll(async |n| {
        let version = source.change();
        let put = look_entry(&scene.here, 1).put(&version);
        let done = cache_tests::poll_n_then_drop(put, n).await;
        let version = source.change();
        look_entry(&scene.there, 1).invalidate().await.unwrap();
        // What the dropped put had sent is executed by now.
        settle(&scene.here).await;
        assert_eq!(call(&scene.there, &source, 1).await, Ok(version));
        assert_eq!(call(&scene.here, &source, 1).await, Ok(version));
        done
    })
    .await;
    done.unwrap();
    assert!(polls > 2, "a put waits for Redis twice");
}

/// A body that runs while a value is put does not replace it, in whichever process it runs.
#[tokio::test]
async fn p4_a_body_from_before_a_put_does_not_replace_it() {
    let scene = Scene::new().await;
    for (id, by) in [(1, &scene.here), (2, &scene.there)] {
        let source = Source::gated();
        let old = crate::scene::caller(&scene.here, &source, id);
        source.body.wait_until_running(1).await;
        source.change();
        look_entry(by, id).put(&2).await.unwrap();
        source.body.open_gate();
        assert_eq!(old.await.unwrap(), Ok(1));
        assert_eq!(scene.stored(&key(id)).await.as_deref(), Some("2"));
        assert_eq!(scene.stored(&token(id)).await, None);
        let third = process(scene.server.url());
        assert_eq!(call(&third, &source, id).await, Ok(2));
        assert_eq!(source.body.runs(), 1);
    }
}
