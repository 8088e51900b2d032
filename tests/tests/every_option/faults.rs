//! P2: with Redis down, slow or frozen no call fails or hangs, and none pays more than one timeout beside its body.

use std::cell::RefCell;
use std::time::Duration;

use cache_runtime::{Cache, CacheBuilder};
use cache_tests::body::Failed;
use cache_tests::proxy::{Held, any, named, script};
use cache_tests::{Body, Proxy, RedisServer, eventually, timed, wait::SOON};
use tokio::task::JoinSet;

use crate::functions::Scene;

const TIMEOUT: Duration = Duration::from_millis(1500);
const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);

fn builder(url: String) -> CacheBuilder {
    Cache::builder().url(url).timeout(TIMEOUT)
}

/// Calls all at once, twice each, and each in its time.
async fn each_in_time(scenes: &[Scene]) {
    let mut calls = JoinSet::new();
    for scene in scenes {
        for _ in 0..2 {
            let (name, call) = (scene.name(), scene.call());
            calls.spawn(async move { (name, timed(call).await) });
        }
    }
    while let Some(called) = calls.join_next().await {
        let (name, (outcome, took)): (String, (Result<u64, Failed>, _)) = called.expect("no panic");
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(took < LESS_THAN_TWO_TIMEOUTS, "{name} took {took:?}");
    }
}

/// When Redis is back, so is the cache.
async fn hits_resume(scenes: &[Scene]) {
    for scene in scenes {
        eventually(&format!("a hit: {}", scene.name()), SOON, async || {
            let before = scene.body.runs();
            scene.call().await.expect("no failure");
            scene.body.runs() == before
        })
        .await;
        scene.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_frozen_server_costs_one_timeout() {
    let server = RedisServer::start().await;
    let scenes = Scene::all(|| builder(server.url()), Body::new).await;
    server.stop();
    each_in_time(&scenes).await;
    each_in_time(&scenes).await;
    server.cont();
    hits_resume(&scenes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_server_that_is_down_costs_one_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let scenes = Scene::all(|| builder(proxy.url()), Body::new).await;
    proxy.refuse();
    proxy.reset();
    each_in_time(&scenes).await;
    each_in_time(&scenes).await;
    proxy.accept();
    hits_resume(&scenes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_server_slower_than_the_timeout_costs_one_timeout() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let scenes = Scene::all(|| builder(proxy.url()), Body::new).await;
    proxy.delay(2 * TIMEOUT);
    each_in_time(&scenes).await;
    proxy.delay(Duration::ZERO);
    hits_resume(&scenes).await;
}

/// Each scene with a proxy of its own.
async fn behind_proxies(server: &RedisServer, body: fn() -> Body) -> Vec<(Scene, Proxy)> {
    let proxies = RefCell::new(vec![]);
    let behind_one = || {
        let proxy = Proxy::before(server);
        let builder = builder(proxy.url());
        proxies.borrow_mut().push(proxy);
        builder
    };
    let scenes = Scene::all(behind_one, body).await;
    scenes.into_iter().zip(proxies.into_inner()).collect()
}

/// The command is held, and nothing that comes after it on its connection passes either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_connection_that_freezes_at_a_command_costs_one_timeout() {
    let commands: [fn(&Proxy) -> Held; 4] = [
        |proxy| proxy.hold(named("GET")),
        |proxy| proxy.hold_reply(named("GET")),
        |proxy| proxy.hold(script()),
        |proxy| proxy.hold_reply(script()),
    ];
    let server = RedisServer::start().await;
    for hold in commands {
        let (scenes, proxies): (Vec<_>, Vec<_>) =
            behind_proxies(&server, Body::new).await.into_iter().unzip();
        let held: Vec<_> = proxies.iter().map(hold).collect();
        each_in_time(&scenes).await;
        drop(held);
        hits_resume(&scenes).await;
    }
}

/// The first script gives the right to store; then the body runs, and nothing more is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_connection_that_freezes_while_the_body_runs_costs_one_timeout() {
    let server = RedisServer::start().await;
    let (scenes, proxies): (Vec<_>, Vec<_>) = behind_proxies(&server, Body::gated)
        .await
        .into_iter()
        .unzip();
    let mut held = vec![];
    let mut calls = JoinSet::new();
    for (scene, proxy) in scenes.iter().zip(&proxies) {
        let call = tokio::spawn(scene.call());
        eventually("the body to run, or an answer", SOON, async || {
            scene.body.running() > 0 || call.is_finished()
        })
        .await;
        held.push(proxy.hold(any()));
        let (name, body) = (scene.name(), scene.body.clone());
        calls.spawn(async move {
            let frees = async { body.open_gate() };
            let ((outcome, ()), took) = timed(async { tokio::join!(call, frees) }).await;
            outcome
                .expect("no panic")
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(took < LESS_THAN_TWO_TIMEOUTS, "{name} took {took:?}");
        });
    }
    while let Some(call) = calls.join_next().await {
        call.expect("no panic");
    }
    drop(held);
    hits_resume(&scenes).await;
}
