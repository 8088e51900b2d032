//! What the tables of hits have in common.
//!
//! **One line is one contender under one load**, and the loads follow each other as they were measured.

use crate::load::Load;
use crate::section::Group;
use crate::settings::Settings;
use crate::turns::{Entrant, Standing, take_turns};

/// A load with its name in the tables.
pub(super) struct Named {
    /// Who calls, in words.
    pub(super) name: String,
    /// Who calls.
    pub(super) load: Load,
}

/// One load after the other, measured.
#[derive(Default)]
pub(super) struct Measured {
    /// The standings under each load.
    pub(super) loads: Vec<(String, Vec<Standing>)>,
}

impl Measured {
    /// Measures one more load.
    pub(super) async fn measure(&mut self, settings: &Settings, entrants: &[Entrant], load: Named) {
        let standings = take_turns(settings, entrants, load.load).await;
        self.loads.push((load.name, standings));
    }

    /// The table's lines, with the cells that `more` adds at the end.
    pub(super) fn rows(&self, more: impl Fn(&Standing) -> Vec<String>) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for (load, standings) in &self.loads {
            for standing in standings {
                let ratios = &standing.ratios;
                let mut row = vec![
                    load.clone(),
                    named(standing),
                    format!("{:.2}", ratios.median()),
                    format!("{:.2}–{:.2}", ratios.least(), ratios.most()),
                    time(standing.all.per_call()),
                    format!("{:.2}", standing.processor_ratios.median()),
                    time(standing.all.processor_per_call()),
                ];
                row.extend(more(standing));
                rows.push(row);
            }
        }
        rows
    }

    /// The ratios for the picture: all but the first contender's, which are 1.
    pub(super) fn groups(&self) -> Vec<Group> {
        let group = |(load, standings): &(String, Vec<Standing>)| Group {
            name: load.clone(),
            bars: standings
                .iter()
                .skip(1)
                .map(|s| (s.name.to_owned(), s.ratios.median()))
                .collect(),
        };
        self.loads.iter().map(group).collect()
    }
}

/// The contender, and what is to be held against its figures.
fn named(standing: &Standing) -> String {
    match standing.misses {
        0 => standing.name.to_owned(),
        misses => format!(
            "{}, {misses} of {} missed",
            standing.name, standing.all.calls
        ),
    }
}

/// How long calls waited, as three cells.
pub(super) fn percentiles(standing: &Standing) -> Vec<String> {
    let at = |quantile| time(standing.all.waits.value_at_quantile(quantile) as f64);
    vec![at(0.5), at(0.99), at(0.999)]
}

/// The columns' names, of which the first ones are always the same.
pub(super) fn header(more: &[&str]) -> Vec<String> {
    let first = [
        "load",
        "contender",
        "ratio",
        "least–most",
        "a call",
        "CPU ratio",
        "CPU a call",
    ];
    first
        .iter()
        .chain(more)
        .map(|&name| name.to_owned())
        .collect()
}

/// Nanoseconds, with three digits and a unit.
pub(super) fn time(nanoseconds: f64) -> String {
    let (figure, unit) = match nanoseconds {
        ..1e3 => (nanoseconds, "ns"),
        ..1e6 => (nanoseconds / 1e3, "µs"),
        _ => (nanoseconds / 1e6, "ms"),
    };
    let digits = match figure {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{figure:.digits$} {unit}")
}
