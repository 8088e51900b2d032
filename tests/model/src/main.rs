//! `cargo run --release -p protocol-model -- large`

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    thread,
};

use protocol_model::{Property, explore, sizes};

const USAGE: &str = "\
usage: cargo run --release -p protocol-model -- small|large [WORDS]

Tries all that can happen in the lookup and invalidation protocol, up to a size, and says whether
anybody ever sees a value from before a confirmed change, or waits for ever.

  small   what `cargo test -p protocol-model` searches too: seconds
  large   more callers, changes and faults: minutes
  WORDS   only the searches that have these words in their names
";

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let setups = match env::args().nth(1).as_deref() {
        Some("small") => sizes::small(),
        Some("large") => sizes::large(),
        _ => {
            write!(out, "{USAGE}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let words = env::args().nth(2).unwrap_or_default();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (mut states, mut seconds) = (0, 0.0);
    for (name, setup) in setups {
        if !name.contains(&words) {
            continue;
        }
        write!(out, "{name}: ")?;
        out.flush()?;
        let report = explore(&setup, Property::ALL, threads);
        let took = report.took.as_secs_f64();
        writeln!(
            out,
            "{} states, up to {} steps, {took:.1} s",
            report.states, report.depth
        )?;
        if let Some(violation) = report.violations.first() {
            writeln!(out, "not so: {}", violation.property.words())?;
            for step in &violation.steps {
                writeln!(out, "    {step}")?;
            }
            return Ok(ExitCode::FAILURE);
        }
        states += report.states;
        seconds += took;
    }
    writeln!(out, "all held in {states} states, {seconds:.0} s")?;
    Ok(ExitCode::SUCCESS)
}
