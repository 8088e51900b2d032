//! P9, the long run: tokens that live four seconds, 64 callers, and nobody notices: not one command fails,
//! is lost, is executed twice or gets another's answer, and none is slower than with a token that lasts.
//!
//! What the rotation costs is told by a ratio: as many callers of a cache whose token lasts do the same at the
//! same time, on the same runtime, so whatever else holds up this machine holds up both alike.
//!
//! Half a minute of it belongs to the ordinary tests. `CACHE_TESTS_LONG` makes it three minutes (`1`), or
//! whatever it says (`90s`, `10m`):
//!
//! ```text
//! CACHE_TESTS_LONG=1 bash .ci/test --test p9_long_run -- --nocapture
//! ```
#![allow(missing_docs)]

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_runtime::redis::AsyncCommands;
use cache_runtime::{Cache, Connection, StoreStats, TokenStats, redis_cached};
use cache_tests::{
    AzureRedis, Body, IdentityProvider, RedisServer, RedisVersion, body::Failed, wait::SOON, within,
};

const CALLERS: u64 = 64;
/// Keys that are in the cache before the run.
const KNOWN: u64 = 16;
const LIFE: Duration = Duration::from_secs(4);
/// The least that is asked of the rotation, though the tokens are renewed at half their life.
const AT_LEAST_EVERY: Duration = Duration::from_millis(4500);
const AT_MOST_SLOWER: f64 = 1.5;

fn length() -> Duration {
    match std::env::var("CACHE_TESTS_LONG") {
        Err(_) => Duration::from_secs(30),
        Ok(long) if long == "1" => Duration::from_secs(180),
        Ok(other) => humantime::parse_duration(&other).expect("`CACHE_TESTS_LONG` is a duration"),
    }
}

#[redis_cached(ttl = 3600, key = "twice:{id}", skip(cache, body), cache = cache)]
async fn twice(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.returning(id * 2).await
}

/// A cache on a Redis of its own, its callers' commands, and what they took.
struct Side {
    name: String,
    azure: AzureRedis,
    cache: Cache,
    body: Body,
    /// The calls of keys that nobody has asked for before.
    first_calls: AtomicU64,
    /// What each command took.
    took: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
}

impl Side {
    async fn start(provider: &IdentityProvider, version: RedisVersion, life: Duration) -> Self {
        let name = format!("{version}, tokens of {}", humantime::format_duration(life));
        let azure = AzureRedis::start_with(RedisServer::builder().version(version)).await;
        provider.identity(Some(&name)).life(life);
        let (grants, ours) = (azure.grants(), name.clone());
        provider.on_issue(move |issued| {
            let grants = grants.clone();
            let is_ours = issued.client_id.as_ref() == Some(&ours);
            async move {
                if is_ours {
                    let oid = issued.oid.expect("the kit's tokens have one");
                    grants.grant(&oid, &issued.token, issued.expires).await;
                }
            }
        });
        let cache = Cache::builder()
            .host("127.0.0.1")
            .port(azure.port())
            .tls_ca_file(azure.ca_path())
            .credential(provider.credential(&name))
            // A command that takes that long has failed.
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        let side = Self {
            name,
            azure,
            cache,
            body: Body::new(),
            first_calls: AtomicU64::new(0),
            took: Mutex::default(),
            failures: Mutex::default(),
        };
        for id in 0..KNOWN {
            twice(&side.cache, &side.body, id).await.unwrap();
        }
        let mut own = side.cache.connection().unwrap();
        own.ping::<()>().await.unwrap();
        side
    }

    fn token(&self) -> TokenStats {
        match self.cache.stats().store {
            StoreStats::Redis {
                token: Some(token), ..
            } => token,
            other => panic!("no token: {other:?}"),
        }
    }

    /// What 99 of 100 commands took at most.
    fn p99(&self) -> Duration {
        let mut took = self.took.lock().unwrap().clone();
        took.sort_unstable();
        let name = &self.name;
        assert!(took.len() >= 5000, "{name}: only {} commands", took.len());
        took[took.len() * 99 / 100]
    }

    /// That nobody noticed anything, and that the server was not asked twice, either.
    fn assert_nobody_noticed(&self) {
        let name = &self.name;
        let failures = self.failures.lock().unwrap();
        let first = &failures[..failures.len().min(10)];
        assert!(
            failures.is_empty(),
            "{name}: {} failed: {first:#?}",
            failures.len()
        );
        let proxy = self.azure.proxy();
        assert_eq!(proxy.failures(), [], "{name}");
        assert_eq!(proxy.unanswered(), 0, "{name}");
        assert_eq!(
            self.body.runs(),
            KNOWN + self.first_calls.load(Relaxed),
            "{name}: a body ran for a value that was there"
        );
        assert_eq!(self.azure.logins_in_place(), 0, "{name}");
        let token = self.token();
        assert_eq!((token.failures, token.last_error), (0, None), "{name}");
        match self.cache.stats().store {
            StoreStats::Redis { breaker_opened, .. } => assert_eq!(breaker_opened, 0, "{name}"),
            other => panic!("not redis: {other:?}"),
        }
    }
}

/// One of those who use a cache, with handles that it keeps for the whole run.
struct Caller {
    side: Arc<Side>,
    number: u64,
    cache: Cache,
    own: Connection,
    /// What it stored last, and how often it counted.
    stored: Option<u64>,
    counted: u64,
}

impl Caller {
    fn new(side: &Arc<Side>, number: u64) -> Self {
        Self {
            side: Arc::clone(side),
            number,
            cache: side.cache.clone(),
            own: side.cache.connection().unwrap(),
            stored: None,
            counted: 0,
        }
    }

    async fn run(mut self, start: Instant, length: Duration) {
        for turn in 0_u64.. {
            // Not in step: neither with the other callers, nor with the tokens.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(100..200))).await;
            let began = start.elapsed();
            if began > length {
                return;
            }
            // Each caller begins with another command.
            let command = (turn + self.number) % 7;
            let done = tokio::time::timeout(SOON, self.command(command, turn)).await;
            let took = start.elapsed() - began;
            self.side.took.lock().unwrap().push(took);
            let failure = match done {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure,
                Err(_) => "no answer".to_owned(),
            };
            let failure = format!("after {began:?}, command {command}: {failure}");
            self.side.failures.lock().unwrap().push(failure);
        }
    }

    async fn command(&mut self, command: u64, turn: u64) -> Result<(), String> {
        let (key, counter) = (
            format!("stored:{}", self.number),
            format!("counter:{}", self.number),
        );
        match command {
            0 => {
                let value = self.number << 32 | turn;
                let ttl = Duration::from_secs(300);
                self.cache.set_ex(&key, &value, ttl).await.map_err(text)?;
                self.stored = Some(value);
                Ok(())
            }
            1 => same(self.cache.get(&key).await, &self.stored),
            2 => self.cache.ping().await.map_err(text),
            3 => {
                let id = fastrand::u64(0..KNOWN);
                same(twice(&self.cache, &self.side.body, id).await, &(id * 2))
            }
            4 => {
                let id = KNOWN + (self.number << 32 | turn);
                self.side.first_calls.fetch_add(1, Relaxed);
                same(twice(&self.cache, &self.side.body, id).await, &(id * 2))
            }
            5 => {
                self.counted += 1;
                same(self.own.incr(&counter, 1).await, &self.counted)
            }
            _ => {
                let counted = (self.counted > 0).then_some(self.counted);
                same(self.own.get(&counter).await, &counted)
            }
        }
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn same<T: PartialEq + std::fmt::Debug>(
    got: Result<T, impl std::fmt::Debug>,
    expected: &T,
) -> Result<(), String> {
    match got {
        Ok(got) if got == *expected => Ok(()),
        Ok(got) => Err(format!("got {got:?} instead of {expected:?}")),
        Err(error) => Err(format!("{error:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_tokens_of_four_seconds_rotate_under_64_callers() {
    let length = length();
    let provider = IdentityProvider::start();
    let mut sides = Vec::new();
    for version in RedisVersion::ALL {
        for life in [Duration::from_secs(3600), LIFE] {
            sides.push(Arc::new(Side::start(&provider, version, life).await));
        }
    }
    let start = Instant::now();
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        for side in &sides {
            callers.push(tokio::spawn(Caller::new(side, number).run(start, length)));
        }
    }
    for caller in callers {
        within("the end of the run", length + 2 * SOON, caller)
            .await
            .unwrap();
    }

    for side in &sides {
        side.assert_nobody_noticed();
    }
    for site in cache_runtime::sites() {
        assert_eq!(site.stats.errors.total(), 0, "{}", site.stats.errors);
    }
    for pair in sides.chunks(2) {
        let [steady, rotating] = pair else {
            panic!("a pair for each version");
        };
        assert_eq!(steady.azure.rotations(), 1);
        let rotations = rotating.azure.rotations() - 1;
        let least = length.div_duration_f64(AT_LEAST_EVERY);
        assert!(
            rotations as f64 >= least,
            "{}: {rotations} rotations, not {least}",
            rotating.name
        );
        // Both connections moved to each token: that of the typed commands, and that of the others.
        assert!(rotating.azure.proxy().logins().len() >= 2 * rotations);
        assert!(rotating.token().refreshes >= rotations as u64);
        assert_that_it_costs_little(steady, rotating, rotations);
    }
}

fn assert_that_it_costs_little(steady: &Side, rotating: &Side, rotations: usize) {
    let (with, without) = (rotating.p99(), steady.p99());
    eprintln!(
        "{}: {rotations} rotations, p99 {with:?}; without rotation {without:?}",
        rotating.name
    );
    let slower = with.div_duration_f64(without);
    assert!(slower <= AT_MOST_SLOWER, "{}: {slower}", rotating.name);
}
