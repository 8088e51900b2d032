//! P4, attacked: four processes on one Redis read and change the same few keys as fast as they can, with every
//! option of freshness on. They are killed, frozen and replaced, and so is Redis frozen at times. No read that
//! began after an invalidation, a `put` or a `put_with` had returned `Ok` ever sees a value from before it.
//!
//! | module | is |
//! |---|---|
//! | `attacker` | one of the processes |
//! | `evidence` | the source of truth, what may be read by when, and the cached functions |
//! | `pause` | delays |
//!
//! The in-process store has to stand the same from its only process.
//!
//! The same attack on a Redis that stores without comparing the token finds old values at once: so it bites.
//!
//! Ten seconds of it belong to the ordinary tests. `CACHE_TESTS_LONG` makes it a minute (`1`), or whatever it
//! says (`90s`, `10m`):
//!
//! ```text
//! CACHE_TESTS_LONG=1 bash .ci/test --test p4_attack -- --nocapture
//! ```
#![allow(missing_docs)]

mod attacker;
mod evidence;
mod pause;

use std::time::{Duration, Instant};

use cache_tests::child::{self, Running};
use cache_tests::{Child, Proxy, RedisServer};
use tokio::sync::Mutex;

use crate::attacker::{Attacker, BEGUN, REDIS, SECONDS, SLOT, SOURCE, attack};
use crate::evidence::{Figures, PROCESSES, Source};

/// An attack that is known to find something has so long to find it.
const BITES_WITHIN: Duration = Duration::from_secs(60);

/// Two attacks at once would only share the processors.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn length() -> Duration {
    match std::env::var("CACHE_TESTS_LONG") {
        Err(_) => Duration::from_secs(10),
        Ok(long) if long == "1" => Duration::from_secs(60),
        Ok(other) => humantime::parse_duration(&other).expect("`CACHE_TESTS_LONG` is a duration"),
    }
}

/// The battlefield: the four processes, Redis, and the truth.
struct Attack {
    test: &'static str,
    redis: RedisServer,
    /// What the processes take for Redis.
    url: String,
    truth: RedisServer,
    source: Source,
    limit: Duration,
    processes: Vec<Running>,
    kills: u64,
    freezes: u64,
}

/// What came of an attack.
struct Outcome {
    accusations: Vec<String>,
    figures: Figures,
    kills: u64,
    freezes: u64,
    took: Duration,
}

impl Attack {
    async fn begin(
        test: &'static str,
        limit: Duration,
        through: Option<&Proxy>,
        redis: RedisServer,
    ) -> Self {
        let truth = RedisServer::start().await;
        let mut attack = Self {
            test,
            url: through.map_or_else(|| redis.url(), Proxy::url),
            redis,
            source: Source::connect(&truth.url()).await,
            truth,
            limit,
            processes: Vec::new(),
            kills: 0,
            freezes: 0,
        };
        for slot in 0..PROCESSES {
            let process = attack.start(slot);
            attack.processes.push(process);
        }
        for process in &attack.processes {
            process.wait_for_line(BEGUN).await;
        }
        attack
    }

    fn start(&self, slot: u64) -> Running {
        let orphaned_after = self.limit + 2 * BITES_WITHIN;
        Child::of_test(self.test)
            .env(REDIS, &self.url)
            .env(SOURCE, self.truth.url())
            .env(SLOT, slot.to_string())
            .env(SECONDS, orphaned_after.as_secs().to_string())
            .spawn()
    }

    /// Lets the processes fight until the time is over or one of them has found something.
    async fn run(mut self) -> Outcome {
        let start = Instant::now();
        while start.elapsed() < self.limit && self.source.accusations().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..700))).await;
            match fastrand::u32(0..10) {
                0..5 => self.kill().await,
                5..8 => self.freeze_process().await,
                _ => self.freeze_redis().await,
            }
        }
        let took = start.elapsed();
        self.processes.clear();
        Outcome {
            accusations: self.source.accusations().await,
            figures: self.source.figures().await,
            kills: self.kills,
            freezes: self.freezes,
            took,
        }
    }

    /// Ends a process, and sends another one in its place. What the first one had sent may still be on its way.
    async fn kill(&mut self) {
        let slot = fastrand::u64(0..PROCESSES);
        let at = usize::try_from(slot).unwrap();
        self.processes.remove(at).kill();
        self.processes.insert(at, self.start(slot));
        self.processes[at].wait_for_line(BEGUN).await;
        self.kills += 1;
    }

    /// Long enough at times for a lock to be lost.
    async fn freeze_process(&mut self) {
        let process = &self.processes[fastrand::usize(0..self.processes.len())];
        process.stop();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..2500))).await;
        process.cont();
        self.freezes += 1;
    }

    /// Long enough at times for operations to be given up.
    async fn freeze_redis(&mut self) {
        self.redis.stop();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..500))).await;
        self.redis.cont();
        self.freezes += 1;
    }
}

impl Outcome {
    fn print(&self, what: &str) {
        let Self {
            accusations,
            figures,
            kills,
            freezes,
            took,
        } = self;
        eprintln!(
            "{what}: {took:.1?}, {kills} kills, {freezes} freezes, {figures}; {} old values seen",
            accusations.len()
        );
    }

    /// That nobody saw an old value, though everything happened that could bring one back.
    fn assert_fought(&self) {
        assert_eq!(self.accusations, [] as [&str; 0]);
        for (name, a_second) in [
            ("reads", 100),
            ("hits", 10),
            ("stale answers", 1),
            ("runs behind", 1),
            ("invalidations", 1),
            ("put_withs", 1),
            ("puts", 1),
        ] {
            let n = self.figures.of(name);
            assert!(n >= a_second * self.took.as_secs(), "only {n} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_no_read_after_an_invalidation_sees_a_value_from_before_it() {
    if child::role().is_some() {
        return attack().await;
    }
    let _alone = ONE_AT_A_TIME.lock().await;
    let test = "p4_no_read_after_an_invalidation_sees_a_value_from_before_it";
    let redis = RedisServer::start().await;
    let outcome = Attack::begin(test, length(), None, redis).await.run().await;
    outcome.print("four processes against one Redis");
    outcome.assert_fought();
    let seconds = outcome.took.as_secs();
    assert!(outcome.kills >= seconds / 10, "{} kills", outcome.kills);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p4_no_read_in_process_after_an_invalidation_sees_a_value_from_before_it() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let truth = RedisServer::start().await;
    let source = Source::connect(&truth.url()).await;
    let attacker = Attacker::new(cache_tests::in_memory(), source.clone());
    let start = Instant::now();
    let tasks = attacker.begin(0..PROCESSES);
    attacker.fight(tasks, length() / 3).await;
    let outcome = Outcome {
        accusations: source.accusations().await,
        figures: source.figures().await,
        kills: 0,
        freezes: 0,
        took: start.elapsed(),
    };
    outcome.print("the in-process store");
    outcome.assert_fought();
}

/// Takes a comparison out of Redis, and expects the attack to find that out.
async fn bites(test: &'static str, comparison: &str, always: &str) {
    if child::role().is_some() {
        return attack().await;
    }
    let _alone = ONE_AT_A_TIME.lock().await;
    let redis = RedisServer::start().await;
    let proxy = Proxy::before(&redis);
    proxy.rewrite(comparison, always);
    let attack = Attack::begin(test, BITES_WITHIN, Some(&proxy), redis).await;
    let outcome = attack.run().await;
    outcome.print(test);
    assert!(proxy.rewritten() > 0, "no script has this text any more");
    let found = outcome
        .accusations
        .iter()
        .any(|what| what.contains("was final"));
    assert!(
        found,
        "{BITES_WITHIN:?} of it found nothing: {:?}",
        outcome.accusations
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_the_attack_finds_a_store_that_does_not_compare_the_token() {
    bites(
        "p4_the_attack_finds_a_store_that_does_not_compare_the_token",
        "if redis.call('GET', KEYS[2]) ~= ARGV[1] then",
        "if false then",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_the_attack_finds_a_put_that_does_not_compare_the_token() {
    bites(
        "p4_the_attack_finds_a_put_that_does_not_compare_the_token",
        "if redis.call('GET', KEYS[2]) == ARGV[1] then",
        "if true then",
    )
    .await;
}
