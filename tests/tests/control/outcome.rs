//! `Outcome::of` says of the first cached call where its answer was from.

use std::sync::Arc;
use std::time::Duration;

use cache_runtime::CacheControl::NoCache;
use cache_runtime::{Cache, Entry, ManualClock, Outcome, Source, Tier, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, RedisServer, Stores, eventually, patient, poll_n_then_drop};

use crate::scene::{above, above_entry, below, below_entry, unless_it_panics};

const TTL: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(600);
const AGE: Duration = Duration::from_secs(10);

/// All but the value.
#[derive(Debug, PartialEq)]
struct Told {
    source: Source,
    tier: Option<Tier>,
    age: Option<Duration>,
    ttl: Option<Duration>,
    key: Option<Arc<str>>,
}

fn told<T>(outcome: &Outcome<T>) -> Told {
    Told {
        source: outcome.source,
        tier: outcome.tier,
        age: outcome.age,
        ttl: outcome.ttl,
        key: outcome.key.clone(),
    }
}

fn key<R: 'static>(entry: &Entry<R>) -> Option<Arc<str>> {
    Some(entry.key().expect("a key"))
}

fn miss<R: 'static>(entry: &Entry<R>, ttl: Option<Duration>) -> Told {
    Told {
        source: Source::Miss,
        tier: None,
        age: ttl.map(|_| Duration::ZERO),
        ttl,
        key: key(entry),
    }
}

fn bypass() -> Told {
    Told {
        source: Source::Bypass,
        tier: None,
        age: None,
        ttl: None,
        key: None,
    }
}

/// Values are stored with a stamp.
#[redis_cached(
    ttl = TTL, stale_while_revalidate = WINDOW, stale_if_error = 2 * WINDOW,
    skip(cache, body), cache = cache
)]
async fn stamped(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = TTL, stale_if_error = WINDOW, soft_timeout = Duration::from_millis(20),
    skip(cache, body), cache = cache
)]
async fn hurried(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

#[redis_cached(
    ttl = TTL, stale_if_error = WINDOW, soft_timeout = SOON, skip(cache, body), cache = cache
)]
async fn patient_one(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    let _ = id;
    body.run().await
}

fn tiers(stores: &Stores) -> [(&Cache, Tier); 2] {
    [
        (&stores.memory, Tier::Process),
        (&stores.redis, Tier::Redis),
    ]
}

#[tokio::test]
async fn a_plain_value_is_a_miss_and_then_a_hit() {
    let stores = Stores::start().await;
    for (cache, tier) in tiers(&stores) {
        let (body, entry) = (Body::new(), below_entry(cache, 1));
        let first = Outcome::of(below(cache, &body, 1)).await;
        assert_eq!(first.value, Ok(1));
        let ttl = Duration::from_secs(300);
        assert_eq!(told(&first), miss(&entry, Some(ttl)));

        let second = Outcome::of(below(cache, &body, 1)).await;
        assert_eq!(second.value, Ok(1));
        assert_eq!((second.source, second.tier), (Source::Hit, Some(tier)));
        assert_eq!(second.key, key(&entry));
        let left = second.ttl.expect("it was asked for");
        assert!(left <= ttl && left > ttl - SOON, "{left:?}");
        match tier {
            // JSON alone does not say when it was stored.
            Tier::Redis => assert_eq!(second.age, None),
            _ => assert!(second.age.expect("it is known") < SOON),
        }
    }
}

#[tokio::test]
async fn a_stamped_value_tells_its_age_fresh_and_stale() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for (cache, tier) in tiers(&stores) {
        let (body, entry) = (Body::new(), stamped_entry(cache, 1));
        let call = || Outcome::of(stamped(cache, &body, 1));
        assert_eq!(told(&call().await), miss(&entry, Some(TTL)));
        clock.advance(AGE);
        let hit = call().await;
        let of_the_store = |source, age, ttl| Told {
            source,
            tier: Some(tier),
            age: Some(age),
            ttl: Some(ttl),
            key: key(&entry),
        };
        assert_eq!(told(&hit), of_the_store(Source::Hit, AGE, TTL - AGE));
        clock.advance(TTL);
        body.fail();
        // Answered stale, and refreshed behind; then in the place of the body's error; then at rest.
        for _ in 0..2 {
            let stale = call().await;
            assert_eq!(stale.value, Ok(1));
            let expected = of_the_store(Source::Stale, AGE + TTL, Duration::ZERO);
            assert_eq!(told(&stale), expected);
            body.wait_until_begun(2).await;
            eventually("the run to end", SOON, async || cache.stats().flights == 0).await;
        }
        clock.advance(WINDOW);
        let covered = call().await;
        assert_eq!((covered.value, body.runs()), (Ok(1), 3));
        assert_eq!(covered.source, Source::Stale);
        assert_eq!(covered.age, Some(AGE + TTL + WINDOW));
        clock.advance(2 * WINDOW);
        let failed = call().await;
        assert_eq!(failed.value, Err(Failed { run: 4 }));
        assert_eq!(told(&failed), miss(&entry, None));
    }
}

#[tokio::test]
async fn a_soft_timeout_is_stale_or_a_miss() {
    let clock = ManualClock::new();
    let stores = Stores::with(|builder| builder.clock(&clock)).await;
    for (cache, tier) in tiers(&stores) {
        let body = Body::new();
        hurried(cache, &body, 1).await.expect("no failure");
        patient_one(cache, &body, 1).await.expect("no failure");
        clock.advance(TTL);
        let fast = Outcome::of(patient_one(cache, &body, 1)).await;
        assert_eq!((&fast.value, fast.source), (&Ok(3), Source::Miss));
        assert_eq!((fast.tier, fast.key.is_some()), (None, true));
        body.shut_gate();
        let slow = Outcome::of(hurried(cache, &body, 1)).await;
        assert_eq!((&slow.value, slow.source), (&Ok(1), Source::Stale));
        assert_eq!((slow.tier, slow.age), (Some(tier), Some(TTL)));
        body.open_gate();
    }
}

#[tokio::test]
async fn who_waits_for_anothers_body_has_a_miss() {
    for cache in Stores::start().await.both() {
        let (body, entry) = (Body::gated(), below_entry(cache, 1));
        let mut callers = vec![];
        for _ in 0..5 {
            let (cache, body) = (cache.clone(), body.clone());
            let call = async move { Outcome::of(below(&cache, &body, 1)).await };
            callers.push(tokio::spawn(call));
        }
        eventually("the others to wait", SOON, async || {
            cache.stats().waiting == 4
        })
        .await;
        body.open_gate();
        let mut leaders = 0;
        for caller in callers {
            let outcome = caller.await.expect("no panic");
            assert_eq!(outcome.value, Ok(1));
            leaders += usize::from(outcome.ttl.is_some());
            // Only who stored it knows for how long.
            assert_eq!(told(&outcome), miss(&entry, outcome.ttl));
        }
        assert_eq!(leaders, 1);
    }
}

#[tokio::test]
async fn what_was_not_stored_has_no_ttl() {
    for cache in Stores::start().await.both() {
        let entry = below_entry(cache, 1);
        let body = Body::gated();
        body.fail_next(1);
        body.let_through(1);
        let failed = Outcome::of(below(cache, &body, 1)).await;
        assert_eq!(failed.value, Err(Failed { run: 1 }));
        assert_eq!(told(&failed), miss(&entry, None));
        // Invalidated while the body ran.
        let outdate = async {
            body.wait_until_running(1).await;
            entry.invalidate().await.expect("a cache");
            body.open_gate();
        };
        let call = Outcome::of(below(cache, &body, 1));
        let (outdated, ()) = tokio::join!(call, outdate);
        assert_eq!(outdated.value, Ok(2));
        assert_eq!(told(&outdated), miss(&entry, None));
        let anew = Outcome::of(NoCache.scope(below(cache, &body, 1))).await;
        assert_eq!(told(&anew), miss(&entry, Some(Duration::from_secs(300))));
    }
}

#[tokio::test]
async fn the_first_call_is_the_one_that_is_told_of() {
    for cache in Stores::start().await.both() {
        let (body, lower) = (Body::new(), Body::new());
        below(cache, &lower, 1).await.expect("no failure");
        // The one below is a hit.
        let outcome = Outcome::of(above(cache, &body, &lower, 1)).await;
        assert_eq!(outcome.value, Ok((1, 1)));
        assert_eq!(told(&outcome), miss(&above_entry(cache, 1), outcome.ttl));
        let outcome = Outcome::of(async {
            let hit = below(cache, &lower, 1).await;
            (hit, below(cache, &lower, 2).await)
        });
        let outcome = outcome.await;
        assert_eq!(outcome.value, (Ok(1), Ok(2)));
        assert_eq!(outcome.source, Source::Hit);
        assert_eq!(outcome.key, key(&below_entry(cache, 1)));
        // Polled first, and answered last.
        let gate = Body::gated();
        let outcome = Outcome::of(async {
            let second = async {
                gate.wait_until_running(1).await;
                let hit = below(cache, &lower, 1).await;
                gate.open_gate();
                hit
            };
            tokio::join!(below(cache, &gate, 3), second)
        });
        let outcome = outcome.await;
        assert_eq!(outcome.source, Source::Miss);
        assert_eq!(outcome.key, key(&below_entry(cache, 3)));
    }
}

#[tokio::test]
async fn nothing_cached_is_a_bypass() {
    let cache = cache_tests::in_memory();
    let body = Body::new();
    let outcome = Outcome::of(async { 7 }).await;
    assert_eq!((outcome.value, told(&outcome)), (7, bypass()));
    cache.shutdown().await.expect("nothing is left over");
    let outcome = Outcome::of(below(&cache, &body, 1)).await;
    assert_eq!((&outcome.value, told(&outcome)), (&Ok(1), bypass()));
}

/// What a function says of its own calls is not what its caller is told.
#[tokio::test]
async fn an_outcome_within_an_outcome_takes_nothing_from_it() {
    async fn curious(cache: &Cache, body: &Body) -> (Source, Result<u64, Failed>) {
        let outcome = Outcome::of(below(cache, body, 1)).await;
        (outcome.source, outcome.value)
    }
    for cache in Stores::start().await.both() {
        let body = Body::new();
        let first = Outcome::of(curious(cache, &body)).await;
        assert_eq!(first.value, (Source::Miss, Ok(1)));
        assert_eq!(first.source, Source::Miss);
        let second = Outcome::of(curious(cache, &body)).await;
        assert_eq!(second.value, (Source::Hit, Ok(1)));
        assert_eq!(second.source, Source::Hit);
        assert_eq!(second.key, key(&below_entry(cache, 1)));
        // The first call of the outer one has told already.
        let outcome = Outcome::of(async {
            let hit = below(cache, &body, 1).await;
            (hit, Outcome::of(below(cache, &body, 2)).await.source)
        });
        let outcome = outcome.await;
        assert_eq!(outcome.value, (Ok(1), Source::Miss));
        assert_eq!(outcome.source, Source::Hit);
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_report_to_the_next() {
    for cache in Stores::start().await.both() {
        let (gated, body) = (Body::gated(), Body::new());
        below(cache, &body, 2).await.expect("no failure");
        let outcome = Outcome::of(async {
            let given_up = tokio::select! {
                value = below(cache, &gated, 1) => Some(value),
                () = gated.wait_until_running(1) => None,
            };
            (given_up, below(cache, &body, 2).await)
        });
        let outcome = outcome.await;
        assert_eq!(outcome.value, (None, Ok(1)));
        assert_eq!(outcome.source, Source::Hit);
        assert_eq!(outcome.key, key(&below_entry(cache, 2)));

        let polled = Outcome::of(poll_n_then_drop(below(cache, &gated, 1), 1)).await;
        assert_eq!((polled.value, polled.source), (None, Source::Bypass));
    }
}

#[tokio::test]
async fn a_call_that_panics_leaves_the_report_to_the_next() {
    for cache in Stores::start().await.both() {
        let body = Body::new();
        body.panic_next(1);
        let outcome = Outcome::of(async {
            let panicked = unless_it_panics(below(cache, &body, 1)).await;
            (panicked, below(cache, &body, 2).await)
        });
        let outcome = outcome.await;
        assert_eq!(outcome.value, (None, Ok(2)));
        assert_eq!(outcome.source, Source::Miss);
        assert_eq!(outcome.key, key(&below_entry(cache, 2)));
    }
}

#[tokio::test]
async fn what_a_report_costs_in_commands() {
    let server = RedisServer::start().await;
    let (cache, body) = (patient(&server.url()), Body::new());
    below(&cache, &body, 1).await.expect("no failure");
    stamped(&cache, &body, 1).await.expect("no failure");
    stamped(&cache, &body, 1).await.expect("no failure");
    let log = server.command_log().await;
    Outcome::of(stamped(&cache, &body, 1))
        .await
        .value
        .expect("no failure");
    let of_the_stamped = log.settled().await;
    assert_eq!(of_the_stamped.len(), 1, "{of_the_stamped:?}");
    Outcome::of(below(&cache, &body, 1))
        .await
        .value
        .expect("no failure");
    let sent = log.settled().await.split_off(1);
    let names: Vec<_> = sent.iter().map(|line| line.split('"').nth(1)).collect();
    assert_eq!(names, [Some("GET"), Some("PTTL")]);
    below(&cache, &body, 1).await.expect("no failure");
    assert_eq!(log.settled().await.len(), 4, "nobody wants to know");
}
