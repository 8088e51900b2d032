//! Everything that can happen, up to the small sizes.

use protocol_model::{Property, Setup, explore, has_circle, shortest, sizes};

#[test]
fn all_holds_up_to_the_small_sizes() {
    for (name, setup) in sizes::small() {
        for follow in [false, true] {
            let setup = Setup {
                follow,
                ..setup.clone()
            };
            let report = explore(&setup, Property::ALL, 2);
            let (states, took) = (report.states, report.took);
            println!("{name}: {states} states, {took:.1?}");
            assert!(report.violations.is_empty(), "{:#?}", report.violations);
        }
    }
}

/// So that "nobody waits while nothing can happen" means "everybody is answered".
#[test]
fn no_state_is_reached_twice() {
    let without_many_states = |setup: &Setup| Setup {
        callers: 2,
        faults: setup.faults.min(1),
        changes: &setup.changes[..setup.changes.len().min(1)],
        ..setup.clone()
    };
    for (name, setup) in sizes::small() {
        assert!(!has_circle(&without_many_states(&setup)), "{name}");
    }
}

/// What the properties speak of does happen.
#[test]
fn the_model_gets_everywhere() {
    for property in Property::REFUTED {
        let found = |(_, setup): &sizes::Named| {
            let report = shortest(setup, *property);
            !report.violations.is_empty()
        };
        assert!(sizes::small().iter().any(found), "{}", property.words());
    }
}
