//! What is counted of one function in one cache, beside its hits.
//!
//! The one rule: **what an event adds to is written here, and nowhere else.**

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    event::{Event, Refusal},
    stats::{Errors, SiteStats},
};
use crate::error::ErrorKind;

/// The place of each count.
#[derive(Debug, Clone, Copy)]
enum Count {
    Stale,
    Misses,
    Coalesced,
    Bypassed,
    BodyRuns,
    BackgroundRuns,
    Overtook,
    StoreNanos,
    BodyNanos,
}

/// The place of the first kind of error, behind the last count.
const ERRORS: usize = Count::BodyNanos as usize + 1;
const COUNTS: usize = ERRORS + ErrorKind::ALL.len();

/// The counts of one function in one cache, beside its hits.
#[derive(Debug)]
pub(super) struct Tally([AtomicU64; COUNTS]);

/// The same as numbers, with the hits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) hits: u64,
    others: [u64; COUNTS],
}

impl Tally {
    pub(super) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; COUNTS])
    }

    /// Adds what an event adds. A hit is counted where it costs less.
    #[inline(always)]
    pub(super) fn hear(&self, event: &Event<'_>) {
        match *event {
            Event::Stale(_) => self.add(Count::Stale, 1),
            Event::Miss => self.add(Count::Misses, 1),
            Event::Coalesced => {
                self.add(Count::Misses, 1);
                self.add(Count::Coalesced, 1);
            }
            Event::Bypass => self.add(Count::Bypassed, 1),
            Event::Overtook => self.add(Count::Overtook, 1),
            Event::BodyBegan { in_background } => {
                self.add(Count::BodyRuns, 1);
                if in_background {
                    self.add(Count::BackgroundRuns, 1);
                }
            }
            Event::BodyEnded { took, .. } => self.add(Count::BodyNanos, nanos(took)),
            Event::Left { in_store } => self.add(Count::StoreNanos, nanos(in_store)),
            Event::Error(error)
            | Event::Refused(Refusal::Unsaid(error) | Refusal::TooLarge(error))
            | Event::NotInvalidated {
                error,
                is_callers: false,
            } => self.add_error(error.kind()),
            // An error that its caller is told is its caller's to count.
            Event::NotInvalidated { .. } => {}
            Event::Hit(_)
            | Event::Waiting(_)
            | Event::OwnKey
            | Event::GivenUp { .. }
            | Event::NotCloned
            | Event::Stored { .. }
            | Event::Refused(Refusal::Revoked)
            | Event::Lossy(_)
            | Event::Unreadable(_)
            | Event::Distant { .. }
            | Event::Invalidated => {}
        }
    }

    fn add(&self, count: Count, more: u64) {
        self.0[count as usize].fetch_add(more, Relaxed);
    }

    fn add_error(&self, kind: ErrorKind) {
        self.0[ERRORS + kind.index()].fetch_add(1, Relaxed);
    }

    /// Adds what another one has counted.
    pub(super) fn add_all(&self, sums: &Sums) {
        for (count, more) in self.0.iter().zip(sums.others) {
            count.fetch_add(more, Relaxed);
        }
    }

    pub(super) fn sums(&self, hits: u64) -> Sums {
        Sums {
            hits,
            others: self.0.each_ref().map(|count| count.load(Relaxed)),
        }
    }
}

impl Sums {
    /// Those of a function that has no more than hits.
    pub(super) fn of_hits(hits: u64) -> Self {
        Self {
            hits,
            ..Self::default()
        }
    }

    pub(super) fn plus(self, more: Self) -> Self {
        Self {
            hits: self.hits + more.hits,
            others: std::array::from_fn(|count| self.others[count] + more.others[count]),
        }
    }

    /// What users see of it.
    pub(super) fn stats(&self) -> SiteStats {
        let of = |count: Count| self.others[count as usize];
        let errors: BTreeMap<_, _> = ErrorKind::ALL
            .into_iter()
            .map(|kind| (kind, self.others[ERRORS + kind.index()]))
            .filter(|(_, count)| *count > 0)
            .collect();
        SiteStats {
            hits: self.hits,
            stale: of(Count::Stale),
            misses: of(Count::Misses),
            coalesced: of(Count::Coalesced),
            bypassed: of(Count::Bypassed),
            body_runs: of(Count::BodyRuns),
            background_runs: of(Count::BackgroundRuns),
            overtook: of(Count::Overtook),
            errors: Errors::new(errors),
            time_in_store: Duration::from_nanos(of(Count::StoreNanos)),
            time_in_body: Duration::from_nanos(of(Count::BodyNanos)),
        }
    }
}

/// 584 years of nanoseconds fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
