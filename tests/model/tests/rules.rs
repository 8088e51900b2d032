//! Each rule of the protocol, left out alone: the search must find what it is there for.
//!
//! `cargo test -p protocol-model --test rules -- --nocapture` shows the shortest way to each.

#![allow(clippy::print_stdout)] // the ways

use protocol_model::{
    Acquire, AtFirst, Change, Lead, OldValues,
    Property::{
        self, NobodyStoresAgain, NobodyWaitsForEver, NothingTooOld, OneBodyAnywhere,
        OneBodyAtATime, WarmKeysKeepNobody,
    },
    Rule, Setup, Store, explore, shortest,
};

/// Two callers, two processes, an invalidation.
const REDIS: Setup = Setup {
    callers: 2,
    ..Setup::small()
};
const ONE_PROCESS: Setup = Setup {
    processes: 1,
    ..REDIS
};
const IN_PROCESS: Setup = Setup {
    callers: 2,
    ..Setup::in_process()
};

/// ACQUIRE is a script, and follows an own miss; it is a caller's read; it is two commands; it is both.
const FORMS: [(Lead, Acquire); 4] = [
    (Lead::AfterItsMiss, Acquire::Script),
    (Lead::AtOnce, Acquire::Script),
    (Lead::AfterItsMiss, Acquire::TwoCommands),
    (Lead::AtOnce, Acquire::TwoCommands),
];

/// With the rule `property` holds; without it, it breaks in this many steps.
#[track_caller]
fn breaks(rule: Rule, setup: Setup, property: Property, steps: usize) {
    let held = explore(&setup, &[property], 2);
    assert!(held.violations.is_empty(), "{:#?}", held.violations);
    breaks_without(rule, setup, property, steps);
}

/// As [`breaks`], in each of the [`FORMS`]; but `property` is tried with the rule in the first of them alone,
/// because the small sizes try it in all.
#[track_caller]
fn breaks_in_each_form(rule: Rule, setup: &Setup, property: Property, steps: [usize; 4]) {
    let held = explore(setup, &[property], 2);
    assert!(held.violations.is_empty(), "{:#?}", held.violations);
    for ((lead, acquire), steps) in FORMS.into_iter().zip(steps) {
        let setup = Setup {
            lead,
            acquire,
            ..setup.clone()
        };
        breaks_without(rule, setup, property, steps);
    }
}

#[track_caller]
fn breaks_without(rule: Rule, setup: Setup, property: Property, steps: usize) {
    let without = Setup {
        without: Some(rule),
        ..setup
    };
    let report = shortest(&without, property);
    let form = format!("{:?}, {:?}", without.lead, without.acquire);
    let [violation] = &*report.violations else {
        panic!("{form}: without {rule:?} {}, too", property.words());
    };
    let way = violation.steps.join("\n    ");
    let words = property.words();
    println!("{form}: without {rule:?}, not so: {words}\n    {way}");
    assert_eq!(violation.steps.len(), steps, "{form}: {way}");
}

/// Nothing is found without the rule, at this size.
#[track_caller]
fn holds_without(rule: Rule, setup: Setup) {
    let without = Setup {
        without: Some(rule),
        ..setup
    };
    let report = explore(&without, Property::ALL, 2);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn rule_1_a_gets_answer_belongs_to_those_who_came_before_it_was_sent() {
    let setup = Setup {
        callers: 3,
        ..ONE_PROCESS
    };
    breaks_in_each_form(Rule::OwnRead, &setup, NothingTooOld, [8, 9, 8, 9]);
}

/// Where ACQUIRE follows an own miss, it finds only what was stored since; where it is the read, any value.
#[test]
fn rule_1_what_acquire_finds_goes_to_those_who_joined_before_it_was_sent() {
    let setup = Setup {
        callers: 3,
        ..REDIS
    };
    breaks_in_each_form(Rule::OwnAcquire, &setup, NothingTooOld, [19, 10, 21, 11]);
}

/// It keeps nobody from an old value, as the other rules do that without it; it keeps those whose
/// value is there from waiting for somebody who refreshes it.
#[test]
fn rule_2_callers_join_a_flight_only_after_their_own_miss() {
    let warm = Setup {
        changes: &[],
        old_values: OldValues::WhileRevalidate,
        at_first: &[AtFirst::Old],
        ..ONE_PROCESS
    };
    breaks(Rule::OwnMiss, warm, WarmKeysKeepNobody, 4);
    let unchanged = Setup {
        callers: 3,
        changes: &[],
        ..REDIS
    };
    breaks_in_each_form(Rule::OwnMiss, &unchanged, WarmKeysKeepNobody, [8, 2, 9, 2]);
    holds_without(Rule::OwnMiss, Setup::small());
    let faults = 1;
    holds_without(Rule::OwnMiss, Setup { faults, ..REDIS });
    holds_without(
        Rule::OwnMiss,
        Setup {
            faults,
            ..IN_PROCESS
        },
    );
}

#[test]
fn rule_2_acquire_is_the_read_only_where_nobody_leads() {
    let at_once = Setup {
        changes: &[],
        lead: Lead::AtOnce,
        ..ONE_PROCESS
    };
    breaks(Rule::NobodyLeads, at_once.clone(), OneBodyAnywhere, 6);
    breaks(Rule::NobodyLeads, at_once.clone(), OneBodyAtATime, 6);
    let both = Setup {
        acquire: Acquire::TwoCommands,
        ..at_once
    };
    breaks(Rule::NobodyLeads, both, OneBodyAtATime, 8);
}

#[test]
fn rule_3_later_callers_have_an_outcome_only_with_the_proof() {
    breaks_in_each_form(Rule::Proof, &REDIS, NothingTooOld, [13, 11, 14, 12]);
}

#[test]
fn rule_4_the_attempt_closes_before_store_is_sent() {
    breaks_in_each_form(Rule::CloseFirst, &REDIS, NothingTooOld, [15, 13, 16, 14]);
}

/// Else they start another flight, and ask for the right to store before the value is stored; or those
/// who wait for the proof do not get it, and start over beside them.
#[test]
fn rule_4_whoever_comes_while_store_is_under_way_waits_in_the_same_flight() {
    let unchanged = Setup {
        changes: &[],
        ..ONE_PROCESS
    };
    breaks_in_each_form(Rule::OneFlight, &unchanged, OneBodyAnywhere, [11, 7, 13, 9]);
    let setup = Setup {
        callers: 3,
        faults: 2,
        ..unchanged
    };
    breaks_in_each_form(Rule::OneFlight, &setup, OneBodyAtATime, [13, 11, 14, 12]);
}

#[test]
fn rule_5_every_send_of_acquire_has_a_fresh_nonce() {
    let setup = Setup {
        faults: 1,
        at_first: &[AtFirst::Nothing],
        ..REDIS
    };
    breaks_in_each_form(Rule::FreshNonce, &setup, NothingTooOld, [16, 14, 17, 15]);
}

#[test]
fn rule_5_only_a_token_that_was_answered_before_the_body_began_is_used() {
    breaks_in_each_form(Rule::AnsweredToken, &REDIS, NothingTooOld, [13, 11, 13, 11]);
}

/// A token that the predecessor was given could be used: an invalidation would have taken it from
/// the heir, too. But nobody can tell it from one that was not given yet, which a late command brings.
#[test]
fn rule_6_a_takeover_acquires_anew() {
    let setup = Setup {
        callers: 3,
        faults: 1,
        at_first: &[AtFirst::Nothing],
        ..ONE_PROCESS
    };
    breaks_in_each_form(Rule::OwnNonce, &setup, NothingTooOld, [17, 15, 17, 16]);
    let at_first = Setup::small().at_first;
    holds_without(Rule::OwnToken, Setup { at_first, ..setup });
}

/// On Redis the deleted token does the same; in-process, being in the map is the token.
#[test]
fn rule_7_a_change_detaches_the_flight() {
    breaks(Rule::Detach, IN_PROCESS, NothingTooOld, 10);
    holds_without(Rule::Detach, Setup::small());
    for (lead, acquire) in FORMS {
        let setup = Setup {
            lead,
            acquire,
            ..REDIS
        };
        holds_without(Rule::Detach, setup);
    }
    holds_without(Rule::Detach, Setup { faults: 1, ..REDIS });
}

#[test]
fn rule_8_an_old_value_serves_only_those_who_came_before_its_get_was_sent() {
    let soft_timeout = Setup {
        old_values: OldValues::SoftTimeout,
        at_first: &[AtFirst::Old],
        ..REDIS
    };
    breaks(Rule::OwnStale, soft_timeout.clone(), NothingTooOld, 11);
    let if_error = Setup {
        old_values: OldValues::IfError,
        faults: 1,
        ..soft_timeout
    };
    breaks(Rule::OwnStale, if_error, NothingTooOld, 13);
}

#[test]
fn rule_9_put_is_two_steps() {
    let setup = Setup {
        callers: 1,
        changes: &[Change::Put, Change::Invalidate],
        faults: 1,
        ..ONE_PROCESS
    };
    breaks_in_each_form(Rule::TwoSteps, &setup, NothingTooOld, [10, 10, 10, 11]);
}

#[test]
fn rule_9_put_with_takes_its_token_before_the_source_is_written() {
    let setup = Setup {
        callers: 1,
        changes: &[Change::PutWith, Change::Invalidate],
        ..ONE_PROCESS
    };
    breaks_in_each_form(
        Rule::TokenBeforeWrite,
        &setup,
        NothingTooOld,
        [12, 12, 12, 13],
    );
    let in_process = Setup {
        store: Store::InProcess,
        ..setup
    };
    breaks(Rule::TokenBeforeWrite, in_process, NothingTooOld, 6);
}

#[test]
fn rule_10_in_process_value_and_flight_change_under_one_lock() {
    breaks(Rule::OneLock, IN_PROCESS, NothingTooOld, 14);
}

#[test]
fn an_invalidation_deletes_the_token_before_the_value() {
    breaks_in_each_form(Rule::TokenFirst, &REDIS, NothingTooOld, [14, 12, 15, 13]);
}

/// In the other order a value may be stored between the two, and ends the token that the second would have
/// shared: the body runs for a value that is there, and stores it again. Nobody sees an old value for that.
#[test]
fn acquire_as_two_commands_sets_the_token_before_it_looks() {
    let two_commands = Setup {
        changes: &[],
        acquire: Acquire::TwoCommands,
        ..REDIS
    };
    breaks(
        Rule::TokenBeforeLook,
        two_commands.clone(),
        NobodyStoresAgain,
        14,
    );
    let both = Setup {
        lead: Lead::AtOnce,
        ..two_commands
    };
    breaks(Rule::TokenBeforeLook, both.clone(), NobodyStoresAgain, 10);
    let changed = Setup {
        changes: &[Change::Invalidate],
        faults: 1,
        lead: Lead::Either,
        ..both
    };
    let without = Setup {
        without: Some(Rule::TokenBeforeLook),
        ..changed
    };
    let report = explore(
        &without,
        &[NothingTooOld, OneBodyAtATime, NobodyWaitsForEver],
        2,
    );
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

#[test]
fn who_does_not_get_the_lock_does_not_compute() {
    let setup = Setup {
        cluster: true,
        changes: &[],
        ..REDIS
    };
    breaks(Rule::LoserWaits, setup, OneBodyAnywhere, 10);
}

/// A killed holder's; and a dropped one's, which its heir in the same process waits for, too.
#[test]
fn a_lock_that_nobody_renews_expires() {
    let setup = Setup {
        cluster: true,
        changes: &[],
        faults: 1,
        ..REDIS
    };
    breaks(Rule::LockExpires, setup, NobodyWaitsForEver, 10);
}
