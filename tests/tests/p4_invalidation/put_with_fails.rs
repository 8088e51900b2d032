//! A `put_with` that does not end well: the write fails or is dropped, Redis is away, or an invalidation fails
//! meanwhile. What nobody knows to be right is taken away.

use std::time::Duration;

use cache_runtime::ErrorKind;
use cache_tests::body::Failed;
use cache_tests::eventually;
use cache_tests::proxy::about;

use crate::put_with::{HASTY, SOON, Write, both};
use crate::scene::{
    Elsewhere, Scene, Source, call, caller, impatient, in_memory, key, look_entry, put, settle,
    token,
};

/// Nobody knows what the source holds after a write that failed.
#[tokio::test]
async fn p4_a_write_that_fails_takes_the_value_away() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for cache in [&scene.here, &memory] {
        let source = Source::new();
        assert_eq!(call(cache, &source, 1).await, Ok(1));
        let write = Write::of(&source);
        write.after.fail_next(1);
        let written = write.begun(cache, 1).await;
        assert_eq!(call(cache, &source, 1).await, Ok(1), "not yet written");
        write.commit().await;
        write.finish();
        let (outcome, told) = written.await.unwrap();
        assert!(outcome.is_err());
        told.unwrap();
        let stats = cache.stats();
        assert_eq!(stats.unfinished_invalidations, 0, "nothing is left to do");
        assert_eq!(look_entry(cache, 1).get().await.unwrap(), None);
        assert_eq!(call(cache, &source, 1).await, Ok(2));
    }
}

/// Nor after one that was dropped: this process takes the value away before it next reads it.
#[tokio::test]
async fn p4_a_write_dropped_midway_takes_the_value_away() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for cache in [&scene.here, &memory] {
        let source = Source::new();
        assert_eq!(call(cache, &source, 1).await, Ok(1));
        let write = Write::of(&source);
        let written = write.begun(cache, 1).await;
        write.commit().await;
        written.abort();
        assert!(written.await.unwrap_err().is_cancelled());
        assert_eq!(call(cache, &source, 1).await, Ok(2));
        eventually("it is made up for", SOON, async || {
            cache.stats().unfinished_invalidations == 0
        })
        .await;
        assert_eq!(call(cache, &source, 1).await, Ok(2));
    }
}

/// The same at every poll of it, in whichever step.
#[tokio::test]
async fn p4_a_put_with_dropped_at_any_poll_leaves_nothing_old() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for cache in [&scene.here, &memory] {
        let source = Source::new();
        let (polls, done) = cache_tests::at_every_poll(async |n| {
            call(cache, &source, 1).await.unwrap();
            let entry = look_entry(cache, 1);
            let before = source.version();
            let write = entry.put_with(async {
                tokio::task::yield_now().await;
                let version = source.change();
                tokio::task::yield_now().await;
                Ok::<_, Failed>(version)
            });
            let done = cache_tests::poll_n_then_drop(write, n).await;
            assert_eq!(call(cache, &source, 1).await, Ok(source.version()));
            settle(cache).await;
            assert_eq!(call(cache, &source, 1).await, Ok(source.version()));
            assert!(done.is_none() || source.version() > before);
            done
        })
        .await;
        assert!(done.0.is_ok() && done.1.is_ok());
        assert!(polls > 2, "{polls}");
    }
}

/// A body that waits for a dropped write's source does not serve who came after it.
#[tokio::test]
async fn p4_a_flight_from_within_a_failed_put_with_serves_no_newcomer() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::gated();
    let here = impatient(scene.proxy.url(), HASTY);
    here.ping().await.unwrap();
    let write = Write::of(&source);
    let (begun, entry) = (write.clone(), look_entry(&here, 1));
    let written = elsewhere.spawn(async move {
        let write = async {
            begun.before.run().await?;
            let version = begun.source.change();
            begun.after.returning(version).await
        };
        entry.put_with(write).await
    });
    write.before.wait_until_running(1).await;
    let old = caller(&here, &source, 1);
    source.body.wait_until_running(1).await;
    write.commit().await;
    // The connection of the other runtime loses the second step, and whatever is to make up for it.
    let lost = scene.proxy.hold(put(1));
    write.finish();
    let (outcome, told) = written.await.unwrap();
    assert_eq!(outcome, Ok(2));
    assert!(told.unwrap_err().is_timeout());
    lost.drop_it();
    let newcomer = elsewhere.spawn(call(&here, &source, 1));
    source.body.wait_until_begun(2).await;
    source.body.let_through(1);
    assert_eq!(old.await.unwrap(), Ok(1));
    source.body.open_gate();
    assert_eq!(newcomer.await.unwrap(), Ok(2));
}

/// Redis is away from the beginning, or goes away in the middle: the source is written in any case.
#[tokio::test]
async fn p4_put_with_writes_though_redis_is_down() {
    for goes_away_midway in [false, true] {
        let (scene, source) = (Scene::new().await, Source::new());
        let here = impatient(scene.proxy.url(), Duration::from_millis(250));
        assert_eq!(call(&here, &source, 1).await, Ok(1));
        let cut_off = async || {
            scene.proxy.refuse();
            scene.proxy.reset();
            eventually("every connection to be gone", SOON, async || {
                scene.proxy.open_connections() == 0
            })
            .await;
        };
        if !goes_away_midway {
            cut_off().await;
        }
        let write = Write::of(&source);
        let written = write.begun(&here, 1).await;
        if goes_away_midway {
            cut_off().await;
        }
        write.commit().await;
        write.finish();
        let (outcome, told) = written.await.unwrap();
        assert_eq!(outcome, Ok(2));
        let error = told.unwrap_err();
        assert!(error.is_unavailable() || error.is_timeout(), "{error}");
        assert_eq!(here.stats().unfinished_invalidations, 1);
        for _ in 0..5 {
            assert_eq!(call(&here, &source, 1).await, Ok(2));
        }
        assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("1"));
        scene.proxy.accept();
        for _ in 0..20 {
            assert_eq!(call(&here, &source, 1).await, Ok(2));
        }
        eventually("it is made up for", SOON, async || {
            here.stats().unfinished_invalidations == 0
        })
        .await;
        assert_ne!(scene.stored(&key(1)).await.as_deref(), Some("1"));
    }
}

/// An invalidation that fails while the source is written is about a later change than that write's.
#[tokio::test]
async fn p4_a_put_with_does_not_make_up_for_an_invalidation_that_failed_within() {
    let (scene, elsewhere) = (Scene::new().await, Elsewhere::new());
    let source = Source::new();
    let here = impatient(scene.proxy.url(), HASTY);
    here.ping().await.unwrap();
    let write = Write::of(&source);
    let written = write.begun(&here, 1).await;
    write.commit().await;
    source.change();
    let lost = scene.proxy.hold(about("DEL", &token(1)));
    let entry = look_entry(&here, 1);
    let failed = elsewhere.spawn(async move { entry.invalidate().await });
    let error = failed.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    write.finish();
    assert_eq!(both(written).await, 2);
    assert_eq!(call(&here, &source, 1).await, Ok(3));
    lost.drop_it();
}
