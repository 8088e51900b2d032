//! Contenders that take turns: A B C A B C …
//!
//! **What is compared is one round's figures**: the ratio of each contender to the first one in the same round,
//! and of these the median. A machine that is slow for a second slows a whole round.

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
            misses: 0,
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
        let mut first = None;
        for (entrant, standing) in entrants.iter().zip(&mut standings) {
            let asked = times_asked();
            let sample = (entrant.run)(load, settings.turn()).await;
            standing.misses += times_asked() - asked;
            let ratio = sample.per_call() / *first.get_or_insert(sample.per_call());
            let units = (ratio * RATIO_UNIT) as u64;
            standing
                .ratios
                .record(units)
                .expect("a histogram that grows");
            standing.all += &sample;
        }
    }
    standings
}
