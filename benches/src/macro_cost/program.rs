//! How much code cached functions add to a program.
//!
//! **What is compared is two programs of one way to cache**, with few functions and with many, so that what functions
//! share is in both.

use std::fs;

use super::build::{root, run, target};
use super::crates::{Crates, Way};
use crate::section::Section;
use crate::settings::Settings;

/// In the smaller program: one of each kind at least, because a crate without one has code that nobody calls.
const FEW: usize = 10;
/// In the larger program, and in that of a quick run.
const MANY: usize = 30;
const SOME: usize = 20;

/// Builds programs, optimised and stripped, and compares their sizes.
///
/// # Panics
///
/// Where a program does not compile, or warns.
pub(crate) fn program_size(settings: &Settings) -> Section {
    let functions = if settings.quick { SOME } else { MANY };
    let (few, many) = (sizes(FEW), sizes(functions));
    let each = |at: usize| many[at].saturating_sub(few[at]) as f64 / (functions - FEW) as f64;
    let [by_hand, ..] = Way::ALL.map(Way::name);
    let row = |(at, way): (usize, Way)| {
        vec![
            way.name().to_owned(),
            format!("{:.2} MB", few[at] as f64 / 1e6),
            format!("{:.2} MB", many[at] as f64 / 1e6),
            format!("{:.1} KB", each(at) / 1e3),
            format!("{:.2}", each(at) / each(0)),
        ]
    };
    let header = [
        "".to_owned(),
        format!("{FEW} functions"),
        format!("{functions} functions"),
        "each more".to_owned(),
        format!("to {by_hand}"),
    ];
    Section {
        title: "What cached functions add to a program".to_owned(),
        reading: "Bytes of a program that is built with `--release` and stripped, with the functions that are compiled in \
                  the section before. *Each more* is what one function adds where others are there already, its body \
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
