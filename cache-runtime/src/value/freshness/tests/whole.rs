//! The whole table, read from the top, against random entries.

use proptest::prelude::*;

use super::*;

/// The table once more: its rows from the top, the first that holds.
fn table_row(freshness: Freshness, entry: Option<Aged>, now: Now) -> u8 {
    let Some(Aged {
        age,
        fresh_for,
        took,
    }) = entry
    else {
        return 1;
    };
    let within = |window| age >= fresh_for && age < fresh_for.saturating_add(window);
    let revalidate = within(freshness.stale_while_revalidate);
    let on_error = within(freshness.stale_if_error);
    let moment = match freshness.refresh_ahead {
        None => false,
        Some(RefreshAhead::Fraction(share)) => age >= fresh_for.mul_f64(share),
        Some(RefreshAhead::XFetch) => {
            let weight = took.as_secs_f64() * -now.draw.ln();
            age >= fresh_for / 2 && weight >= fresh_for.saturating_sub(age).as_secs_f64()
        }
    };
    let rows = [
        (
            2,
            age < fresh_for && moment && !now.backs_off && now.movable,
        ),
        (3, age < fresh_for),
        (4, revalidate && now.backs_off),
        (5, revalidate && !now.backs_off && now.movable),
        (6, on_error && now.backs_off),
        (
            7,
            on_error && freshness.soft_timeout.is_some() && now.movable,
        ),
        (8, on_error),
        (9, true),
    ];
    let found = rows.iter().find(|(_, holds)| *holds);
    found.expect("the last row holds").0
}

fn windows() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0_u64..20).prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ]
}

prop_compose! {
    fn options()(
        stale_while_revalidate in windows(),
        stale_if_error in windows(),
        refresh_ahead in prop_oneof![
            Just(None),
            Just(Some(RefreshAhead::XFetch)),
            (0.01..0.99).prop_map(|share| Some(RefreshAhead::Fraction(share))),
        ],
        soft_timeout in prop::option::of(Just(LIMIT)),
    ) -> Freshness {
        Freshness { stale_while_revalidate, stale_if_error, refresh_ahead, soft_timeout, ..PLAIN }
    }
}

prop_compose! {
    fn entries()(
        age in 0_u64..60,
        fresh_for in 1_u64..40,
        took in 0_u64..10,
    ) -> Aged {
        let seconds = Duration::from_secs;
        Aged { age: seconds(age), fresh_for: seconds(fresh_for), took: seconds(took) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn every_cell_is_as_the_table_says(
        freshness in options(),
        entry in prop::option::of(entries()),
        backs_off: bool,
        movable: bool,
        draw in LEAST..=1.0,
    ) {
        let now = Now { backs_off, movable, draw };
        let row = table_row(freshness, entry, now);
        let expected = match row {
            1 | 3 => Judgement::Fresh,
            2 => Judgement::RefreshAhead,
            4 | 6 => Judgement::StaleInBackoff,
            5 => Judgement::StaleWhileRevalidate,
            7 => Judgement::StaleAfter(LIMIT),
            8 => Judgement::StaleIfError,
            _ => Judgement::Expired,
        };
        prop_assert_eq!(judge(freshness, entry, now), expected, "row {}", row);
        let movable_row = table_row(freshness, entry, MOVABLE);
        prop_assert_eq!(freshness.answers(entry), movable_row <= 5);
    }
}
