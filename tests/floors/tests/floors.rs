//! Imports point down the floors of `docs/ARCHITECTURE.md`, and no two modules of a folder need each other.
//!
//! The one rule: **an exception is a debt**: each names the two modules, and fails when it is paid.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;

use cache_floors::{Crate, Floors, imports, judge};

/// Modules of the runtime of which the first imports the second, though that runs back.
const RUNTIME: &[(&str, &str)] = &[];

/// The same of the macro.
const MACROS: &[(&str, &str)] = &[];

fn check(name: &str, exceptions: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().expect("the repository");
    let document = root.join("docs/ARCHITECTURE.md");
    let document =
        fs::read_to_string(document).expect("docs/ARCHITECTURE.md, which has the floors");
    let read = Crate::read(&root.join(name).join("src")).unwrap_or_else(|error| panic!("{error}"));
    let imports = imports(&read);
    let floors = Floors::in_document(&document, name);
    let report = judge(&read.top(), &imports, &floors, exceptions, &root);
    assert!(
        report.lines().is_empty(),
        "the floors of docs/ARCHITECTURE.md do not hold:\n{report}"
    );
}

#[test]
fn imports_of_the_runtime_point_down() {
    check("cache-runtime", RUNTIME);
}

#[test]
fn imports_of_the_macro_point_down() {
    check("cache-macros", MACROS);
}
