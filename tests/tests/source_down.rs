//! The source of a value is down for the whole window of `stale_if_error`: no caller sees an `Err`, and the source is
//! asked no more often than the pauses say; it is down for longer, and callers see that; it is back, and they have a
//! fresh value within a pause.
#![allow(missing_docs)]

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_runtime::{Cache, ManualClock, redis_cached};
use cache_tests::wait::SOON;
use cache_tests::{Stores, within};
use tokio::task::JoinSet;

const STEP: Duration = Duration::from_millis(500);
/// In seconds; the last one is the longest.
const PAUSES: [u64; 4] = [1, 2, 4, 8];
const CALLERS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Down;

/// What the values come from; its clones are the same source. Its present value is 0 while it is down.
#[derive(Debug, Clone)]
struct Source {
    value: Arc<AtomicU64>,
    /// When it was asked.
    asked: Arc<Mutex<Vec<Duration>>>,
    time: Time,
}

/// What time it is since the start: a test's, or the machine's.
#[derive(Debug, Clone)]
enum Time {
    Manual(ManualClock, Arc<AtomicU64>),
    Real(Instant),
}

impl Time {
    fn manual() -> Self {
        Self::Manual(ManualClock::new(), Arc::default())
    }

    fn now(&self) -> Duration {
        match self {
            Self::Manual(_, millis) => Duration::from_millis(millis.load(Ordering::SeqCst)),
            Self::Real(start) => start.elapsed(),
        }
    }

    fn advance(&self, by: Duration) {
        if let Self::Manual(clock, millis) = self {
            clock.advance(by);
            millis.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
        }
    }
}

impl Source {
    fn new(time: &Time) -> Self {
        Self {
            value: Arc::new(AtomicU64::new(1)),
            asked: Arc::default(),
            time: time.clone(),
        }
    }

    async fn ask(&self) -> Result<u64, Down> {
        self.asked.lock().expect("no panic").push(self.time.now());
        // So that others come while it is asked.
        tokio::task::yield_now().await;
        match self.value.load(Ordering::SeqCst) {
            0 => Err(Down),
            value => Ok(value),
        }
    }

    fn becomes(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }

    /// When it was asked since it went down.
    fn asked_since(&self, start: Duration) -> Vec<Duration> {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().copied().filter(|at| *at >= start).collect()
    }
}

type Call = fn(Cache, Source, u64) -> Pin<Box<dyn Future<Output = Result<u64, Down>> + Send>>;

/// Functions with a window for errors, for one ttl and window.
macro_rules! functions {
    ($module:ident: $ttl:expr, $window:expr; $($name:ident($($options:tt)*);)*) => {
        mod $module {
            use super::*;

            pub(super) const TTL: Duration = $ttl;
            pub(super) const WINDOW: Duration = $window;

            $(
                #[redis_cached(
                    ttl = TTL, stale_if_error = WINDOW, skip(cache, source), cache = cache, $($options)*
                )]
                async fn $name(cache: &Cache, source: &Source, id: u64) -> Result<u64, Down> {
                    let _ = id;
                    source.ask().await
                }
            )*

            pub(super) const FUNCTIONS: &[(&str, Call)] = &[$((
                stringify!($name),
                |cache, source, id| Box::pin(async move { $name(&cache, &source, id).await }),
            )),*];
        }
    };
    ($($module:ident: $ttl:expr, $window:expr;)*) => {
        $(functions! {
            $module: $ttl, $window;
            alone();
            revalidated(stale_while_revalidate = WINDOW / 2);
            hurried(soft_timeout = SOON);
            clustered(coalesce = "cluster");
            together(
                stale_while_revalidate = WINDOW / 2, soft_timeout = SOON, refresh_ahead = 0.5,
                coalesce = "cluster"
            );
        })*
    };
}

functions! {
    manual: Duration::from_secs(10), Duration::from_secs(120);
    real: Duration::from_millis(300), Duration::from_millis(2500);
}

/// Bodies that run behind their calls are counted over the process, so the tests here take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Many calls at once, each on a task of its own; and what they began behind them has ended.
async fn crowd(call: Call, cache: &Cache, source: &Source, id: u64) -> Vec<Result<u64, Down>> {
    let callers: JoinSet<_> = (0..CALLERS)
        .map(|_| call(cache.clone(), source.clone(), id))
        .collect();
    within("every caller to be answered", SOON, async {
        let outcomes = callers.join_all().await;
        // A flight closes before its value is stored.
        while cache.stats().flights + cache.stats().background_runs > 0 {
            tokio::task::yield_now().await;
        }
        outcomes
    })
    .await
}

async fn stores(time: &Time) -> Stores {
    let Time::Manual(clock, _) = time else {
        panic!("a test's clock")
    };
    let pauses = |end: u64| Duration::from_secs(PAUSES[0])..=Duration::from_secs(end);
    Stores::with(|builder| builder.clock(clock).refresh_pause(pauses(PAUSES[3]))).await
}

/// The source was asked at once, and then after each pause, which is up to a tenth longer.
fn assert_pauses(name: &str, asked: &[Duration]) {
    for (n, two) in asked.windows(2).enumerate() {
        let pause = Duration::from_secs(PAUSES[n.min(PAUSES.len() - 1)]);
        let gap = two[1] - two[0];
        assert!(
            gap >= pause,
            "{name}: {gap:?} after {n} pauses: {:?}",
            &asked[..n + 2]
        );
        // A test's clock jumps over the pause's end.
        let longest = pause.mul_f64(1.1) + STEP;
        assert!(
            gap <= longest,
            "{name}: {gap:?} after {n} pauses: {:?}",
            &asked[..n + 2]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_down_for_the_whole_window_is_covered_and_seldom_asked() {
    let _turn = TURN.lock().await;
    let time = Time::manual();
    let stores = stores(&time).await;
    for cache in stores.both() {
        for (name, call) in manual::FUNCTIONS {
            let source = Source::new(&time);
            let start = time.now();
            assert_eq!(
                call(cache.clone(), source.clone(), 1).await,
                Ok(1),
                "{name}"
            );
            source.becomes(0);
            time.advance(manual::TTL);
            let down = time.now();
            while time.now() < start + manual::TTL + manual::WINDOW {
                let outcomes = crowd(*call, cache, &source, 1).await;
                let at = time.now() - down;
                assert_eq!(outcomes, [Ok(1); CALLERS], "{name}, {at:?} past the ttl");
                time.advance(STEP);
            }
            let asked = source.asked_since(down);
            assert_pauses(name, &asked);
            let most = PAUSES.len() as u64 + manual::WINDOW.as_secs() / PAUSES[3];
            assert!(asked.len() as u64 <= most, "{name}: {asked:?}");
            // The window is over: callers are told.
            assert_eq!(
                crowd(*call, cache, &source, 1).await,
                [Err(Down); CALLERS],
                "{name}"
            );
            source.becomes(2);
            assert_eq!(
                crowd(*call, cache, &source, 1).await,
                [Ok(2); CALLERS],
                "{name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_back_is_seen_within_a_pause() {
    let _turn = TURN.lock().await;
    let time = Time::manual();
    let stores = stores(&time).await;
    for cache in stores.both() {
        for (name, call) in manual::FUNCTIONS {
            for down_for in [0, 1, 5, 40, 100].map(Duration::from_secs) {
                let (source, id) = (Source::new(&time), 100 + down_for.as_secs());
                assert_eq!(
                    call(cache.clone(), source.clone(), id).await,
                    Ok(1),
                    "{name}"
                );
                source.becomes(0);
                time.advance(manual::TTL);
                let down = time.now();
                while time.now() <= down + down_for {
                    crowd(*call, cache, &source, id).await;
                    time.advance(STEP);
                }
                source.becomes(2);
                let back = time.now();
                let pauses = source.asked_since(down).len() - 1;
                let pause = Duration::from_secs(PAUSES[pauses.min(PAUSES.len() - 1)]);
                let fresh = loop {
                    let outcomes = crowd(*call, cache, &source, id).await;
                    assert!(!outcomes.contains(&Err(Down)), "{name}, {down_for:?}");
                    if outcomes == [Ok(2); CALLERS] {
                        break time.now();
                    }
                    time.advance(STEP);
                };
                // Who begins a run behind its call has the old value once more.
                let longest = pause.mul_f64(1.1) + 2 * STEP;
                assert!(
                    fresh - back <= longest,
                    "{name}: seen {:?} after it was back, down for {down_for:?}",
                    fresh - back
                );
            }
        }
    }
}

const QUICK_PAUSES: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// How coarse the clocks are by which entries age: a tick of the system is 10 ms at most, and Redis counts milliseconds.
const TICK: Duration = Duration::from_millis(10);

/// By the machine's clock and the server's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_down_for_a_whole_real_window_is_covered_and_seldom_asked() {
    let _turn = TURN.lock().await;
    let stores =
        Stores::with(|builder| builder.refresh_pause(QUICK_PAUSES[0]..=QUICK_PAUSES[2])).await;
    let time = Time::Real(Instant::now());
    let mut functions = JoinSet::new();
    for cache in stores.both() {
        for (name, call) in real::FUNCTIONS {
            let (cache, source) = (cache.clone(), Source::new(&time));
            functions.spawn(async move { down_for_a_window(name, *call, cache, source).await });
        }
    }
    while let Some(function) = functions.join_next().await {
        function.expect("no panic");
    }
}

async fn down_for_a_window(name: &'static str, call: Call, cache: Cache, source: Source) {
    let start = source.time.now();
    assert_eq!(
        call(cache.clone(), source.clone(), 1).await,
        Ok(1),
        "{name}"
    );
    // Stored after `start`, by a clock that is up to a tick behind: whoever is answered before this is covered.
    let covered = start + real::TTL + real::WINDOW - TICK;
    source.becomes(0);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (cache, source) = (cache.clone(), source.clone());
        callers.spawn(async move {
            let mut calls = 0;
            loop {
                let outcome = call(cache.clone(), source.clone(), 1).await;
                let now = source.time.now();
                match outcome {
                    Ok(value) => assert_eq!(value, 1, "{name}"),
                    Err(Down) => assert!(now >= covered, "{name}: an error after {now:?}"),
                }
                if outcome == Err(Down) {
                    return calls;
                }
                calls += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let calls = within("the window to end", SOON, callers.join_all()).await;
    assert!(calls.iter().all(|calls| *calls > 10), "{name}: {calls:?}");
    let mut asked = source.asked_since(start + real::TTL);
    asked.retain(|at| *at < covered);
    for (n, two) in asked.windows(2).enumerate() {
        let (gap, pause) = (two[1] - two[0], QUICK_PAUSES[n.min(2)]);
        assert!(
            gap >= pause,
            "{name}: {gap:?} after {n} pauses: {:?}",
            &asked[..n + 2]
        );
    }
    assert!(asked.len() > 3, "{name}: {asked:?}");
}
