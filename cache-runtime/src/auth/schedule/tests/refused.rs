//! What follows when the server does not take a token.

use super::*;

#[test]
fn a_refused_token_that_has_some_age_is_replaced_at_once() {
    for (life, age) in [(HOUR, 10_000), (secs(20), 2_000), (secs(5), 1_000)] {
        let now = start();
        let mut schedule = holding(now, life);
        let old = after(now, millis(age));
        assert!(schedule.refused(old, 0.0));
        assert!(schedule.refused(old, 0.0), "as all callers are told");
        assert_eq!(schedule.next(old), NOW);
        assert!(schedule.is_valid(old), "by the clocks");
    }
}

#[test]
fn a_refused_token_that_just_came_is_kept_for_a_new_connection() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let young = after(now, secs(4));
    assert!(!schedule.refused(young, 0.0));
    assert_eq!(pause_from(&schedule, young), secs(6), "or else replaced");
    schedule.accepted();
    assert_eq!(schedule.next(young), NextAsk::Wait(LOOK));
}

#[test]
fn a_refusal_waits_for_the_pause_of_the_failures() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let due = after(now, HOUR - MARGIN);
    schedule.failed(due, Some(secs(20)), 0.0);
    assert!(schedule.refused(due, 0.0));
    assert_eq!(pause_from(&schedule, due), secs(20));
    for _ in 0..10 {
        schedule.failed(due, None, 0.0);
    }
    assert_eq!(
        pause_from(&schedule, due),
        secs(1),
        "one that is refused is no token in hand"
    );
}

#[test]
fn tokens_that_are_refused_one_after_the_other_are_asked_for_less_and_less() {
    let mut now = start();
    let mut schedule = holding(now, HOUR);
    for pause in [10, 10, 10, 10, 10, 15, 15] {
        for _callers in 0..64 {
            assert!(!schedule.refused(now, 0.0));
        }
        let (asked, ask) = until_ask(&schedule, now);
        assert_eq!((asked.steady - now.steady, ask), (secs(pause), NOW));
        now = asked;
        assert!(schedule.granted(now, now.wall + HOUR, false, 0.0));
    }
    schedule.accepted();
    assert!(!schedule.refused(now, 0.0));
    assert_eq!(pause_from(&schedule, now), secs(10));
}

#[test]
fn a_refused_token_that_comes_back_is_asked_for_less_and_less() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let expires = now.wall + HOUR;
    for (age, pauses) in [
        (secs(60), [2, 4, 8, 15, 15]),
        (HOUR - MARGIN, [15, 15, 15, 15, 15]),
    ] {
        let mut old = after(now, age);
        schedule.refused(old, 0.0);
        for pause in pauses {
            assert!(!schedule.granted(old, expires, true, 0.0));
            let (asked, ask) = until_ask(&schedule, old);
            assert_eq!((asked.steady - old.steady, ask), (secs(pause), NOW));
            old = asked;
        }
    }
    let end = after(now, HOUR);
    assert!(!schedule.granted(end, expires, true, 0.0));
    assert_eq!(pause_from(&schedule, end), secs(1), "once it has expired");
}

#[test]
fn an_expired_token_that_is_refused_does_not_count() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    for _ in 0..10 {
        assert!(schedule.granted(now, now.wall, false, 0.0));
        assert!(schedule.refused(now, 0.0));
        assert_eq!(pause_from(&schedule, now), secs(1));
    }
    assert!(schedule.granted(now, now.wall + HOUR, false, 0.0));
    assert!(!schedule.refused(now, 0.0));
    assert_eq!(pause_from(&schedule, now), secs(10), "the first refusal");
}

#[test]
fn a_refusal_of_no_token_is_no_news() {
    let mut schedule = Schedule::new(MARGIN);
    assert!(schedule.refused(start(), 0.5));
    schedule.accepted();
    assert_eq!(schedule.next(start()), NOW);
}

#[test]
fn a_refused_token_that_comes_back_past_its_end_is_not_judged_anew() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    schedule.refused(after(now, secs(60)), 0.0);
    let back = Now {
        wall: now.wall - DAY,
        steady: now.steady + HOUR,
    };
    assert!(!schedule.granted(back, now.wall + HOUR, true, 0.0));
    assert!(!schedule.is_valid(back));
}

#[test]
fn a_refused_token_that_ends_is_asked_for_then() {
    let now = start();
    let mut schedule = holding(now, secs(20));
    schedule.refusals = 10;
    assert!(!schedule.refused(now, 0.9));
    assert_eq!(pause_from(&schedule, now), secs(20), "not 28.5 s");
}
