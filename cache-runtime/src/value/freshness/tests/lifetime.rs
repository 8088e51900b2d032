//! How long what is stored lives, and how chance shortens it.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn jitter_only_shortens_and_by_its_share_at_most(
        nanos in prop_oneof![0..=1_000_u64, 0..=u64::MAX],
        times in prop_oneof![Just(1_u32), 1..=u32::MAX],
        jitter in prop_oneof![Just(0.0), 0.0..1.0, Just(1.0)],
        draw in prop_oneof![Just(f64::MIN_POSITIVE), Just(LEAST), LEAST..=1.0, Just(1.0)],
    ) {
        let ttl = Duration::from_nanos(nanos).saturating_mul(times);
        let shortened = Freshness { jitter, ..PLAIN }.shorten(ttl, draw);
        prop_assert!(shortened <= ttl, "{shortened:?} of {ttl:?}");
        let least = ttl.min(LONGEST_TTL).as_secs_f64() * (1.0 - jitter);
        // What the arithmetic of `f64` loses.
        let lost = least * 1e-12 + 2e-9;
        prop_assert!(shortened.as_secs_f64() >= least - lost, "{shortened:?} of {ttl:?}");
    }
}

#[test]
fn jitter_takes_off_as_much_as_is_drawn() {
    let jitter = |jitter, draw| Freshness { jitter, ..PLAIN }.shorten(TTL, draw);
    assert_eq!(jitter(0.1, 1.0), Duration::from_secs(90));
    assert_eq!(jitter(0.1, 0.5), Duration::from_secs(95));
    assert_eq!(jitter(0.0, 1.0), TTL);
}

#[test]
fn what_is_stored_lives_for_its_ttl_and_the_longest_window() {
    let lives = |freshness: Freshness, ttl| {
        let lifetime = freshness.lifetime(ttl)?;
        Some((lifetime.fresh_for, lifetime.kept_for))
    };
    assert_eq!(lives(PLAIN, TTL), Some((TTL, TTL)));
    assert_eq!(lives(AHEAD, TTL), Some((TTL, TTL)));
    assert_eq!(lives(REVALIDATE, TTL), Some((TTL, TTL + SHORT)));
    assert_eq!(lives(ON_ERROR, TTL), Some((TTL, TTL + SHORT)));
    for freshness in ALL {
        assert_eq!(lives(freshness, TTL), Some((TTL, TTL + LONG)));
        assert_eq!(lives(freshness, Duration::ZERO), None, "nothing is stored");
    }
    let milli = Duration::from_millis(1);
    assert_eq!(
        lives(REVALIDATE, NANO),
        Some((milli, milli + SHORT)),
        "Redis counts no less"
    );
}

#[test]
fn nothing_lives_longer_than_redis_can_count() {
    for ttl in [LONGEST_TTL, Duration::MAX] {
        for window in [Duration::ZERO, SHORT, Duration::MAX] {
            let freshness = Freshness {
                stale_if_error: window,
                ..PLAIN
            };
            let Lifespan {
                fresh_for,
                kept_for,
            } = freshness.lifetime(ttl).unwrap();
            assert_eq!((fresh_for, kept_for), (LONGEST_TTL, LONGEST_TTL));
        }
    }
    let endless = Freshness {
        stale_while_revalidate: Duration::MAX,
        ..PLAIN
    };
    let lifetime = endless.lifetime(TTL).unwrap();
    assert_eq!((lifetime.fresh_for, lifetime.kept_for), (TTL, LONGEST_TTL));
}

#[test]
fn an_entry_is_stamped_where_its_reader_needs_its_age() {
    for (freshness, stamped, stale) in [
        (PLAIN, false, false),
        (AHEAD, true, false),
        (XFETCH, true, false),
        (REVALIDATE, true, true),
        (ON_ERROR, true, true),
    ] {
        assert_eq!(freshness.needs_stamp(), stamped, "{freshness:?}");
        assert_eq!(freshness.keeps_stale(), stale, "{freshness:?}");
    }
    let plain = Freshness {
        jitter: 0.1,
        cluster: true,
        ..PLAIN
    };
    assert!(!plain.needs_stamp());
}
