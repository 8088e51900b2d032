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
take turns in one process, on two threads. Each contender is set up as its own documentation says; the code is in
[`src/contenders`](src/contenders).

*ratio* is the median over the rounds of a contender's time per call, divided by that of the first contender in the
same round: less is faster. *least–most* are the ratios of single rounds. *a call* is the time that passed, divided by
the calls that ended in it; with many callers each of them waits longer, as *p50*, *p99* and *p99.9* say. *CPU* is the
processor time of this process, without the server's. Only ratios within one run count: times differ from machine to
machine. All talk to the server through loopback, where a round trip takes little, with Nagle's algorithm as redis-rs
has it by default. Where a time limit ended on a busy machine, the source was asked, and the contender's name says how often.
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
