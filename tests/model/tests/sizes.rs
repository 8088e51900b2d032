use protocol_model::*;
use protocol_model::Property::*;
fn all(name: &str, setup: Setup) {
    let report = explore(&setup, Property::ALL, 2);
    println!("{name}: states {} depth {} {:?}", report.states, report.depth, report.took);
    for violation in &report.violations {
        let short = shortest(&setup, violation.property);
        println!("!! {} {} steps", violation.property.words(), short.violations[0].steps.len());
        for step in &short.violations[0].steps { println!("   {step}"); }
    }
}
const S: Setup = Setup::small();
const M: Setup = Setup::in_process();
#[test]
fn a() {
    all("small", S);
    all("memory", Setup { faults: 2, changes: &[Change::Invalidate, Change::Put], ..M });
    all("put", Setup { changes: &[Change::Put], ..S });
    all("putwith", Setup { changes: &[Change::PutWith], ..S });
    all("cluster", Setup { cluster: true, changes: &[], ..S });
    all("cluster f1", Setup { cluster: true, changes: &[], faults: 1, ..S });
    all("cluster inv", Setup { cluster: true, callers: 2,faults: 1, ..S });
    all("swr", Setup { old_values: OldValues::WhileRevalidate, at_first: &[AtFirst::Old],  callers: 2, faults: 1,..S });
    all("swr3", Setup { old_values: OldValues::WhileRevalidate, at_first: &[AtFirst::Old],  callers: 3, ..S });
    all("sie", Setup { old_values: OldValues::IfError, at_first: &[AtFirst::Old],  callers: 2, faults: 1,..S });
    all("soft", Setup { old_values: OldValues::SoftTimeout, at_first: &[AtFirst::Old],  callers: 2, faults: 1,..S });
    all("small f1 ", Setup { faults: 1, ..S });
}
