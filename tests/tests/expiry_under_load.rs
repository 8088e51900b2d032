//! 200 callers on 50 keys that expire every second, with a body of 100 ms: with `stale_while_revalidate` nobody waits
//! for it, and without it, everybody who comes while a key is computed does.
//!
//! What is compared is the slowest call in a thousand, with that of pure hits. Each caller takes turns between the two,
//! so that whatever else the machine does slows both; callers pause between calls, so that they are not waiting for
//! each other; and of three rounds the best one counts. No time is compared with a constant but the body's own.
#![allow(missing_docs)]

use std::env;
use std::time::Duration;

use cache_runtime::{Cache, redis_cached};
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, in_memory, patient, timed, within};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const CALLERS: u64 = 200;
const KEYS: u64 = 50;
const BODY: Duration = Duration::from_millis(100);
const TTL: Duration = Duration::from_secs(1);
const ROUNDS: u32 = 3;
/// Between two calls, on average.
const PAUSE: Duration = Duration::from_millis(50);

/// 30 seconds where `CACHE_TESTS_LONG` is set, else 6.
fn round() -> Duration {
    let long = env::var_os("CACHE_TESTS_LONG").is_some();
    Duration::from_secs(if long { 30 } else { 6 }) / ROUNDS
}

/// One test at a time has the machine.
static TURN: Mutex<()> = Mutex::const_new(());

async fn computed(body: &Body) -> u64 {
    sleep(BODY).await;
    body.run().await.expect("a body that returns")
}

#[redis_cached(ttl = 3600, skip(cache, body), cache = cache)]
async fn hit(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    computed(body).await
}

#[redis_cached(
    ttl = TTL, stale_while_revalidate = 60, skip(cache, body), cache = cache
)]
async fn revalidated(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    computed(body).await
}

#[redis_cached(ttl = TTL, skip(cache, body), cache = cache)]
async fn expiring(cache: &Cache, body: &Body, id: u64) -> u64 {
    let _ = id;
    computed(body).await
}

/// Which function stands beside pure hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Revalidated,
    Expiring,
}

impl Beside {
    async fn call(self, cache: &Cache, body: &Body, id: u64) -> u64 {
        match self {
            Self::Revalidated => revalidated(cache, body, id).await,
            Self::Expiring => expiring(cache, body, id).await,
        }
    }
}

/// How long the slowest call in a thousand took.
fn slowest(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    assert!(times.len() >= 1_000, "{} calls are too few", times.len());
    times[times.len() * 999 / 1000]
}

/// The slowest hit in a thousand, and the slowest call in a thousand of the function beside it; and how often that one's
/// body ran for each key.
async fn measure(cache: &Cache, beside: Beside) -> (Duration, Duration, u64) {
    let (still, body) = (Body::new(), Body::new());
    let warm: JoinSet<_> = (0..KEYS)
        .map(|id| {
            let (cache, still, body) = (cache.clone(), still.clone(), body.clone());
            async move {
                hit(&cache, &still, id).await;
                beside.call(&cache, &body, id).await;
            }
        })
        .collect();
    within("the keys to be warm", SOON, warm.join_all()).await;
    let before = body.runs();
    let end = Instant::now() + round();
    let callers: JoinSet<_> = (0..CALLERS)
        .map(|caller| {
            let (cache, still, body) = (cache.clone(), still.clone(), body.clone());
            async move {
                let mut random = fastrand::Rng::with_seed(caller);
                let (mut hits, mut others) = (vec![], vec![]);
                while Instant::now() < end {
                    sleep(PAUSE.mul_f64(2.0 * random.f64())).await;
                    hits.push(timed(hit(&cache, &still, random.u64(..KEYS))).await.1);
                    sleep(PAUSE.mul_f64(2.0 * random.f64())).await;
                    let call = beside.call(&cache, &body, random.u64(..KEYS));
                    others.push(timed(call).await.1);
                }
                (hits, others)
            }
        })
        .collect();
    let times = within("the callers to end", SOON + round(), callers.join_all()).await;
    let (hits, others): (Vec<_>, Vec<_>) = times.into_iter().unzip();
    assert!(still.runs() <= KEYS, "hits are hits");
    (
        slowest(hits.concat()),
        slowest(others.concat()),
        (body.runs() - before) / KEYS,
    )
}

async fn stays_with_the_hits(cache: &Cache) {
    let mut rounds = vec![];
    for _ in 0..ROUNDS {
        let (hits, others, runs) = measure(cache, Beside::Revalidated).await;
        assert!(runs > 0, "no key expired");
        rounds.push((hits, others));
    }
    let is_near = |(hits, others): &(Duration, Duration)| *others <= 3 * *hits;
    assert!(
        rounds.iter().any(is_near),
        "the slowest hit, and the slowest call beside it: {rounds:?}"
    );
}

async fn falls_off_a_cliff(cache: &Cache) {
    let (hits, others, runs) = measure(cache, Beside::Expiring).await;
    assert!(runs > 0, "no key expired");
    assert!(others >= BODY.mul_f64(0.9), "{others:?} beside {hits:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_while_revalidate_takes_the_cliff_away_on_redis() {
    let _turn = TURN.lock().await;
    let server = RedisServer::start().await;
    let cache = patient(&server.url());
    stays_with_the_hits(&cache).await;
    falls_off_a_cliff(&cache).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_while_revalidate_takes_the_cliff_away_in_process() {
    let _turn = TURN.lock().await;
    let cache = in_memory();
    stays_with_the_hits(&cache).await;
    falls_off_a_cliff(&cache).await;
}
