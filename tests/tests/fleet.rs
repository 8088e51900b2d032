//! Four processes on one Redis: one body run among them with `coalesce = "cluster"`, also where the one who runs
//! it is killed, and one refresh behind calls with any.
//!
//! What happens is counted in the Redis that they share, by commands that no cached function sends.
#![allow(missing_docs, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cache_runtime::{Cache, Connection, redis, redis_cached};
use cache_tests::child::Running;
use cache_tests::wait::SOON;
use cache_tests::{Child, RedisServer, child, eventually, patient, within};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PROCESSES: usize = 4;
const CALLERS: usize = 2_500;
/// How long a lock lives that nobody renews, as the documentation says, and what a busy machine may add.
const BOUND: Duration = Duration::from_secs(2 + 10);

/// What the processes have in common.
#[derive(Clone)]
struct Shared {
    connection: Connection,
}

impl Shared {
    fn of(cache: &Cache) -> Self {
        let connection = cache.connection().expect("a cache in Redis");
        Self { connection }
    }

    async fn add(&self, counter: &str, by: i64) -> i64 {
        let mut connection = self.connection.clone();
        let mut command = redis::cmd("INCRBY");
        let sum = command.arg(counter).arg(by).query_async(&mut connection);
        sum.await.expect("a counter")
    }

    async fn get(&self, counter: &str) -> i64 {
        self.add(counter, 0).await
    }

    async fn wait_for(&self, flag: &str) {
        eventually(flag, SOON, async || self.get(flag).await > 0).await;
    }

    /// A body that takes until `takes` is over, and says whether another one ran meanwhile.
    async fn body(&self, takes: impl Future<Output = ()>) -> i64 {
        let run = self.add("runs", 1).await;
        if self.add("running", 1).await > 1 {
            self.add("side by side", 1).await;
        }
        takes.await;
        self.add("running", -1).await;
        run
    }
}

#[redis_cached(ttl = 300, skip(cache, shared), cache = cache, coalesce = "cluster")]
async fn slow(cache: &Cache, shared: &Shared) -> i64 {
    shared.body(sleep(Duration::from_millis(500))).await
}

#[redis_cached(ttl = 300, skip(cache, shared), cache = cache, coalesce = "cluster")]
async fn gated(cache: &Cache, shared: &Shared) -> i64 {
    let takes = async {
        // Only now: who is killed for it has been counted.
        child::tell("holds");
        shared.wait_for("gate").await;
    };
    shared.body(takes).await
}

#[redis_cached(ttl = 1, stale_while_revalidate = 600, skip(cache, shared), cache = cache)]
async fn refreshed(cache: &Cache, shared: &Shared) -> i64 {
    shared.body(sleep(Duration::from_millis(200))).await
}

/// A process of the fleet: `run` begins in all of them at once.
async fn process<F: Future<Output = String>>(run: impl FnOnce(Cache, Shared) -> F) {
    let cache = patient(&std::env::var("CACHE_TESTS_URL").expect("a URL"));
    let shared = Shared::of(&cache);
    child::tell("ready");
    shared.wait_for("go").await;
    let answer = run(cache, shared).await;
    child::tell(&format!("done: {answer}"));
}

/// Starts the processes, and lets them go when all are ready.
async fn fleet(test: &str, server: &RedisServer) -> (Vec<Running>, Shared) {
    let processes: Vec<_> = (0..PROCESSES)
        .map(|_| {
            let process = Child::of_test(test).env("CACHE_TESTS_URL", server.url());
            process.spawn()
        })
        .collect();
    for process in &processes {
        process.wait_for_line("ready").await;
    }
    let shared = Shared::of(&patient(&server.url()));
    shared.add("go", 1).await;
    (processes, shared)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_with_2500_callers_each_run_one_body() {
    if child::role().is_some() {
        return process(async |cache, shared| {
            let mut calls = JoinSet::new();
            for _ in 0..CALLERS {
                let (cache, shared) = (cache.clone(), shared.clone());
                calls.spawn(async move { slow(&cache, &shared).await });
            }
            let answers: BTreeSet<_> = calls.join_all().await.into_iter().collect();
            format!("{answers:?}")
        })
        .await;
    }
    let server = RedisServer::start().await;
    let test = "four_processes_with_2500_callers_each_run_one_body";
    let (processes, shared) = fleet(test, &server).await;
    for process in &processes {
        assert_eq!(process.wait_for_line("done").await, "done: {1}");
    }
    assert_eq!(shared.get("runs").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_it_computes_delays_the_others_by_its_lock() {
    if child::role().is_some() {
        return process(async |cache, shared| gated(&cache, &shared).await.to_string()).await;
    }
    let server = RedisServer::start().await;
    let test = "a_process_that_is_killed_while_it_computes_delays_the_others_by_its_lock";
    let (mut processes, shared) = fleet(test, &server).await;
    let holder = |processes: &[Running]| {
        let holds = |process: &Running| process.lines().iter().any(|line| line == "holds");
        processes.iter().position(holds)
    };
    eventually("a process to hold the lock", SOON, async || {
        holder(&processes).is_some()
    })
    .await;
    let first = holder(&processes).expect("it was there");
    processes.remove(first).kill();
    let killed = Instant::now();
    eventually("another one to take over", BOUND, async || {
        holder(&processes).is_some()
    })
    .await;
    println!("taken over after {:?}", killed.elapsed());
    shared.add("gate", 1).await;
    for process in &processes {
        let done = within("an answer", SOON, process.wait_for_line("done"));
        assert_eq!(done.await, "done: 2", "the value of the second run");
    }
    assert_eq!(shared.get("runs").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_refresh_a_key_once_at_a_time() {
    if child::role().is_some() {
        return process(async |cache, shared| {
            let until = Instant::now() + Duration::from_secs(4);
            let mut last = 0;
            while Instant::now() < until {
                let answer = refreshed(&cache, &shared).await;
                assert!(answer >= last, "{answer} after {last}");
                last = answer;
                sleep(Duration::from_millis(5)).await;
            }
            "all".to_owned()
        })
        .await;
    }
    let server = RedisServer::start().await;
    // The first run is not behind a call, and this function's callers do not share it among processes.
    let cache = patient(&server.url());
    refreshed(&cache, &Shared::of(&cache)).await;
    let test = "four_processes_refresh_a_key_once_at_a_time";
    let (processes, shared) = fleet(test, &server).await;
    for process in &processes {
        process.wait_for_line("done").await;
    }
    let runs = shared.get("runs").await;
    println!("{runs} runs");
    assert!(runs >= 3, "{runs} runs: hardly anything was refreshed");
    assert_eq!(shared.get("side by side").await, 0);
}
