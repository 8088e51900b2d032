//! What counts as an import, and which of them run back, on crates of a few lines.
//!
//! The one rule: **each crate is written as files**, since files are what the check reads.
#![allow(missing_docs)]

use std::fs;

use cache_floors::{Crate, Floors, imports, judge};
use tempfile::TempDir;

/// What is said of a crate with these files, whose floors are `upper` and, below, `lower`.
fn said(files: &[(&str, &str)], exceptions: &[(&str, &str)]) -> Vec<String> {
    let directory = TempDir::new().expect("a directory");
    for (name, text) in [("upper.rs", ""), ("lower.rs", "")].iter().chain(files) {
        let file = directory.path().join(name);
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, text).expect("a file");
    }
    let lib = directory.path().join("lib.rs");
    if !lib.exists() {
        fs::write(lib, "mod lower; mod upper;").expect("a file");
    }
    let document = "Floors:\n\n```text floors=house\nlib\nupper  stands above\nlower  the ground\n```\n\nother\n";
    let floors = Floors::in_document(document, "house");
    let read = Crate::read(directory.path()).unwrap_or_else(|error| panic!("{error}"));
    let report = judge(
        &read.top(),
        &imports(&read),
        &floors,
        exceptions,
        directory.path(),
    );
    report.lines().to_vec()
}

/// Asserts that the one thing said of a crate with this `lower.rs` is where it runs back.
#[track_caller]
fn runs_back(lower: &str, place: &str) {
    let files = [
        (
            "upper.rs",
            "pub(crate) fn high() {}\npub(crate) struct High;",
        ),
        ("lower.rs", lower),
    ];
    let said = said(&files, &[]);
    let begin = format!("lower.rs:{place}: `lower` stands below `upper`");
    assert!(said.len() == 1 && said[0].starts_with(&begin), "{said:#?}");
}

#[test]
fn an_import_that_points_down_is_fine() {
    let files = [
        (
            "upper.rs",
            "use crate::lower::low;\nfn f() { low(); crate::lower::low(); super::lower::low() }",
        ),
        (
            "lower.rs",
            "use std::fmt;\npub(crate) fn low() { ::redis::cmd(\"PING\"); }",
        ),
    ];
    assert_eq!(said(&files, &[]), [""; 0]);
}

#[test]
fn a_use_that_runs_back_is_told_with_its_place_and_path() {
    let files = [
        ("upper.rs", "pub(crate) fn high() {}"),
        ("lower.rs", "use std::fmt;\n\nuse crate::upper::high;"),
    ];
    assert_eq!(
        said(&files, &[]),
        [
            "lower.rs:3 imports `crate::upper::high`: `lower` stands below `upper`, so it must not need it; move what \
             both need below them, or hand it in from above"
        ]
    );
}

#[test]
fn every_way_to_write_an_import_counts() {
    let named = "1 imports `crate::upper::high`";
    runs_back("use crate::upper::high;", named);
    runs_back("use crate::{upper::{high as low}};", named);
    runs_back("fn f() { crate::upper::high() }", named);
    runs_back("type F = Vec<crate::upper::high>;", named);
    runs_back("fn f(of: crate::upper::high) {}", named);
    runs_back("fn f() { println!(\"{}\", crate::upper::high()) }", named);
    runs_back("fn f() { use crate::upper::high; high() }", named);
    runs_back("pub(crate) use crate::upper::high;", named);
    runs_back("use super::upper::High;", "1 imports `super::upper::High`");
    runs_back("use crate::upper;", "1 imports `crate::upper`");
    runs_back("use crate::upper::*;", "1 imports `crate::upper`");
    runs_back(
        "mod child {\n use super::super::upper::High; }",
        "2 imports `super::super::upper::High`",
    );
    runs_back("fn f() { 0..crate::upper::high }", named);
    runs_back("fn f() { Low { low: 1, ..crate::upper::high } }", named);
    runs_back("fn f() { 0..=crate::upper::high }", named);
    runs_back("#[serde(with = \"crate::upper::high\")] struct Low;", named);
    runs_back(
        "struct Low { #[serde(with = \"crate::upper::high\")] low: u8 }",
        named,
    );
    // A module inside a function stands one deeper than its file.
    runs_back(
        "fn f() { mod child { use super::super::upper::High; } }",
        "1 imports `super::super::upper::High`",
    );
}

#[test]
fn what_a_comment_says_is_no_import() {
    let lower = "/// crate::upper::high\n#[doc = \"crate::upper::high\"] struct Low;";
    assert_eq!(said(&[("lower.rs", lower)], &[]), [""; 0]);
}

#[test]
fn what_would_hide_an_import_is_refused() {
    for (lib, lower, line) in [
        ("#[macro_use] mod upper; mod lower;", "", "lib.rs:1: "),
        (
            "extern crate self as me; mod lower; mod upper;",
            "",
            "lib.rs:1: ",
        ),
        (
            "mod lower; mod upper;",
            "include!(\"upper.rs\");",
            "lower.rs:1: ",
        ),
        (
            "mod lower; mod upper;",
            "\nfn f() { g(include!(\"upper.rs\")) }",
            "lower.rs:2: ",
        ),
    ] {
        let directory = TempDir::new().expect("a directory");
        for (name, text) in [("lib.rs", lib), ("lower.rs", lower), ("upper.rs", "")] {
            fs::write(directory.path().join(name), text).expect("a file");
        }
        let error = Crate::read(directory.path()).expect_err(lib).to_string();
        assert!(error.contains(line), "{error}");
    }
}

#[test]
fn names_that_one_use_brings_are_one_line_and_what_is_done_with_them_none() {
    runs_back(
        "use crate::upper::{High,\n high};\nfn f(of: High) { High::new(); high() }",
        "1 imports `crate::upper::High`, `crate::upper::high`",
    );
}

#[test]
fn a_re_export_is_followed_to_what_defines_it() {
    let files = [
        ("lib.rs", "mod lower; mod upper; pub use upper::High;"),
        ("upper.rs", "mod inner; pub use self::inner::High;"),
        ("upper/inner.rs", "pub struct High;"),
        ("lower.rs", "fn f(high: crate::High) {}"),
    ];
    let told = said(&files, &[]);
    assert!(
        told.len() == 1 && told[0].contains("`crate::High`: `lower` stands below `upper`,"),
        "{told:#?}"
    );
    // Through a door that stands lower, too.
    let files = [
        ("upper.rs", "use crate::lower::Low; fn f(low: Low) {}"),
        ("lower.rs", "pub(crate) use std::fmt::Error as Low;"),
    ];
    assert_eq!(said(&files, &[]), [""; 0]);
}

#[test]
fn what_the_root_itself_defines_stands_above_all() {
    let files = [
        ("lib.rs", "mod lower; mod upper; pub struct Root;"),
        ("lower.rs", "use crate::Root;"),
    ];
    let said = said(&files, &[]);
    assert!(
        said.len() == 1 && said[0].contains("`lower` stands below `lib`"),
        "{said:#?}"
    );
}

#[test]
fn tests_may_import_what_they_like() {
    let lower = "
        #[cfg(test)] use crate::upper::high;
        #[cfg(test)] mod tests { use crate::upper::high; }
        #[cfg(all(test, unix))] mod more;
        struct Low { #[cfg(test)] high: crate::upper::High, low: u8 }
        impl Low { #[cfg(test)] fn high(&self) -> u8 { crate::upper::high() } }
    ";
    assert_eq!(said(&[("lower.rs", lower)], &[]), [""; 0]);
    runs_back(
        "struct Low { #[cfg(test)] low: u8, high: crate::upper::High }",
        "1 imports `crate::upper::High`",
    );
    for condition in [
        "not(test)",
        "not(any(test, fuzzing))",
        "any(test, fuzzing)",
        "all(unix, not(test))",
        "feature = \"test\"",
        "feature = \"test-util\"",
    ] {
        runs_back(
            &format!("#[cfg({condition})] use crate::upper::High;"),
            "1 imports `crate::upper::High`",
        );
    }
    for condition in ["any(test)", "all(test, unix)", "not(not(test))"] {
        let lower = format!("#[cfg({condition})] use crate::upper::High;");
        assert_eq!(said(&[("lower.rs", &lower)], &[]), [""; 0]);
    }
}

#[test]
fn code_that_is_written_for_another_crate_is_no_import() {
    let lower = "
        fn f() { quote! { crate::upper::high() }; quote_spanned!(here=> crate::upper::high()); }
        #[macro_export] macro_rules! high { () => { $crate::upper::high() } }
    ";
    assert_eq!(said(&[("lower.rs", lower)], &[]), [""; 0]);
    runs_back(
        "macro_rules! high { () => { $crate::upper::high() } }",
        "1 imports `crate::upper::high`",
    );
}

#[test]
fn a_module_without_a_floor_and_a_floor_without_a_module_are_told() {
    let files = [("lib.rs", "mod lower; mod cellar;"), ("cellar.rs", "")];
    assert_eq!(
        said(&files, &[]),
        [
            "module `cellar` stands on no floor; write it into the list, above what it imports",
            "no module is called `upper`; remove it from the list",
        ]
    );
}

const CIRCLE: [(&str, &str); 4] = [
    ("lower.rs", "mod one; mod two; mod three; struct Low;"),
    (
        "lower/one.rs",
        "use super::{Low, two::Two};\nuse crate::lower::three::Three;",
    ),
    ("lower/two.rs", "use super::three::Three;"),
    ("lower/three.rs", "\nuse super::one::One;"),
];

#[test]
fn a_module_and_its_children_are_one_unit_whose_children_form_no_circle() {
    let files = [
        ("lower.rs", "mod one; mod two; use one::One; struct Low;"),
        ("lower/one.rs", "use super::{Low, two::Two};"),
        ("lower/two.rs", "use super::Low;"),
    ];
    assert_eq!(said(&files, &[]), [""; 0]);

    let said = said(&CIRCLE, &[]);
    let told = |place: &str, circle: &str| {
        said.iter()
            .any(|line| line.starts_with(place) && line.contains(circle))
    };
    assert!(
        told(
            "lower/three.rs:2 imports `super::one::One`, which closes a circle",
            ": lower::three -> lower::one -> lower::three; "
        ),
        "{said:#?}"
    );
    assert!(
        told(
            "lower/two.rs:1 ",
            ": lower::two -> lower::three -> lower::one -> lower::two; "
        ),
        "{said:#?}"
    );
    assert_eq!(said.len(), 4, "{said:#?}");
}

#[test]
fn an_exception_holds_for_its_two_modules_while_it_is_needed() {
    let back = [
        ("upper.rs", "pub(crate) fn high() {}"),
        ("lower.rs", "use crate::upper::high;"),
    ];
    assert_eq!(said(&back, &[("lower", "upper")]), [""; 0]);
    assert_eq!(said(&CIRCLE, &[("lower::three", "lower::one")]), [""; 0]);

    let unneeded = |from: &str, to: &str| {
        format!("`{from}` imports nothing of `{to}` that runs back; remove the exception")
    };
    assert_eq!(
        said(&[], &[("lower", "upper")]),
        [unneeded("lower", "upper")]
    );
    // Without the first of them the second closes no circle.
    let more = [
        ("lower::three", "lower::one"),
        ("lower::two", "lower::three"),
    ];
    assert_eq!(
        said(&CIRCLE, &more),
        [unneeded("lower::two", "lower::three")]
    );
}
