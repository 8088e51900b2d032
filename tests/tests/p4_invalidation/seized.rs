//! The right to store that a `put`, a `put_with` or a `refresh` takes for itself: it is asked for once, and no two are
//! alike. A right that came back, or that two had, would store what was computed before a change.

use std::time::Duration;

use cache_runtime::{Cache, Error};
use cache_tests::proxy::{Held, about};
use cache_tests::{Child, Proxy, child, eventually};
use tokio::task::JoinHandle;

use crate::put_with::{Write, both};
use crate::scene::{
    Scene, Source, call, key, look_entry, process, put, server, settle, store, token,
};

const SOON: Duration = Duration::from_secs(20);

/// Who takes the right, and stores what the source is changed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Put,
    PutWith,
    Refresh,
}

const ALL: [By; 3] = [By::Put, By::PutWith, By::Refresh];

impl By {
    /// What is said of the cache; a `refresh` says nothing.
    fn begin(self, cache: &Cache, source: &Source, id: u64) -> JoinHandle<Result<(), Error>> {
        let (cache, source) = (cache.clone(), source.clone());
        tokio::spawn(async move {
            let entry = look_entry(&cache, id);
            match self {
                Self::Put => entry.put(&source.change()).await,
                Self::PutWith => entry.put_with(async { source.change() }).await.1,
                Self::Refresh => {
                    entry.refresh(async { source.change() }).await;
                    Ok(())
                }
            }
        })
    }

    /// Holds the step that stores.
    fn hold_second_step(self, proxy: &Proxy, id: u64) -> Held {
        match self {
            Self::Put | Self::PutWith => proxy.hold(put(id)),
            Self::Refresh => proxy.hold(store(id)),
        }
    }
}

/// Nobody knows whether a command on a connection that broke was executed, or is going to be. A second copy of it
/// would be answered, and the first one could give the right back after a change took it.
#[tokio::test]
async fn p4_a_right_is_not_asked_for_again_when_the_connection_breaks() {
    for by in ALL {
        let (scene, source) = (Scene::new().await, Source::new());
        let copy = scene.proxy.hold(about("SET", &token(1)));
        let step = by.hold_second_step(&scene.proxy, 1);
        let storing = by.begin(&scene.here, &source, 1);
        copy.arrived().await;
        scene.proxy.reset();
        eventually("it gives up, or goes on", SOON, async || {
            storing.is_finished() || step.has_arrived()
        })
        .await;

        let version = source.change();
        look_entry(&scene.there, 1).invalidate().await.unwrap();
        copy.release();
        eventually("the lost copy is executed", SOON, async || {
            scene.stored(&token(1)).await.is_some()
        })
        .await;
        step.release();
        let told = storing.await.unwrap();
        settle(&scene.here).await;
        let stored = scene.stored(&key(1)).await;
        assert_eq!(stored, None, "{by:?}: from before the change");
        assert_eq!(call(&scene.there, &source, 1).await, Ok(version), "{by:?}");
        assert_eq!(scene.proxy.seen("SET"), 1, "{by:?}");
        match by {
            By::Put => assert!(told.unwrap_err().is_unavailable()),
            // What was there is taken away, so it is right as it is.
            By::PutWith | By::Refresh => told.unwrap(),
        }
    }
}

/// The same where the server had executed it, and the answer is lost.
#[tokio::test]
async fn p4_a_right_whose_answer_is_lost_is_not_asked_for_again() {
    for by in ALL {
        let (scene, source) = (Scene::new().await, Source::new());
        let cut = scene.proxy.cut_in_reply_to(about("SET", &token(1)), 2);
        let told = by.begin(&scene.here, &source, 1).await.unwrap();
        cut.happened().await;
        settle(&scene.here).await;
        assert_eq!(scene.proxy.seen("SET"), 1, "{by:?}");
        assert_eq!(told.is_err(), by == By::Put, "{by:?}: {told:?}");
        assert_eq!(scene.stored(&key(1)).await, None, "{by:?}");
        assert_eq!(call(&scene.here, &source, 1).await, Ok(2), "{by:?}");
    }
}

/// Somebody else has a right by now, which is none for the one who lost theirs.
#[tokio::test]
async fn p4_a_right_that_a_change_took_is_not_the_next_ones() {
    for by in ALL {
        let (scene, source) = (Scene::new().await, Source::new());
        let step = by.hold_second_step(&scene.proxy, 1);
        let storing = by.begin(&scene.here, &source, 1);
        step.arrived().await;
        source.change();
        look_entry(&scene.there, 1).invalidate().await.unwrap();
        let write = Write::of(&source);
        let written = write.begun(&scene.there, 1).await;

        step.release();
        storing.await.unwrap().unwrap();
        let third = process(scene.server.url());
        assert_eq!(call(&third, &source, 1).await, Ok(3), "{by:?}");
        write.commit().await;
        write.finish();
        assert_eq!(both(written).await, 4, "{by:?}");
        assert_eq!(call(&third, &source, 1).await, Ok(4), "{by:?}");
    }
}

/// The same for the rights that bodies ask for, each with a name of its own.
#[tokio::test]
async fn p4_a_right_that_a_change_took_is_not_the_next_bodys() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let old = crate::scene::caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    source.change();
    look_entry(&scene.there, 1).invalidate().await.unwrap();
    let new = crate::scene::caller(&scene.there, &source, 1);
    source.body.wait_until_running(2).await;

    source.body.let_through(1);
    assert_eq!(old.await.unwrap(), Ok(1));
    settle(&scene.here).await;
    let stored = scene.stored(&key(1)).await;
    assert_eq!(stored, None, "under the right of the other one");
    source.body.open_gate();
    assert_eq!(new.await.unwrap(), Ok(2));
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
}

/// Two processes that do the same from their beginning on have different rights.
#[tokio::test]
async fn p4_no_two_processes_have_the_same_right() {
    const TEST: &str = "seized::p4_no_two_processes_have_the_same_right";
    if child::role().is_some() {
        let cache = process(std::env::var("CACHE_TESTS_URL").unwrap());
        look_entry(&cache, 1).put(&1).await.unwrap();
        let computed = call(&cache, &Source::new(), 2).await;
        assert_eq!(computed, Ok(1));
        return;
    }
    let server = server().await;
    let mut rights = Vec::new();
    for _ in 0..2 {
        let proxy = Proxy::before(&server);
        let process = Child::of_test(TEST).env("CACHE_TESTS_URL", proxy.url());
        let ended = tokio::task::spawn_blocking(|| process.run());
        ended.await.unwrap().assert_passed();
        let seized = proxy.wait_for_command(about("SET", &token(1))).await;
        let acquired = proxy.wait_for_command(crate::scene::acquire(2)).await;
        rights.push([seized[2].clone(), acquired[2].clone()]);
        server.empty().await;
    }
    let all: std::collections::HashSet<_> = rights.iter().flatten().collect();
    assert_eq!(all.len(), 4, "{rights:?}");
}
