//! One rule at a time; `refused` has those about the server's answers, `random` all at once.

mod random;
mod refused;

use super::*;

const MARGIN: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const NOW: NextAsk = NextAsk::Now;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A wall clock of today, and a steady one.
fn start() -> Now {
    Now {
        wall: SystemTime::UNIX_EPOCH + secs(1_795_000_000),
        steady: Instant::now(),
    }
}

/// Both clocks, this much later.
fn after(now: Now, time: Duration) -> Now {
    Now {
        wall: now.wall + time,
        steady: now.steady + time,
    }
}

/// So often the clocks are looked at between two asks at most: every thirty seconds, for a token of two days.
const MOST_LOOKS: u32 = 6_000;

/// A schedule with a token of this life.
fn holding(now: Now, life: Duration) -> Schedule {
    let mut schedule = Schedule::new(MARGIN);
    assert!(schedule.granted(now, now.wall + life, false, 0.0));
    schedule
}

/// Waits as the schedule says until it asks: when, and what it asks for.
fn until_ask(schedule: &Schedule, mut now: Now) -> (Now, NextAsk) {
    for _ in 0..MOST_LOOKS {
        match schedule.next(now) {
            NextAsk::Wait(wait) => now = after(now, wait),
            ask @ NextAsk::Now => return (now, ask),
        }
    }
    panic!("it asks no more");
}

/// How long it waits from `now` until it asks.
fn pause_from(schedule: &Schedule, now: Now) -> Duration {
    until_ask(schedule, now).0.steady - now.steady
}

#[test]
fn the_first_token_is_asked_for_at_once() {
    let schedule = Schedule::new(MARGIN);
    assert_eq!(schedule.next(start()), NOW);
    assert!(!schedule.is_valid(start()));
    assert!(schedule.life().is_none());
}

#[test]
fn a_token_is_renewed_the_margin_before_its_end_or_half_its_life() {
    for (life, due) in [(3600, 3300), (700, 400), (600, 300), (20, 10), (4, 2)] {
        let now = start();
        let schedule = holding(now, secs(life));
        assert!(matches!(schedule.next(now), NextAsk::Wait(_)));
        let (at, ask) = until_ask(&schedule, now);
        assert_eq!(at.steady - now.steady, secs(due), "a life of {life} s");
        assert_eq!(ask, NOW);
        assert!(schedule.is_valid(at));
    }
}

#[test]
fn jitter_makes_it_later_by_less_than_a_tenth_of_the_margin() {
    for (life, due, late) in [(3600, 3300, 30_000), (20, 10, 1_000), (4, 2, 200)] {
        let now = start();
        for draw in [0.0, 0.25, 0.5, 0.999] {
            let mut schedule = Schedule::new(MARGIN);
            assert!(schedule.granted(now, now.wall + secs(life), false, draw));
            let pause = pause_from(&schedule, now);
            let wanted = secs(due) + millis(late).mul_f64(draw);
            assert!(pause.abs_diff(wanted) < millis(1), "{pause:?}, {wanted:?}");
        }
    }
}

#[test]
fn connections_move_by_three_fifths_of_the_margin() {
    let now = start();
    let long = holding(now, HOUR).life().unwrap();
    assert_eq!(long.move_within(now), HOUR - secs(180));
    assert_eq!(long.move_within(after(now, HOUR - secs(200))), secs(20));
    assert_eq!(
        long.move_within(after(now, HOUR - secs(100))),
        Duration::ZERO
    );
    assert_eq!(long.age(after(now, secs(7))), secs(7));
    let short = holding(now, secs(20)).life().unwrap();
    assert_eq!(short.move_within(now), secs(14));
}

#[test]
fn the_clocks_are_looked_at_every_thirty_seconds() {
    let now = start();
    let schedule = holding(now, HOUR);
    assert_eq!(schedule.next(now), NextAsk::Wait(LOOK));
    assert_eq!(
        schedule.next(after(now, secs(3290))),
        NextAsk::Wait(secs(10)),
        "and when something is due before"
    );
}

#[test]
fn a_machine_that_slept_asks_at_once() {
    let now = start();
    let schedule = holding(now, HOUR);
    let woken = Now {
        wall: now.wall + HOUR * 2,
        steady: now.steady + secs(2),
    };
    assert_eq!(schedule.next(woken), NOW);
    assert!(!schedule.is_valid(woken));
}

#[test]
fn a_wall_clock_that_was_set_back_does_not_lengthen_a_life() {
    let now = start();
    let schedule = holding(now, HOUR);
    let back = |time| Now {
        wall: now.wall + time - DAY,
        steady: now.steady + time,
    };
    assert!(matches!(schedule.next(back(secs(3299))), NextAsk::Wait(_)));
    assert_eq!(schedule.next(back(secs(3300))), NOW);
    assert!(schedule.is_valid(back(secs(3599))));
    assert!(!schedule.is_valid(back(HOUR)));
    assert_eq!(
        schedule.next(back(HOUR)),
        NOW,
        "by the wall clock it is good: who keeps it would hand it out again"
    );
}

#[test]
fn a_second_passes_between_two_asks_even_for_tokens_that_live_less() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    for life in [millis(1), millis(500), secs(1), millis(1900)] {
        assert!(schedule.granted(now, now.wall + life, false, 0.0));
        assert_eq!(pause_from(&schedule, now), secs(1), "{life:?}");
    }
}

#[test]
fn pauses_double_up_to_thirty_seconds_while_the_token_is_valid() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let due = after(now, HOUR - MARGIN);
    for (least, most) in [(1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30)] {
        schedule.failed(due, None, 0.0);
        assert_eq!(pause_from(&schedule, due), secs(least));
        schedule.failures -= 1;
        schedule.failed(due, None, 0.999_999);
        let pause = pause_from(&schedule, due);
        assert!(pause > secs(most) - millis(1) && pause < secs(most));
    }
}

#[test]
fn pauses_stay_short_without_a_token() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    for _ in 0..100 {
        schedule.failed(now, None, 0.0);
        assert_eq!(pause_from(&schedule, now), secs(1));
        schedule.failed(now, None, 0.5);
        assert_eq!(pause_from(&schedule, now), millis(1250));
        schedule.failed(now, None, 0.999_999);
        assert!(pause_from(&schedule, now) < millis(1500));
    }
}

#[test]
fn pauses_grow_also_without_a_token_where_somebody_has_to_mend_it() {
    let mut now = start();
    let mut schedule = Schedule::new(MARGIN);
    for pause in [2, 4, 8, 16, 30, 30] {
        schedule.failed(now, None, 0.999_999);
        schedule.will_last();
        let pause = secs(pause);
        assert!(pause_from(&schedule, now) > pause.mul_f64(0.99));
        now = after(now, pause);
    }
    schedule.failed(now, None, 0.5);
    assert!(
        pause_from(&schedule, now) < millis(1500),
        "the next failure is another one"
    );
}

#[test]
fn a_long_pause_ends_when_the_token_does() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let late = after(now, HOUR - secs(3));
    for _ in 0..10 {
        schedule.failed(late, None, 0.999);
    }
    assert_eq!(schedule.next(late), NextAsk::Wait(secs(3)));
    assert_eq!(
        until_ask(&schedule, late).0.steady,
        late.steady + secs(3),
        "its pause of 30 s would go on"
    );
    schedule.failed(late, None, 0.0);
    let woken = Now {
        wall: late.wall + DAY,
        steady: late.steady + secs(2),
    };
    assert_eq!(schedule.next(woken), NOW, "also when it ends in a sleep");
}

#[test]
fn a_good_answer_ends_the_back_off() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    for _ in 0..10 {
        schedule.failed(now, Some(secs(200)), 0.9);
    }
    assert!(schedule.granted(now, now.wall + HOUR, false, 0.0));
    let due = after(now, HOUR - MARGIN);
    assert_eq!(schedule.next(due), NOW);
    schedule.failed(due, None, 0.0);
    assert_eq!(pause_from(&schedule, due), secs(1));
}

#[test]
fn retry_after_is_honoured_up_to_five_minutes() {
    let now = start();
    for (asked, pause) in [
        (0, 1),
        (1, 1),
        (7, 7),
        (300, 300),
        (301, 300),
        (86_400, 300),
    ] {
        let mut schedule = Schedule::new(MARGIN);
        schedule.failed(now, Some(secs(asked)), 0.0);
        assert_eq!(pause_from(&schedule, now), secs(pause), "{asked} s");
        schedule.refused(now, 0.0);
        assert_eq!(pause_from(&schedule, now), secs(pause), "{asked} s");
    }
    let mut schedule = holding(now, HOUR);
    let due = after(now, HOUR - MARGIN);
    for _ in 0..10 {
        schedule.failed(due, Some(secs(2)), 0.0);
    }
    assert_eq!(pause_from(&schedule, due), secs(15), "the back-off is more");
    schedule.failed(due, Some(Duration::MAX), 0.0);
    assert_eq!(pause_from(&schedule, due), secs(300), "past its expiry too");
}

#[test]
fn a_jump_of_the_wall_clock_does_not_lengthen_a_pause() {
    let now = start();
    for failures in 1..10 {
        let mut schedule = Schedule::new(MARGIN);
        for _ in 0..failures {
            schedule.failed(now, None, 0.5);
        }
        let back = Now {
            wall: now.wall - DAY,
            steady: now.steady,
        };
        assert_eq!(pause_from(&schedule, back), millis(1250));
    }
}

#[test]
fn a_token_that_is_expired_on_arrival_is_offered_and_asked_for_again_after_a_pause() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    for draw in [0.0, 0.5] {
        assert!(schedule.granted(now, now.wall - HOUR, false, draw));
        assert!(!schedule.is_valid(now));
        assert_eq!(
            pause_from(&schedule, now),
            secs(1) + millis(500).mul_f64(draw)
        );
        assert_eq!(schedule.next(after(now, millis(1500))), NOW);
    }
}

#[test]
fn one_that_is_expired_on_arrival_does_not_replace_one_that_is_good() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let due = after(now, HOUR - MARGIN);
    assert!(!schedule.granted(due, due.wall, false, 0.0));
    assert!(schedule.is_valid(due));
    assert!(!schedule.granted(due, due.wall, false, 0.0));
    assert_eq!(
        pause_from(&schedule, due),
        secs(2),
        "it counts as a failure"
    );
    schedule.refused(due, 0.0);
    assert!(schedule.granted(due, due.wall, false, 0.0), "refused");
}

#[test]
fn an_expired_one_that_the_server_accepts_is_no_reason_to_hurry() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    for _ in 0..10 {
        assert!(schedule.granted(now, now.wall - HOUR, false, 0.0));
        schedule.accepted();
    }
    assert_eq!(pause_from(&schedule, now), secs(15));
    assert!(schedule.refused(now, 0.0));
    assert_eq!(pause_from(&schedule, now), secs(1));

    let mut schedule = holding(now, HOUR);
    schedule.accepted();
    let end = after(now, HOUR);
    for _ in 0..10 {
        schedule.failed(end, None, 0.0);
    }
    assert_eq!(
        pause_from(&schedule, end),
        secs(1),
        "what was accepted while it lived says nothing"
    );
}

#[test]
fn the_same_token_again_counts_as_a_failure_while_it_is_due() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let mut due = after(now, HOUR - MARGIN);
    for pause in [1, 2, 4, 8, 15, 15] {
        assert!(!schedule.granted(due, now.wall + HOUR, true, 0.0));
        assert!(schedule.is_valid(due));
        assert_eq!(pause_from(&schedule, due), secs(pause));
        due = after(due, secs(pause));
    }
    assert!(schedule.granted(due, due.wall + HOUR, false, 0.0));
    assert_eq!(pause_from(&schedule, due), HOUR - MARGIN);
}

#[test]
fn the_same_token_again_is_no_younger_than_it_was() {
    let now = start();
    let mut schedule = holding(now, HOUR);
    let due = Now {
        wall: now.wall - DAY,
        steady: now.steady + (HOUR - MARGIN),
    };
    assert!(!schedule.granted(due, now.wall + HOUR, true, 0.0));
    assert!(!schedule.is_valid(after(due, MARGIN)));
}

#[test]
fn the_same_token_is_judged_anew_when_a_wrong_clock_had_called_it_expired() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    let expires = now.wall + HOUR;
    let ahead = Now {
        wall: now.wall + DAY,
        steady: now.steady,
    };
    assert!(schedule.granted(ahead, expires, false, 0.0));
    let right = after(now, secs(2));
    assert!(!schedule.is_valid(right));
    assert_eq!(schedule.next(right), NOW);
    assert!(schedule.granted(right, expires, true, 0.0));
    assert!(schedule.is_valid(right));
    assert_eq!(pause_from(&schedule, right), HOUR - secs(2) - MARGIN);
}

#[test]
fn no_count_ends_it() {
    let now = start();
    let due = after(now, HOUR - MARGIN);
    let mut schedule = holding(now, HOUR);
    schedule.failures = u32::MAX;
    schedule.failed(due, None, 0.5);
    assert_eq!(pause_from(&schedule, due), millis(22_500));

    let mut schedule = holding(now, HOUR);
    schedule.refusals = u32::MAX;
    assert!(!schedule.refused(now, 0.5));
    assert_eq!(pause_from(&schedule, now), millis(22_500));
    schedule.refusals = u32::MAX;
    assert!(!schedule.granted(now, now.wall + HOUR, true, 0.5));
    assert_eq!(pause_from(&schedule, now), millis(22_500));
}

#[test]
fn a_margin_of_zero_asks_at_the_end() {
    let now = start();
    let mut schedule = Schedule::new(Duration::ZERO);
    assert!(schedule.granted(now, now.wall + HOUR, false, 0.9));
    assert_eq!(pause_from(&schedule, now), HOUR);
    assert_eq!(schedule.life().unwrap().move_within(now), HOUR);
}
