//! How long crates of cached functions take to compile.
//!
//! **What is compared is processor time**: a machine that does something else too gives fewer cores, and no other
//! count of seconds.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;
use std::{env, fs, io};

use super::crates::{Crates, Way};
use crate::section::Section;
use crate::settings::Settings;

/// The processor's clock ticks a second, as `/proc` counts them.
const TICKS: f64 = 100.0;

/// A way to compile.
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    arguments: &'static [&'static str],
    /// In each crate.
    functions: usize,
    rounds: usize,
    change: Change,
}

/// What has changed since the round before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing, but all of it is compiled again.
    Whole,
    /// The body of one function, and the compiler remembers the rest.
    OneBody,
}

const CHECK: Mode = Mode {
    name: "`cargo check` of 200",
    arguments: &["check", "--lib"],
    functions: 200,
    rounds: 5,
    change: Change::Whole,
};

/// Makes code, which takes ten times as long.
const BUILD: Mode = Mode {
    name: "`cargo build` of 20",
    arguments: &["build", "--lib"],
    functions: 20,
    rounds: 3,
    change: Change::Whole,
};

const RELEASE: Mode = Mode {
    name: "`cargo build --release` of 30",
    arguments: &["build", "--release", "--lib"],
    functions: 30,
    rounds: 3,
    change: Change::Whole,
};

const EDIT: Mode = Mode {
    name: "`cargo build` after an edit of one body of 30",
    arguments: &["build", "--lib"],
    functions: 30,
    rounds: 5,
    change: Change::OneBody,
};

const MODES: [Mode; 4] = [CHECK, BUILD, RELEASE, EDIT];

const QUICK: [Mode; 2] = [
    Mode {
        name: "`cargo check` of 20",
        functions: 20,
        rounds: 1,
        ..CHECK
    },
    Mode {
        name: "`cargo build` after an edit of one body of 13",
        functions: 13,
        rounds: 1,
        ..EDIT
    },
];

/// Compiles each contender's crate in turns, all of it every time, or what an edit leaves to do.
///
/// # Panics
///
/// Where a crate does not compile, or warns.
pub(crate) fn compile_time(settings: &Settings) -> Section {
    let modes: &[_] = if settings.quick { &QUICK } else { &MODES };
    let (root, mut rows) = (root(), Vec::new());
    for mode in modes {
        let directory = target(&root).join("macro-cost");
        let crates =
            Crates::write(&root, directory, mode.functions).expect("a directory to write to");
        rows.extend(turns(&crates, *mode));
    }
    let header = [
        "",
        "processor",
        "to by hand",
        "least–greatest",
        "beyond the bodies, each",
        "to `cached`",
    ];
    Section {
        title: "What cached functions cost at compile time".to_owned(),
        reading: "Each crate has the same functions: four shapes of return values, and methods; one in ten with \
                  `stale_while_revalidate`, which `cached` has not in Redis. `cargo check`, and `cargo build` with and without \
                  optimisation, of that crate alone: what it depends on is built before, and nothing is incremental, but for \
                  the edit of one body, after which the compiler remembers the rest. \
                  Seconds are the processor's; they and the ratios are medians over the rounds. *Beyond the bodies* is what \
                  one function costs, and after an edit all of it; the last column compares that. No crate has a warning."
            .to_owned(),
        header: header.map(str::to_owned).into(),
        rows,
        bars: None,
    }
}

/// The repository.
pub(super) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package stands in the repository")
        .to_owned()
}

pub(super) fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// A row for each way to cache.
fn turns(crates: &Crates, mode: Mode) -> Vec<Vec<String>> {
    for way in Way::ALL {
        compile(crates, way, mode);
    }
    let mut seconds = [(); Way::ALL.len()].map(|()| Vec::new());
    // After an edit that is not counted: the first one finds what the compiler remembers of a whole build.
    let uncounted = usize::from(mode.change == Change::OneBody);
    for round in 0..mode.rounds + uncounted {
        for (way, times) in Way::ALL.into_iter().zip(&mut seconds) {
            match mode.change {
                Change::Whole => touch(&crates.library(way)),
                Change::OneBody => crates.edit(way, round),
            }
            .expect("a file that was written");
            let before = processor_seconds();
            compile(crates, way, mode);
            if round >= uncounted {
                times.push(processor_seconds() - before);
            }
        }
    }
    let [by_hand, _, cached, bodies] = &seconds;
    let cached = each(cached, bodies, |cached, bodies| cached - bodies);
    let functions = match mode.change {
        Change::Whole => mode.functions,
        Change::OneBody => 1,
    };
    let row = |(way, times): (Way, &Vec<f64>)| {
        let ratios = each(times, by_hand, |mine, by_hand| mine / by_hand);
        let beyond = each(times, bodies, |mine, bodies| mine - bodies);
        vec![
            format!("{}, {}", mode.name, way.name()),
            format!("{:.2} s", median(times)),
            format!("{:.2}", median(&ratios)),
            format!("{:.2}–{:.2}", ratios[0], ratios[ratios.len() - 1]),
            format!("{:.1} ms", 1000.0 * median(&beyond) / functions as f64),
            format!("{:.2}", median(&beyond) / median(&cached)),
        ]
    };
    Way::ALL.into_iter().zip(&seconds).map(row).collect()
}

/// What `of` says of each round, in order.
fn each(mine: &[f64], other: &[f64], of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut values: Vec<_> = mine
        .iter()
        .zip(other)
        .map(|(mine, other)| of(*mine, *other))
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Compiles one crate, from what is on this machine.
fn compile(crates: &Crates, way: Way, mode: Mode) {
    run(crates, way, mode.arguments, mode.change == Change::OneBody);
}

/// Runs cargo for one crate.
///
/// # Panics
///
/// Where the crate does not compile, or warns.
pub(super) fn run(crates: &Crates, way: Way, arguments: &[&str], is_incremental: bool) {
    let output = cargo(crates)
        .env("CARGO_INCREMENTAL", if is_incremental { "1" } else { "0" })
        .args(arguments)
        .args(["--quiet", "--package", way.package()])
        .output()
        .expect("cargo starts");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && messages.is_empty(),
        "cargo {arguments:?} of the crate `{}`, {}:\n{messages}",
        way.package(),
        output.status
    );
}

/// A cargo that this run's own settings do not reach.
pub(super) fn cargo(crates: &Crates) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&crates.directory)
        .env("CARGO_TARGET_DIR", crates.directory.join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_INCREMENTAL", "0")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_PROFILE_DEV_DEBUG")
        .stdin(Stdio::null());
    cargo
}

fn touch(file: &Path) -> io::Result<()> {
    File::options()
        .append(true)
        .open(file)?
        .set_modified(SystemTime::now())
}

/// What the processes that this one started and waited for have used so far.
///
/// # Panics
///
/// Where there is no `/proc`.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("a system with /proc");
    // The second field is the program's name in parentheses; `cutime` and `cstime` are the 16th and the 17th.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    ticks / TICKS
}
