//! 10,000 callers who arrive while the body runs cost one run, and one more if the value they waited for is void.

use std::time::{Duration, Instant};

use cache_runtime::Cache;
use cache_tests::eventually;
use tokio::task::JoinHandle;

use crate::scene::{Scene, Source, call, caller, in_memory, key, look_entry, token};

const CROWD: usize = 10_000;
const SOON: Duration = Duration::from_secs(30);

type Caller = JoinHandle<Result<u64, cache_tests::body::Failed>>;

/// A crowd that waits for the body: each has looked for itself and joined.
async fn arrive(cache: &Cache, source: &Source) -> Vec<Caller> {
    let crowd = (0..CROWD).map(|_| caller(cache, source, 1)).collect();
    for _ in 0..5 {
        // All tasks of this runtime get their turn several times over: it takes 61 of them at a time.
        for _ in 0..CROWD / 10 {
            tokio::task::yield_now().await;
        }
        cache.ping().await.unwrap();
    }
    crowd
}

async fn all_get(crowd: Vec<Caller>, version: u64) {
    for caller in crowd {
        assert_eq!(caller.await.unwrap(), Ok(version));
    }
}

#[tokio::test]
async fn p4_ten_thousand_callers_who_arrive_while_the_body_runs_cost_one_run() {
    let scene = Scene::new().await;
    for cache in [scene.here.clone(), in_memory()] {
        let source = Source::gated();
        let leader = caller(&cache, &source, 1);
        source.body.wait_until_running(1).await;
        let crowd = arrive(&cache, &source).await;
        source.body.open_gate();
        assert_eq!(leader.await.unwrap(), Ok(1));
        all_get(crowd, 1).await;
        assert_eq!(source.body.runs(), 1);
    }
    // However many looked, at most two looks at a time were under way.
    assert!(scene.proxy.seen("GET") < 50, "{}", scene.proxy.seen("GET"));
}

/// They came before the change, but the value that they waited for is void: one run for all of them.
#[tokio::test]
async fn p4_ten_thousand_callers_whose_value_was_revoked_cost_one_more_run() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for (cache, changer) in [
        (&scene.here, &scene.there),
        (&scene.here, &scene.here),
        (&memory, &memory),
    ] {
        scene.server.empty().await;
        let source = Source::gated();
        let leader = caller(cache, &source, 1);
        source.body.wait_until_running(1).await;
        let crowd = arrive(cache, &source).await;
        source.change();
        look_entry(changer, 1).invalidate().await.unwrap();
        source.body.open_gate();
        assert_eq!(leader.await.unwrap(), Ok(1));
        all_get(crowd, 2).await;
        assert_eq!(source.body.runs(), 2);
    }
}

/// As above, but somebody has computed the next value before the old body ends: it serves all of them.
#[tokio::test]
async fn p4_ten_thousand_callers_whose_value_was_computed_anew_cost_no_run() {
    let scene = Scene::new().await;
    for cache in [scene.here.clone(), in_memory()] {
        let source = Source::gated();
        let leader = caller(&cache, &source, 1);
        source.body.wait_until_running(1).await;
        let crowd = arrive(&cache, &source).await;
        source.change();
        look_entry(&cache, 1).invalidate().await.unwrap();
        source.body.let_through(2);
        assert_eq!(call(&cache, &source, 1).await, Ok(2));
        source.body.open_gate();
        let began = Instant::now();
        assert_eq!(leader.await.unwrap(), Ok(1));
        all_get(crowd, 2).await;
        // One look of one of them serves all: handed on from one to the next it would take seconds.
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(source.body.runs(), 2);
    }
}

/// The right to store expires where its holder was frozen for too long; then nothing proves the value.
#[tokio::test]
async fn p4_ten_thousand_callers_whose_token_expired_cost_one_more_run() {
    let (scene, source) = (Scene::new().await, Source::gated());
    let leader = caller(&scene.here, &source, 1);
    source.body.wait_until_running(1).await;
    let crowd = arrive(&scene.here, &source).await;
    source.change();
    assert_eq!(scene.server.cli(&["PEXPIRE", &token(1), "1"]), "1");
    eventually("the token expires", SOON, async || {
        scene.stored(&token(1)).await.is_none()
    })
    .await;
    source.body.open_gate();
    assert_eq!(leader.await.unwrap(), Ok(1));
    all_get(crowd, 2).await;
    assert_eq!(source.body.runs(), 2);
    assert_eq!(scene.stored(&key(1)).await.as_deref(), Some("2"));
}

/// They came after the change, while the old body runs: none of them gets what it returns.
#[tokio::test]
async fn p4_ten_thousand_callers_who_come_after_the_change_cost_one_run() {
    let scene = Scene::new().await;
    let memory = in_memory();
    for (cache, changer) in [
        (&scene.here, &scene.there),
        (&scene.here, &scene.here),
        (&memory, &memory),
    ] {
        scene.server.empty().await;
        let source = Source::gated();
        let leader = caller(cache, &source, 1);
        source.body.wait_until_running(1).await;
        source.change();
        look_entry(changer, 1).invalidate().await.unwrap();
        let crowd = arrive(cache, &source).await;
        source.body.open_gate();
        assert_eq!(leader.await.unwrap(), Ok(1));
        all_get(crowd, 2).await;
        assert_eq!(source.body.runs(), 2);
    }
}
