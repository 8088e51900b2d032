//! The report: `results.md`, and `results.svg` in it.
//!
//! **It says all that one needs to doubt it**: the machine, the versions, and how to repeat it.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::machine::Machine;
use crate::picture;
use crate::section::Section;

const INTRODUCTION: &str = "\
# What a call costs

Written by `cargo run --release -p benches`, which starts a Redis server of its own and lets all contenders
take turns in one process. Only ratios within one run count; times differ from machine to machine.

![The main ratios as bars.](results.svg)
";

/// Writes both files into `directory`.
///
/// # Errors
///
/// Where they cannot be written.
pub(crate) fn write(directory: &Path, machine: &Machine, sections: &[Section]) -> io::Result<()> {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n| | |\n|---|---|\n");
    for (name, fact) in &machine.facts {
        writeln!(text, "| {name} | {fact} |").map_err(io::Error::other)?;
    }
    for section in sections {
        writeln!(text, "\n{section}").map_err(io::Error::other)?;
    }
    fs::write(directory.join("results.md"), text)?;
    let bars: Vec<_> = sections.iter().filter_map(|s| s.bars.as_ref()).collect();
    fs::write(directory.join("results.svg"), picture::draw(&bars))
}
