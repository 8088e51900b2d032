//! Contenders that take turns: A B C A B C …
//!
//! **What is compared is one round's figures**: the ratio of each contender to the first one in the same round,
//! and of these the median. A machine that is slow for a second slows a whole round, and what one contender leaves
//! behind ends in the next one's lead-in, which is not counted.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hdrhistogram::Histogram;

use tokio::task::JoinSet;

use crate::contenders::Contender;
use crate::load::{Load, Sample, drive};
use crate::settings::Settings;
use crate::values::{Size, times_asked};

type Turn<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A contender whose type is forgotten, at the price of one allocation a turn.
pub(crate) struct Entrant {
    name: &'static str,
    fill: Box<dyn Fn(Size, u64) -> Turn<()>>,
    run: Box<dyn Fn(Load, Duration) -> Turn<Sample>>,
}

impl Entrant {
    /// Enters a contender under its name in the tables.
    pub(crate) fn new<C: Contender>(name: &'static str, contender: C) -> Self {
        let filler = contender.clone();
        Self {
            name,
            fill: Box::new(move |size, keys| Box::pin(fill_one(filler.clone(), size, keys))),
            run: Box::new(move |load, time| {
                let contender = contender.clone();
                Box::pin(async move { drive(&contender, load, time).await })
            }),
        }
    }
}

/// Lets every contender ask for every key once, so that all calls after it are hits.
pub(crate) async fn fill(entrants: &[Entrant], size: Size, keys: u64) {
    for entrant in entrants {
        (entrant.fill)(size, keys).await;
    }
}

/// How many keys are asked for at a time: some contenders give up what waits for too long.
const FILLED_AT_A_TIME: usize = 16;

async fn fill_one<C: Contender>(contender: C, size: Size, keys: u64) {
    let mut ids = size.first_id()..size.first_id() + keys;
    let mut asking = JoinSet::new();
    loop {
        for id in ids.by_ref().take(FILLED_AT_A_TIME) {
            let contender = contender.clone();
            asking.spawn(async move {
                match size {
                    Size::B50 => drop(contender.price(id).await),
                    _ => drop(contender.user(id).await),
                }
            });
        }
        if asking.is_empty() {
            return;
        }
        while let Some(asked) = asking.join_next().await {
            asked.expect("a call that ends");
        }
    }
}

/// What one contender's turns came to.
pub(crate) struct Standing {
    /// The contender's name.
    pub(crate) name: &'static str,
    /// All turns together.
    pub(crate) all: Sample,
    /// How often the source was asked meanwhile: never, unless the machine is so busy that time limits end.
    pub(crate) misses: u64,
    /// Each round's ratio of the time per call to the first contender's.
    pub(crate) ratios: Ratios,
    /// The same of the processor time.
    pub(crate) processor_ratios: Ratios,
}

impl Standing {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            all: Sample::empty(),
            misses: 0,
            ratios: Ratios::none(),
            processor_ratios: Ratios::none(),
        }
    }
}

/// Ratios to the first contender, one for each round.
pub(crate) struct Ratios(Histogram<u64>);

impl Ratios {
    /// A histogram counts whole numbers: so many are one.
    const UNIT: f64 = 10_000.0;

    fn none() -> Self {
        Self(Histogram::new(4).expect("four digits are among the possible"))
    }

    fn add(&mut self, ratio: f64) {
        let units = (ratio * Self::UNIT) as u64;
        self.0.record(units).expect("a histogram that grows");
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.value_at_quantile(0.5) as f64 / Self::UNIT
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.min() as f64 / Self::UNIT
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.max() as f64 / Self::UNIT
    }
}

/// Warms up, and lets all contenders take turns. Their caches are [`fill`]ed.
pub(crate) async fn take_turns(
    settings: &Settings,
    entrants: &[Entrant],
    load: Load,
) -> Vec<Standing> {
    for entrant in entrants {
        (entrant.run)(load, settings.turn()).await;
    }
    let mut standings: Vec<_> = entrants.iter().map(|e| Standing::new(e.name)).collect();
    for _ in 0..settings.rounds() {
        let mut first: Option<Sample> = None;
        for (entrant, standing) in entrants.iter().zip(&mut standings) {
            // Not counted: a processor that slept between the calls of a slow contender wakes up slowly for a
            // while, which would be its neighbour's to pay.
            (entrant.run)(load, settings.lead_in()).await;
            let asked = times_asked();
            let sample = (entrant.run)(load, settings.turn()).await;
            standing.misses += times_asked() - asked;
            standing.all += &sample;
            let first = first.get_or_insert_with(|| sample.clone());
            let time = sample.per_call() / first.per_call();
            let processor = sample.processor_per_call() / first.processor_per_call();
            standing.ratios.add(time);
            standing.processor_ratios.add(processor);
        }
    }
    standings
}
