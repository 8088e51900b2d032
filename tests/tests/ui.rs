//! What a user reads after a mistake: one file and one `.stderr` for each message.

#[test]
fn every_mistake_has_its_message() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/*.rs");
}
