//! Each rule of the protocol, taken out alone.

use protocol_model::{
    AtFirst, Change, OldValues, Property, Property::*, Report, Rule, Setup, shortest,
};

fn without(rule: Rule, setup: Setup, property: Property) -> Report {
    let with_rule = shortest(&setup, property);
    assert!(with_rule.violations.is_empty(), "{rule:?}: {with_rule:#?}");
    let report = shortest(&Setup { without: Some(rule), ..setup }, property);
    println!("{rule:?}: states {} (all {}) {:?}", report.states, with_rule.states, with_rule.took);
    for violation in &report.violations {
        println!("{} steps", violation.steps.len());
        for step in &violation.steps { println!("   {step}"); }
    }
    report
}
const S: Setup = Setup::small();
const M: Setup = Setup::in_process();

#[test] fn r1() { without(Rule::OwnRead, Setup { callers: 2, processes: 1, ..S }, NothingTooOld); }
#[test] fn r2() { without(Rule::OwnMiss, Setup { callers: 2, processes: 1, changes: &[], old_values: OldValues::WhileRevalidate, at_first: &[AtFirst::Old], ..S }, WarmKeysKeepNobody); }
#[test] fn r2p4() { without(Rule::OwnMiss, Setup { callers: 3, faults: 1, ..S }, NothingTooOld); }
#[test] fn r3() { without(Rule::Proof, Setup { callers: 2, ..S }, NothingTooOld); }
#[test] fn r4() { without(Rule::CloseFirst, Setup { callers: 2, ..S }, NothingTooOld); }
#[test] fn r5a() { without(Rule::FreshNonce, Setup { callers: 2, faults: 1, ..S }, NothingTooOld); }
#[test] fn r5b() { without(Rule::AnsweredToken, Setup { callers: 2, ..S }, NothingTooOld); }
#[test] fn r6() { without(Rule::AcquireAnew, Setup { callers: 3, faults: 1, ..S }, NothingTooOld); }
#[test] fn r7() { without(Rule::Detach, Setup { callers: 2, ..M }, NothingTooOld); }
#[test] fn r7redis() { without(Rule::Detach, Setup { callers: 3, faults: 1, ..S }, NothingTooOld); }
#[test] fn r8() { without(Rule::OwnStale, Setup { callers: 2, faults: 1, old_values: OldValues::IfError, at_first: &[AtFirst::Old], ..S }, NothingTooOld); }
#[test] fn r8soft() { without(Rule::OwnStale, Setup { callers: 2, old_values: OldValues::SoftTimeout, at_first: &[AtFirst::Old], ..S }, NothingTooOld); }
#[test] fn r9() { without(Rule::TwoSteps, Setup { callers: 1, processes: 1, faults: 1, changes: &[Change::Put, Change::Invalidate], ..S }, NothingTooOld); }
#[test] fn r9b() { without(Rule::TokenBeforeWrite, Setup { callers: 1, processes: 1, changes: &[Change::PutWith, Change::Invalidate], ..S }, NothingTooOld); }
#[test] fn r10() { without(Rule::OneLock, Setup { callers: 2, ..M }, NothingTooOld); }
#[test] fn r11() { without(Rule::TokenFirst, Setup { callers: 2, ..S }, NothingTooOld); }
