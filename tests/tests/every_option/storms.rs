//! P5, P6, P7 and P11: many callers, dropped callers, panicking bodies, and nothing of them left behind.

use cache_runtime::{Cache, CacheBuilder};
use cache_tests::wait::SOON;
use cache_tests::{
    Body, Child, RedisServer, at_every_poll, child, eventually, in_memory, poll_n_then_drop, within,
};
use tokio::task::JoinSet;

use crate::functions::{AGES, Age, FUNCTIONS, Scene};

const CALLERS: usize = 50;

fn builders(server: &RedisServer) -> [CacheBuilder; 2] {
    [
        Cache::builder().in_memory(),
        Cache::builder().url(server.url()).timeout(SOON),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_many_callers_are_one_body_run_at_a_time_and_one_in_all() {
    let server = RedisServer::start().await;
    for builder in builders(&server) {
        for scene in Scene::all(|| builder.clone(), Body::gated).await {
            let name = scene.name();
            let before = scene.body.runs();
            let callers: JoinSet<_> = (0..CALLERS).map(|_| scene.call()).collect();
            let waiting = || scene.cache.stats().waiting;
            eventually("a run, or an answer", SOON, async || {
                scene.body.running() > 0 || waiting() == 0
            })
            .await;
            scene.body.open_gate();
            for outcome in within(&name, SOON, callers.join_all()).await {
                let run = outcome.expect("no failure");
                assert!((1..=before + 1).contains(&run), "{name}: run {run}");
            }
            scene.settle().await;
            let runs = scene.body.runs() - before;
            assert!(scene.body.most_at_once() <= 1, "{name}");
            assert!(runs <= 1, "{name}: {runs} runs");
            assert!(scene.age != Age::Cold || runs == 1, "{name}");
            // What Redis holds without a stamp knows nothing of the test's clock.
            let ages = !["jitter", "cluster"].contains(&scene.function.name);
            assert!(scene.age != Age::Gone || !ages || runs == 1, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_call_dropped_at_each_of_its_awaits_hangs_nobody() {
    let server = RedisServer::start().await;
    for builder in builders(&server) {
        for function in FUNCTIONS {
            for age in AGES {
                at_every_poll(async |n| {
                    let scene = Scene::set(function, age, builder.clone(), Body::gated()).await;
                    let name = format!("{}, dropped at poll {n}", scene.name());
                    scene.body.open_gate();
                    let dropped = poll_n_then_drop(scene.call(), n).await;
                    let waiters: JoinSet<_> = (0..3).map(|_| scene.call()).collect();
                    for outcome in within(&name, SOON, waiters.join_all()).await {
                        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                    }
                    scene.settle().await;
                    // At most one more for the drop, and one for the value's age.
                    assert!(scene.body.runs() <= 3, "{name}: {} runs", scene.body.runs());
                    dropped.map(drop)
                })
                .await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_panicking_body_reaches_its_own_caller_at_most() {
    let server = RedisServer::start().await;
    for builder in builders(&server) {
        for scene in Scene::all(|| builder.clone(), Body::gated).await {
            let name = scene.name();
            scene.body.panic_next(1);
            let mut callers: JoinSet<_> = (0..5).map(|_| scene.call()).collect();
            scene.body.open_gate();
            let mut panicked = 0;
            while let Some(caller) = within(&name, SOON, callers.join_next()).await {
                match caller {
                    Ok(outcome) => drop(outcome.unwrap_or_else(|error| panic!("{name}: {error}"))),
                    Err(error) => panicked += usize::from(error.is_panic()),
                }
            }
            assert!(panicked <= 1, "{name}: {panicked} callers panicked");
            scene.settle().await;
            scene.body.succeed();
            scene.call().await.expect("no failure");
            scene.settle().await;
        }
    }
}

/// In a process of its own: what runs behind calls is counted over the process, and so is memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_nothing_is_left_of_calls_however_they_end() {
    if child::role().is_none() {
        Child::of_test("storms::p11_nothing_is_left_of_calls_however_they_end")
            .run()
            .assert_passed();
        return;
    }
    let server = RedisServer::start().await;
    for builder in builders(&server) {
        let scenes = Scene::all(|| builder.clone(), Body::new).await;
        let mut callers = JoinSet::new();
        for scene in &scenes {
            for n in 0..10 {
                match n % 3 {
                    0 => scene.body.fail_next(1),
                    1 => scene.body.panic_next(1),
                    _ => {}
                }
                let polls = if n % 4 == 0 { 1 + n % 3 } else { usize::MAX };
                callers.spawn(poll_n_then_drop(scene.call(), polls));
            }
        }
        while callers.join_next().await.is_some() {}
        for scene in &scenes {
            scene.settle().await;
            eventually("nothing to run behind", SOON, async || {
                scene.cache.stats().background_runs == 0
            })
            .await;
        }
    }
}

/// The pages that this process has in memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).expect("a number")
}

/// A key whose body failed is remembered, so that it is left alone; not every such key for ever.
#[tokio::test]
async fn p11_keys_that_failed_take_no_more_memory_than_a_few() {
    if child::role().is_none() {
        Child::of_test("storms::p11_keys_that_failed_take_no_more_memory_than_a_few")
            .run()
            .assert_passed();
        return;
    }
    let (cache, body) = (in_memory(), Body::new());
    body.fail();
    let function = FUNCTIONS.iter().find(|one| one.name == "together");
    let call = function.expect("it is one of them").call;
    let failing = async |ids: std::ops::Range<u64>| {
        for id in ids {
            call(cache.clone(), body.clone(), id)
                .await
                .expect_err("a failure");
        }
    };
    failing(0..20_000).await;
    let before = resident();
    failing(20_000..150_000).await;
    let grown = resident().saturating_sub(before);
    // A key alone takes fifty bytes, and what is known of it as many again.
    assert!(grown < 8 * 1024, "{grown} KiB");
}
