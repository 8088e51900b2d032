//! How much code cached functions add to a program.
//!
//! **What is compared is two programs of one way to cache**, with one function and with many, so that what all
//! functions share is in both.

use std::fs;

use super::build::{root, run, target};
use super::crates::{Crates, Way};
use crate::section::Section;
use crate::settings::Settings;

/// In the larger program.
const FUNCTIONS: usize = 30;
const FEW: usize = 5;

/// Builds programs, optimised and stripped, and compares their sizes.
///
/// # Panics
///
/// Where a program does not compile, or warns.
pub(crate) fn program_size(settings: &Settings) -> Section {
    let functions = if settings.quick { FEW } else { FUNCTIONS };
    let (one, many) = (sizes(1), sizes(functions));
    let each = |at: usize| many[at].saturating_sub(one[at]) as f64 / (functions - 1) as f64;
    let [by_hand, ..] = Way::ALL.map(Way::name);
    let row = |(at, way): (usize, Way)| {
        vec![
            way.name().to_owned(),
            format!("{:.2} MB", one[at] as f64 / 1e6),
            format!("{:.2} MB", many[at] as f64 / 1e6),
            format!("{:.1} KB", each(at) / 1e3),
            format!("{:.2}", each(at) / each(0)),
        ]
    };
    let header = [
        "".to_owned(),
        "one function".to_owned(),
        format!("{functions} functions"),
        "each more".to_owned(),
        format!("to {by_hand}"),
    ];
    Section {
        title: "What cached functions add to a program".to_owned(),
        reading: "Bytes of a program that is built with `--release` and stripped, with the functions that are compiled in \
                  the section before. *Each more* is what one function adds where another one is there already, its body \
                  and the code of its value's type included."
            .to_owned(),
        header: header.into(),
        rows: Way::ALL.into_iter().enumerate().map(row).collect(),
        bars: None,
    }
}

/// Of the program with so many functions, for each way.
fn sizes(functions: usize) -> [u64; Way::ALL.len()] {
    let root = root();
    let crates = Crates::write(&root, target(&root).join("macro-cost"), functions)
        .expect("a directory to write to");
    Way::ALL.map(|way| {
        run(&crates, way, &["build", "--release", "--bins"], false);
        let program = crates.directory.join("target/release").join(way.package());
        fs::metadata(program)
            .expect("a program that was built")
            .len()
    })
}
