//! Everything that can happen, up to the small sizes.

#![allow(clippy::print_stdout)] // the numbers of states

use protocol_model::{
    Acquire, AtFirst, Lead, OldValues, Property, Setup, explore, has_circle, shortest, sizes,
};

#[test]
fn all_holds_up_to_the_small_sizes() {
    for (name, setup) in sizes::small() {
        let report = explore(&setup, Property::ALL, 2);
        let (states, took) = (report.states, report.took);
        println!("{name}: {states} states, {took:.1?}");
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
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
    let small = Setup::small();
    let cluster = Setup {
        cluster: true,
        ..small.clone()
    };
    let soft_timeout = Setup {
        old_values: OldValues::SoftTimeout,
        at_first: &[AtFirst::Old],
        ..small.clone()
    };
    let script = Setup {
        changes: &[],
        lead: Lead::Either,
        ..small.clone()
    };
    let two_commands = Setup {
        acquire: Acquire::TwoCommands,
        ..script.clone()
    };
    happens(&small, Property::NoLateCaller);
    happens(&small, Property::NoRefusal);
    happens(&small, Property::NoGoodEnd);
    happens(&cluster, Property::NoLockHeld);
    happens(&soft_timeout, Property::NoOldValue);
    happens(&two_commands, Property::NoTokenLeft);
    let report = explore(&script, &[Property::NoTokenLeft], 2);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[track_caller]
fn happens(setup: &Setup, never: Property) {
    let report = shortest(setup, never);
    assert_eq!(report.violations.len(), 1, "{}", never.words());
}
