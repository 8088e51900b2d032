//! Contenders that take turns: A B C A B C …
//!
//! **What is compared is one round's figures**: the ratio of each contender to the first one in the same round,
//! and of these the median. A machine that is slow for a second slows a whole round.

use std::pin::Pin;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::contenders::Contender;
use crate::load::{Load, Sample, drive};
use crate::settings::Settings;
use crate::values::{Size, times_asked};

type Turn<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A contender whose type is forgotten, at the price of one allocation a turn.
pub(crate) struct Entrant {
    name: &'static str,
    fill: Box<dyn Fn(Load) -> Turn<()>>,
    run: Box<dyn Fn(Load, Duration) -> Turn<Sample>>,
}

impl Entrant {
    /// Enters a contender under its name in the tables.
    pub(crate) fn new<C: Contender>(name: &'static str, contender: C) -> Self {
        let filler = contender.clone();
        Self {
            name,
            fill: Box::new(move |load| {
                let contender = filler.clone();
                Box::pin(async move { fill(&contender, load).await })
            }),
            run: Box::new(move |load, time| {
                let contender = contender.clone();
                Box::pin(async move { drive(&contender, load, time).await })
            }),
        }
    }
}

/// Asks for every key once, so that all calls after it are hits.
async fn fill<C: Contender>(contender: &C, load: Load) {
    let first = load.size.first_id();
    for id in first..first + load.keys {
        match load.size {
            Size::B50 => drop(contender.price(id).await),
            _ => drop(contender.user(id).await),
        }
    }
}

/// What one contender's turns came to.
pub(crate) struct Standing {
    /// The contender's name.
    pub(crate) name: &'static str,
    /// All turns together.
    pub(crate) all: Sample,
    /// Each round's ratio to the first contender, times [`RATIO_UNIT`].
    ratios: Histogram<u64>,
}

/// Ratios are counted in whole units of this many to one.
const RATIO_UNIT: f64 = 10_000.0;

impl Standing {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            all: Sample::empty(),
            ratios: Histogram::new(4).expect("four digits are among the possible"),
        }
    }

    /// The median of the rounds' ratios to the first contender.
    pub(crate) fn ratio(&self) -> f64 {
        self.ratios.value_at_quantile(0.5) as f64 / RATIO_UNIT
    }

    /// The least and the greatest ratio of any round.
    pub(crate) fn spread(&self) -> (f64, f64) {
        let units = (self.ratios.min(), self.ratios.max());
        (units.0 as f64 / RATIO_UNIT, units.1 as f64 / RATIO_UNIT)
    }
}

/// Fills every contender's cache, warms up, and lets them take turns.
///
/// # Panics
///
/// Where a measured call was no hit.
pub(crate) async fn take_turns(
    settings: &Settings,
    entrants: &[Entrant],
    load: Load,
) -> Vec<Standing> {
    for entrant in entrants {
        (entrant.fill)(load).await;
        (entrant.run)(load, settings.turn()).await;
    }
    let asked = times_asked();
    let mut standings: Vec<_> = entrants.iter().map(|e| Standing::new(e.name)).collect();
    for _ in 0..settings.rounds() {
        let mut first = None;
        for (entrant, standing) in entrants.iter().zip(&mut standings) {
            let sample = (entrant.run)(load, settings.turn()).await;
            let ratio = sample.per_call() / *first.get_or_insert(sample.per_call());
            let units = (ratio * RATIO_UNIT) as u64;
            standing
                .ratios
                .record(units)
                .expect("a histogram that grows");
            standing.all += &sample;
        }
    }
    assert_eq!(times_asked(), asked, "every measured call is a hit");
    standings
}
