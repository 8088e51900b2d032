//! The rows of the table: what is answered, what is started, and what is counted.

use std::time::Duration;

use cache_runtime::{Cache, Outcome, Source, redis_cached};
use cache_tests::body::Failed;
use cache_tests::{Body, Logs};

use crate::scene::{Counts, FIRST_PAUSE, MILLI, Scene, TTL, WINDOW, until_idle, until_stored};

macro_rules! function {
    ($name:ident, $($options:tt)*) => {
        #[redis_cached(ttl = 60, $($options)*, skip(cache, body), cache = cache)]
        async fn $name(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
            let _ = id;
            body.run().await
        }
    };
}

function!(fresh, stale_while_revalidate = 600, stale_if_error = 600);
function!(stale, stale_while_revalidate = 600);
function!(at_rest, stale_while_revalidate = 600);
function!(covered, stale_if_error = 600);
function!(on_error_at_rest, stale_if_error = 600);
function!(impatient, stale_if_error = 600, soft_timeout = "20ms");
function!(halfway, refresh_ahead = 0.5);
function!(ahead_at_rest, refresh_ahead = 0.5);
function!(unwindowed, jitter = 0.1);
function!(expired_revalidate, stale_while_revalidate = 600);
function!(expired_on_error, stale_if_error = 600);
function!(
    shorter_window,
    stale_while_revalidate = 60,
    stale_if_error = 600
);
function!(fixed, stale_while_revalidate = 600);
function!(
    fixed_on_error,
    stale_while_revalidate = 600,
    stale_if_error = 600
);

/// How a call is answered, and from where.
async fn answer(call: impl Future<Output = Result<u64, Failed>>) -> (Result<u64, Failed>, Source) {
    let outcome = Outcome::of(call).await;
    (outcome.value, outcome.source)
}

/// What a call of this function added to its counters.
macro_rules! assert_counts {
    ($function:ident, $before:expr, $($field:ident: $count:expr),+) => {
        let expected = Counts { $($field: $count,)+ ..Counts::default() };
        assert_eq!(Counts::since(stringify!($function), $before), expected);
    };
}

#[tokio::test]
async fn row_2_ahead_of_its_end_a_value_is_answered_and_refreshed() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(halfway(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL / 2 - MILLI);
        let before = Counts::of("halfway");
        assert_eq!(answer(halfway(cache, &body, 1)).await, (Ok(1), Source::Hit));
        assert_counts!(halfway, before, hits: 1);
        scene.clock.advance(MILLI);
        body.shut_gate();
        let before = Counts::of("halfway");
        assert_eq!(answer(halfway(cache, &body, 1)).await, (Ok(1), Source::Hit));
        body.wait_until_begun(2).await;
        assert_counts!(halfway, before, hits: 1, runs: 1, behind: 1);
        body.open_gate();
        let entry = halfway_entry(cache, 1);
        until_stored(&entry, 2).await;
        // Its age begins anew.
        scene.clock.advance(TTL / 2 - MILLI);
        assert_eq!(answer(halfway(cache, &body, 1)).await, (Ok(2), Source::Hit));
        assert_eq!(body.runs(), 2);
    }
}

#[tokio::test]
async fn row_2_a_refresh_that_failed_leaves_a_fresh_value_and_a_key_at_rest() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(ahead_at_rest(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL / 2);
        body.fail();
        assert_eq!(ahead_at_rest(cache, &body, 1).await, Ok(1));
        body.wait_until_finished(2).await;
        until_idle(cache, &body).await;
        let before = Counts::of("ahead_at_rest");
        assert_eq!(ahead_at_rest(cache, &body, 1).await, Ok(1));
        assert_counts!(ahead_at_rest, before, hits: 1);
        scene.clock.advance(FIRST_PAUSE);
        assert_eq!(ahead_at_rest(cache, &body, 1).await, Ok(1));
        body.wait_until_begun(3).await;
        until_idle(cache, &body).await;
        // Nothing outlives its ttl, at rest or not.
        scene.clock.advance(TTL / 2 - FIRST_PAUSE);
        let late = ahead_at_rest(cache, &body, 1).await;
        assert_eq!(late, Err(Failed { run: 4 }));
    }
}

#[tokio::test]
async fn row_3_before_its_ttl_has_passed_a_value_is_a_hit() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        let before = Counts::of("fresh");
        assert_eq!(answer(fresh(cache, &body, 1)).await, (Ok(1), Source::Miss));
        assert_eq!(answer(fresh(cache, &body, 1)).await, (Ok(1), Source::Hit));
        scene.clock.advance(TTL - MILLI);
        let outcome = Outcome::of(fresh(cache, &body, 1)).await;
        assert_eq!((outcome.value, outcome.source), (Ok(1), Source::Hit));
        assert_eq!((outcome.age, outcome.ttl), (Some(TTL - MILLI), Some(MILLI)));
        assert_counts!(fresh, before, hits: 2, misses: 1, runs: 1);
    }
}

#[tokio::test]
async fn row_4_at_rest_a_stale_value_is_answered_and_nothing_starts() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(at_rest(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL + WINDOW - FIRST_PAUSE);
        body.fail();
        assert_eq!(at_rest(cache, &body, 1).await, Ok(1));
        body.wait_until_finished(2).await;
        until_idle(cache, &body).await;
        let before = Counts::of("at_rest");
        for _ in 0..3 {
            let call = at_rest(cache, &body, 1);
            assert_eq!(answer(call).await, (Ok(1), Source::Stale));
        }
        // Not even a body that its caller waits for.
        let entry = at_rest_entry(cache, 1);
        let computed = entry.get_or_compute(|| at_rest_uncached(cache, &body, 1));
        assert_eq!(computed.await, Ok(1));
        assert_counts!(at_rest, before, stale: 4);
    }
}

#[tokio::test]
async fn row_5_a_stale_value_is_answered_and_refreshed_behind() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        for (id, age) in [(1, TTL), (2, TTL + WINDOW - MILLI)] {
            let body = Body::new();
            assert_eq!(stale(cache, &body, id).await, Ok(1));
            scene.clock.advance(age);
            body.shut_gate();
            let before = Counts::of("stale");
            let outcome = Outcome::of(stale(cache, &body, id)).await;
            assert_eq!((outcome.value, outcome.source), (Ok(1), Source::Stale));
            assert_eq!(
                (outcome.age, outcome.ttl),
                (Some(age), Some(Duration::ZERO))
            );
            body.wait_until_begun(2).await;
            assert_counts!(stale, before, stale: 1, runs: 1, behind: 1);
            body.open_gate();
            let entry = stale_entry(cache, id);
            until_stored(&entry, 2).await;
            let call = stale(cache, &body, id);
            assert_eq!(answer(call).await, (Ok(2), Source::Hit));
            assert_eq!(body.runs(), 2);
        }
    }
}

#[tokio::test]
async fn row_6_at_rest_a_failing_source_is_not_asked_again() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(on_error_at_rest(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        body.fail();
        assert_eq!(on_error_at_rest(cache, &body, 1).await, Ok(1));
        assert_eq!(body.runs(), 2);
        let before = Counts::of("on_error_at_rest");
        for _ in 0..3 {
            let call = on_error_at_rest(cache, &body, 1);
            assert_eq!(answer(call).await, (Ok(1), Source::Stale));
        }
        assert_counts!(on_error_at_rest, before, stale: 3);
        scene.clock.advance(FIRST_PAUSE);
        assert_eq!(on_error_at_rest(cache, &body, 1).await, Ok(1));
        assert_eq!(body.runs(), 3);
    }
}

#[tokio::test]
async fn row_7_a_slow_body_is_waited_for_until_the_soft_timeout() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        for (id, age) in [(1, TTL), (2, TTL + WINDOW - MILLI)] {
            let body = Body::new();
            assert_eq!(impatient(cache, &body, id).await, Ok(1));
            scene.clock.advance(age);
            body.shut_gate();
            let before = Counts::of("impatient");
            let call = impatient(cache, &body, id);
            assert_eq!(answer(call).await, (Ok(1), Source::Stale));
            body.wait_until_begun(2).await;
            assert_counts!(impatient, before, stale: 1, runs: 1, behind: 1);
            body.open_gate();
            let entry = impatient_entry(cache, id);
            until_stored(&entry, 2).await;
        }
    }
}

#[tokio::test]
async fn row_8_a_body_that_fails_is_covered_by_the_stale_value() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        for (id, age) in [(1, TTL), (2, TTL + WINDOW - MILLI)] {
            let body = Body::new();
            assert_eq!(covered(cache, &body, id).await, Ok(1));
            scene.clock.advance(age);
            body.fail_next(1);
            let before = Counts::of("covered");
            let call = covered(cache, &body, id);
            assert_eq!(answer(call).await, (Ok(1), Source::Stale));
            assert_counts!(covered, before, stale: 1, runs: 1);
        }
        // And one that returns is the answer.
        let body = Body::new();
        assert_eq!(covered(cache, &body, 3).await, Ok(1));
        scene.clock.advance(TTL);
        let before = Counts::of("covered");
        assert_eq!(
            answer(covered(cache, &body, 3)).await,
            (Ok(2), Source::Miss)
        );
        assert_eq!(answer(covered(cache, &body, 3)).await, (Ok(2), Source::Hit));
        assert_counts!(covered, before, hits: 1, misses: 1, runs: 1);
    }
}

#[tokio::test]
async fn row_9_later_the_bodys_outcome_is_the_answer() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        for (value, age) in [(1, TTL), (2, TTL * 2)] {
            assert_eq!(unwindowed(cache, &body, 1).await, Ok(value));
            scene.clock.advance(age);
            // In Redis it is the server that ends a value without a stamp.
            scene.stores.server.empty().await;
        }
        assert_eq!(expired_revalidate(cache, &body, 1).await, Ok(3));
        assert_eq!(expired_on_error(cache, &body, 1).await, Ok(4));
        scene.clock.advance(TTL + WINDOW);
        let before = Counts::of("expired_revalidate");
        let call = expired_revalidate(cache, &body, 1);
        assert_eq!(answer(call).await, (Ok(5), Source::Miss));
        assert_counts!(expired_revalidate, before, misses: 1, runs: 1);
        let before = Counts::of("expired_on_error");
        body.fail_next(1);
        let call = expired_on_error(cache, &body, 1);
        let failed = Err(Failed { run: 6 });
        assert_eq!(answer(call).await, (failed, Source::Miss));
        assert_counts!(expired_on_error, before, misses: 1, runs: 1);
    }
}

#[tokio::test]
async fn past_the_shorter_window_the_longer_one_counts() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(shorter_window(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL + TTL);
        body.fail();
        let before = Counts::of("shorter_window");
        let call = shorter_window(cache, &body, 1);
        assert_eq!(answer(call).await, (Ok(1), Source::Stale));
        assert_counts!(shorter_window, before, stale: 1, runs: 1);
        scene.clock.advance(WINDOW - TTL);
        let late = shorter_window(cache, &body, 1).await;
        assert_eq!(late, Err(Failed { run: 3 }));
    }
}

/// A body that its caller lends is run by its caller, whatever window there is.
#[tokio::test]
async fn a_body_that_is_not_movable_falls_through_to_the_rows_below() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(fixed(cache, &body, 1).await, Ok(1));
        assert_eq!(fixed_on_error(cache, &body, 1).await, Ok(2));
        scene.clock.advance(TTL);
        let before = Counts::of("fixed");
        body.fail_next(1);
        let entry = fixed_entry(cache, 1);
        let call = entry.get_or_compute(|| fixed_uncached(cache, &body, 1));
        assert_eq!(answer(call).await, (Err(Failed { run: 3 }), Source::Miss));
        assert_counts!(fixed, before, misses: 1, runs: 1);
        let before = Counts::of("fixed_on_error");
        body.fail_next(1);
        let entry = fixed_on_error_entry(cache, 1);
        let call = entry.get_or_compute(|| fixed_on_error_uncached(cache, &body, 1));
        assert_eq!(answer(call).await, (Ok(2), Source::Stale));
        assert_counts!(fixed_on_error, before, stale: 1, runs: 1);
    }
}

function!(
    senseless,
    stale_while_revalidate = Duration::ZERO,
    stale_if_error = WINDOW
);
function!(endless, stale_if_error = Duration::MAX);

#[tokio::test]
async fn an_expression_that_gives_nothing_is_named_once_and_as_good_as_not_there() {
    let scene = Scene::start().await;
    let (logs, _guard) = Logs::of_this_thread();
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(senseless(cache, &body, 1).await, Ok(1));
        scene.clock.advance(TTL);
        // The other window is there: its caller waits for the body.
        assert_eq!(senseless(cache, &body, 1).await, Ok(2));
        scene.clock.advance(TTL);
        body.fail_next(1);
        assert_eq!(senseless(cache, &body, 1).await, Ok(2));
    }
    let named = logs.lines_with("`stale_while_revalidate` is zero");
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].contains("senseless"), "{named:?}");
}

#[tokio::test]
async fn an_expression_that_gives_more_than_redis_can_keep_is_as_long_as_it_can() {
    let scene = Scene::start().await;
    for cache in scene.both() {
        let body = Body::new();
        assert_eq!(endless(cache, &body, 1).await, Ok(1));
        scene.clock.advance(WINDOW * 1000);
        body.fail_next(1);
        assert_eq!(endless(cache, &body, 1).await, Ok(1));
    }
}
