//! The table of the policy, cell by cell, with times, circumstances and draws as plain values.

mod lifetime;
mod whole;

use std::cell::Cell;

use super::*;

const TTL: Duration = Duration::from_secs(100);
const SHORT: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_millis(50);
const NANO: Duration = Duration::from_nanos(1);
/// The smallest that is ever drawn.
const LEAST: f64 = 1.0 / (1_u64 << 53) as f64;

const PLAIN: Freshness = Freshness {
    stale_while_revalidate: Duration::ZERO,
    stale_if_error: Duration::ZERO,
    refresh_ahead: None,
    soft_timeout: None,
    jitter: 0.0,
    cluster: false,
};
const REVALIDATE: Freshness = Freshness {
    stale_while_revalidate: SHORT,
    ..PLAIN
};
const ON_ERROR: Freshness = Freshness {
    stale_if_error: SHORT,
    ..PLAIN
};
const SOFT: Freshness = Freshness {
    soft_timeout: Some(LIMIT),
    ..ON_ERROR
};
const AHEAD: Freshness = Freshness {
    refresh_ahead: Some(RefreshAhead::Fraction(0.8)),
    ..PLAIN
};
const XFETCH: Freshness = Freshness {
    refresh_ahead: Some(RefreshAhead::XFetch),
    ..PLAIN
};
/// Every option, each window the longer one once.
const ALL: [Freshness; 2] = [
    Freshness {
        stale_while_revalidate: SHORT,
        stale_if_error: LONG,
        soft_timeout: Some(LIMIT),
        ..AHEAD
    },
    Freshness {
        stale_while_revalidate: LONG,
        stale_if_error: SHORT,
        soft_timeout: Some(LIMIT),
        ..AHEAD
    },
];

#[derive(Debug, Clone, Copy)]
struct Now {
    backs_off: bool,
    movable: bool,
    draw: f64,
}

const MOVABLE: Now = Now {
    backs_off: false,
    movable: true,
    draw: 1.0,
};
const FIXED: Now = Now {
    movable: false,
    ..MOVABLE
};
const BACKING_OFF: Now = Now {
    backs_off: true,
    ..MOVABLE
};

fn drawn(draw: f64) -> Now {
    Now { draw, ..MOVABLE }
}

/// Backing off or not, movable or not.
fn any() -> impl Iterator<Item = Now> {
    [BACKING_OFF, MOVABLE]
        .into_iter()
        .flat_map(|now| [true, false].map(|movable| Now { movable, ..now }))
}

fn judge(freshness: Freshness, entry: Option<Aged>, now: Now) -> Judgement {
    let circumstances = Circumstances {
        backs_off: &|| now.backs_off,
        movable: &|| now.movable,
        draw: &|| now.draw,
    };
    freshness.judge(entry, &circumstances)
}

fn aged(age: Duration) -> Aged {
    Aged {
        age,
        fresh_for: TTL,
        took: Duration::ZERO,
    }
}

fn at(freshness: Freshness, age: Duration, now: Now) -> Judgement {
    judge(freshness, Some(aged(age)), now)
}

/// What XFetch makes of a body that took so long, and a draw.
fn xfetch(age: Duration, took: Duration, draw: f64) -> Judgement {
    let entry = Aged { took, ..aged(age) };
    judge(XFETCH, Some(entry), drawn(draw))
}

#[test]
fn row_1_a_value_without_a_stamp_is_fresh() {
    for freshness in ALL.into_iter().chain([PLAIN, XFETCH]) {
        for now in any() {
            assert_eq!(judge(freshness, None, now), Judgement::Fresh);
        }
    }
}

#[test]
fn row_2_a_fraction_of_the_ttl_begins_a_run_at_that_age() {
    let moment = TTL.mul_f64(0.8);
    for freshness in [AHEAD, ALL[0], ALL[1]] {
        assert_eq!(at(freshness, moment - NANO, MOVABLE), Judgement::Fresh);
        for age in [moment, TTL - NANO] {
            assert_eq!(at(freshness, age, MOVABLE), Judgement::RefreshAhead);
            assert_eq!(
                at(freshness, age, BACKING_OFF),
                Judgement::Fresh,
                "backs off"
            );
            assert_eq!(at(freshness, age, FIXED), Judgement::Fresh, "not movable");
        }
    }
    assert_eq!(
        at(AHEAD, TTL, MOVABLE),
        Judgement::Expired,
        "is ahead no more"
    );
}

#[test]
fn row_2_xfetch_never_begins_before_half_the_ttl() {
    let took = TTL * 10;
    for age in [Duration::ZERO, TTL / 2 - NANO] {
        assert_eq!(xfetch(age, took, LEAST), Judgement::Fresh);
    }
    assert_eq!(xfetch(TTL / 2, took, LEAST), Judgement::RefreshAhead);
    let backing_off = Now {
        draw: LEAST,
        ..BACKING_OFF
    };
    let fixed = Now {
        draw: LEAST,
        ..FIXED
    };
    for now in [backing_off, fixed] {
        let entry = Aged {
            took,
            ..aged(TTL / 2)
        };
        assert_eq!(judge(XFETCH, Some(entry), now), Judgement::Fresh);
    }
}

#[test]
fn row_2_xfetch_weighs_what_the_body_took_against_what_is_left() {
    let second = Duration::from_secs(1);
    // -ln: 1.02 and 0.99.
    assert_eq!(xfetch(TTL - second, second, 0.36), Judgement::RefreshAhead);
    assert_eq!(xfetch(TTL - second, second, 0.37), Judgement::Fresh);
    // The most that chance can do is 36.7 times what the body took.
    assert_eq!(
        xfetch(TTL - 36 * second, second, LEAST),
        Judgement::RefreshAhead
    );
    assert_eq!(xfetch(TTL - 37 * second, second, LEAST), Judgement::Fresh);
    // And the least is nothing.
    assert_eq!(xfetch(TTL - NANO, TTL, 1.0), Judgement::Fresh);
    assert_eq!(xfetch(TTL - NANO, Duration::ZERO, LEAST), Judgement::Fresh);
}

#[test]
fn row_2_xfetch_draws_once_and_only_past_half_the_ttl() {
    let drawn = Cell::new(0);
    let circumstances = Circumstances {
        backs_off: &|| false,
        movable: &|| true,
        draw: &|| {
            drawn.set(drawn.get() + 1);
            0.5
        },
    };
    XFETCH.judge(Some(aged(TTL / 2 - NANO)), &circumstances);
    XFETCH.judge(Some(aged(TTL)), &circumstances);
    AHEAD.judge(Some(aged(TTL - NANO)), &circumstances);
    assert_eq!(drawn.get(), 0);
    XFETCH.judge(Some(aged(TTL - NANO)), &circumstances);
    assert_eq!(drawn.get(), 1);
}

#[test]
fn row_3_before_its_ttl_has_passed_a_value_is_fresh() {
    for freshness in [PLAIN, REVALIDATE, ON_ERROR, SOFT, ALL[0], ALL[1]] {
        for now in any() {
            assert_eq!(at(freshness, Duration::ZERO, now), Judgement::Fresh);
        }
    }
    for freshness in [PLAIN, REVALIDATE, ON_ERROR, SOFT] {
        for now in any() {
            assert_eq!(at(freshness, TTL - NANO, now), Judgement::Fresh);
        }
    }
}

#[test]
fn row_3_nothing_but_the_age_is_asked() {
    let circumstances = Circumstances {
        backs_off: &|| unreachable!("a fresh value is an answer, backing off or not"),
        movable: &|| unreachable!("a fresh value is an answer, movable or not"),
        draw: &|| unreachable!("nothing is left to chance"),
    };
    for freshness in [PLAIN, REVALIDATE, ON_ERROR, SOFT] {
        for entry in [None, Some(aged(Duration::ZERO)), Some(aged(TTL - NANO))] {
            assert_eq!(freshness.judge(entry, &circumstances), Judgement::Fresh);
        }
    }
    for freshness in [PLAIN, REVALIDATE, ON_ERROR, SOFT] {
        let entry = Some(aged(TTL + SHORT));
        assert_eq!(freshness.judge(entry, &circumstances), Judgement::Expired);
    }
}

#[test]
fn row_4_a_key_that_backs_off_is_answered_stale_and_nothing_starts() {
    for freshness in [REVALIDATE, ALL[0], ALL[1]] {
        for age in [TTL, TTL + SHORT - NANO] {
            for movable in [true, false] {
                let now = Now {
                    movable,
                    ..BACKING_OFF
                };
                assert_eq!(at(freshness, age, now), Judgement::StaleInBackoff);
            }
        }
    }
}

#[test]
fn row_5_a_stale_value_is_answered_and_a_run_begins() {
    for freshness in [REVALIDATE, ALL[0], ALL[1]] {
        for age in [TTL, TTL + NANO, TTL + SHORT - NANO] {
            assert_eq!(
                at(freshness, age, MOVABLE),
                Judgement::StaleWhileRevalidate,
                "also where a soft timeout is"
            );
        }
    }
    assert_eq!(
        at(ALL[1], TTL + LONG - NANO, MOVABLE),
        Judgement::StaleWhileRevalidate,
        "longer than the other window"
    );
    assert_eq!(at(REVALIDATE, TTL + SHORT, MOVABLE), Judgement::Expired);
}

#[test]
fn a_body_that_is_not_movable_falls_through_to_the_rows_below() {
    assert_eq!(at(REVALIDATE, TTL, FIXED), Judgement::Expired);
    for freshness in ALL {
        assert_eq!(at(freshness, TTL, FIXED), Judgement::StaleIfError);
    }
    assert_eq!(
        at(ALL[1], TTL + SHORT, FIXED),
        Judgement::Expired,
        "past the shorter window of errors"
    );
}

#[test]
fn row_6_a_key_that_backs_off_is_not_asked_of_its_failing_source() {
    for freshness in [ON_ERROR, SOFT] {
        for age in [TTL, TTL + SHORT - NANO] {
            for movable in [true, false] {
                let now = Now {
                    movable,
                    ..BACKING_OFF
                };
                assert_eq!(at(freshness, age, now), Judgement::StaleInBackoff);
            }
        }
    }
    assert_eq!(
        at(ALL[0], TTL + SHORT, BACKING_OFF),
        Judgement::StaleInBackoff,
        "past the shorter window"
    );
}

#[test]
fn row_7_a_soft_timeout_bounds_the_wait_for_a_body_that_can_go_on() {
    for age in [TTL, TTL + SHORT - NANO] {
        assert_eq!(at(SOFT, age, MOVABLE), Judgement::StaleAfter(LIMIT));
        assert_eq!(at(SOFT, age, FIXED), Judgement::StaleIfError);
    }
    assert_eq!(
        at(ALL[0], TTL + SHORT, MOVABLE),
        Judgement::StaleAfter(LIMIT)
    );
}

#[test]
fn row_8_a_stale_value_serves_where_the_body_fails() {
    for age in [TTL, TTL + SHORT - NANO] {
        for now in [MOVABLE, FIXED] {
            assert_eq!(at(ON_ERROR, age, now), Judgement::StaleIfError);
        }
    }
}

#[test]
fn row_9_past_its_windows_a_value_is_no_answer() {
    for now in any() {
        for age in [TTL, TTL + NANO, Duration::MAX] {
            assert_eq!(at(PLAIN, age, now), Judgement::Expired);
        }
        for freshness in [REVALIDATE, ON_ERROR, SOFT] {
            for age in [TTL + SHORT, Duration::MAX] {
                assert_eq!(at(freshness, age, now), Judgement::Expired);
            }
        }
        for freshness in ALL {
            assert_eq!(at(freshness, TTL + LONG, now), Judgement::Expired);
        }
    }
}

#[test]
fn no_age_or_window_overflows() {
    let endless = Freshness {
        stale_while_revalidate: Duration::MAX,
        stale_if_error: Duration::MAX,
        ..PLAIN
    };
    let entry = Aged {
        age: Duration::MAX,
        fresh_for: Duration::from_millis(u64::MAX),
        took: Duration::from_millis(u32::MAX.into()),
    };
    let judged = judge(endless, Some(entry), MOVABLE);
    assert_eq!(judged, Judgement::StaleWhileRevalidate);
    assert!(endless.answers(Some(entry)));
    for refresh_ahead in [RefreshAhead::XFetch, RefreshAhead::Fraction(0.99)] {
        let ahead = Freshness {
            refresh_ahead: Some(refresh_ahead),
            ..endless
        };
        let young = Aged {
            age: Duration::ZERO,
            ..entry
        };
        assert_eq!(judge(ahead, Some(young), drawn(LEAST)), Judgement::Fresh);
    }
}

#[test]
fn a_stamp_from_the_future_is_of_now() {
    let stamp = Stamp {
        stored_at: 5_000,
        fresh_for: TTL,
        took: LIMIT,
    };
    assert_eq!(stamp.aged(4_000).age, Duration::ZERO);
    assert_eq!(stamp.aged(5_001).age, Duration::from_millis(1));
    let Aged {
        fresh_for, took, ..
    } = stamp.aged(u64::MAX);
    assert_eq!((fresh_for, took), (TTL, LIMIT));
}

#[test]
fn a_stamp_of_another_clock_says_nothing_but_that_a_window_may_answer() {
    let aged = |fresh_for: Duration, ahead: u64| {
        let stamp = Stamp {
            stored_at: 50_000 + ahead,
            fresh_for,
            took: LIMIT,
        };
        stamp.aged(50_000)
    };
    // A tenth of the ttl, or a second.
    for (fresh_for, slack) in [(TTL, 10_000), (Duration::from_secs(5), 1_000)] {
        assert_eq!(aged(fresh_for, slack).age, Duration::ZERO);
        let unknown = aged(fresh_for, slack + 1);
        assert_eq!(unknown.age, fresh_for);
        assert!(!unknown.is_fresh());
    }
    assert!(!aged(TTL, u64::MAX - 50_000).is_fresh());
}

#[test]
fn an_entry_is_fresh_whatever_else_where_every_judgement_says_so() {
    let ages = [
        Duration::ZERO,
        TTL / 2 - NANO,
        TTL / 2,
        TTL.mul_f64(0.8) - NANO,
        TTL.mul_f64(0.8),
        TTL - NANO,
        TTL,
        TTL + SHORT,
    ];
    let mut counts = [0, 0];
    for freshness in ALL.into_iter().chain([PLAIN, AHEAD, XFETCH]) {
        for (age, took) in ages.into_iter().flat_map(|age| [(age, LIMIT), (age, NANO)]) {
            let entry = Aged { took, ..aged(age) };
            let nows = any().flat_map(|now| [LEAST, 1.0].map(|draw| Now { draw, ..now }));
            let always = nows
                .map(|now| judge(freshness, Some(entry), now))
                .all(|judgement| judgement == Judgement::Fresh);
            let ahead = freshness.refresh_ahead;
            let said = entry.is_fresh() && !ahead.is_some_and(|when| when.may_have_come(entry));
            // The draws are endless, and a longer body makes the rarest of them an answer.
            assert!(always || !said, "{freshness:?}, {entry:?}");
            if freshness.refresh_ahead != XFETCH.refresh_ahead {
                assert_eq!(said, always, "{freshness:?}, {entry:?}");
            }
            counts[usize::from(said)] += 1;
        }
    }
    assert!(counts[0] > 20 && counts[1] > 20, "{counts:?}");
}
