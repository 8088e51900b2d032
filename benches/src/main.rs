//! What a call costs, beside other crates and beside redis-rs by hand: `cargo run --release -p benches`.
//!
//! **Only ratios within one run count**: all contenders take turns in this one process, on one server, so
//! whatever else the machine does slows them alike.
//!
//! A kind of work is an `async fn(&Settings) -> Section` and one line of [`WORKS`].
#![allow(clippy::print_stdout)] // what a benchmark is for

mod contenders;
mod load;
mod machine;
mod macro_cost;
mod picture;
mod report;
mod section;
mod settings;
mod turns;
mod values;
mod works;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Instant;

use clap::Parser;

use crate::machine::Machine;
use crate::section::Section;
use crate::settings::Settings;

/// One kind of work: its name after `--only`, and what measures it.
struct Work {
    name: &'static str,
    run: for<'a> fn(&'a Settings) -> Pin<Box<dyn Future<Output = Section> + 'a>>,
}

/// All kinds of work, in the order of the report.
const WORKS: &[Work] = &[
    Work {
        name: "redis-hits",
        run: |settings| Box::pin(works::redis_hits::run(settings)),
    },
    Work {
        name: "redis-sizes",
        run: |settings| Box::pin(works::redis_sizes::run(settings)),
    },
    Work {
        name: "memory-hits",
        run: |settings| Box::pin(works::memory_hits::run(settings)),
    },
    Work {
        name: "misses",
        run: |settings| Box::pin(works::misses::run(settings)),
    },
    Work {
        name: "zipf",
        run: |settings| Box::pin(works::zipf::run(settings)),
    },
    Work {
        name: "short-ttl",
        run: |settings| Box::pin(works::short_ttl::run(settings)),
    },
    Work {
        name: "stampede",
        run: |settings| Box::pin(works::stampede::run(settings)),
    },
    Work {
        name: "outage",
        run: |settings| Box::pin(works::outage::run(settings)),
    },
    Work {
        name: "rotation",
        run: |settings| Box::pin(works::rotation::run(settings)),
    },
    Work {
        name: "memory",
        run: |settings| Box::pin(works::memory::run(settings)),
    },
    Work {
        name: "allocations",
        run: |settings| Box::pin(works::allocations::run(settings)),
    },
    Work {
        name: "futures",
        run: |settings| Box::pin(async { macro_cost::futures(settings) }),
    },
    Work {
        name: "expansion",
        run: |settings| Box::pin(async { macro_cost::expansion(settings) }),
    },
    Work {
        name: "compile-time",
        run: |settings| Box::pin(async { macro_cost::compile_time(settings) }),
    },
    Work {
        name: "program-size",
        run: |settings| Box::pin(async { macro_cost::program_size(settings) }),
    },
];

/// What a call costs, beside other crates.
#[derive(Debug, Parser)]
struct Arguments {
    /// Short turns and few rounds: under a minute, and good for nothing but to see that it runs.
    #[arg(long)]
    quick: bool,
    /// Only this kind of work, printed and not written to `results.md`; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Fills this store with so many entries, and prints how many kilobytes the process grew by.
    #[arg(long, hide = true, num_args = 2, value_names = ["STORE", "ENTRIES"])]
    grow: Option<Vec<String>>,
}

impl Arguments {
    /// The works that were asked for, or what to type instead.
    fn works(&self) -> Result<Vec<&'static Work>, String> {
        let known = || WORKS.iter().map(|work| work.name).collect::<Vec<_>>();
        if let Some(name) = self
            .only
            .iter()
            .find(|name| !known().contains(&name.as_str()))
        {
            return Err(format!(
                "no work is named `{name}`; there are {}",
                known().join(", ")
            ));
        }
        let asked = |work: &&Work| self.only.is_empty() || self.only.iter().any(|n| n == work.name);
        Ok(WORKS.iter().filter(asked).collect())
    }
}

// Two workers, as a service on two cores has; what measures is a thread of its own.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    if let Some(grow) = &arguments.grow {
        println!(
            "{}",
            works::memory::growth(&grow[0], grow[1].parse()?).await
        );
        return Ok(());
    }
    let works = arguments.works()?;
    let settings = Settings::start(arguments.quick).await;
    let mut sections = Vec::new();
    for work in works {
        let start = Instant::now();
        let section = (work.run)(&settings).await;
        println!("{section}\n({} took {:.0?})\n", work.name, start.elapsed());
        sections.push(section);
    }
    if arguments.only.is_empty() && !arguments.quick {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        report::write(directory, &Machine::look()?, &sections)?;
        println!(
            "Written to {}/results.md and results.svg.",
            directory.display()
        );
    }
    Ok(())
}
