//! What is told of a call: to its caller, and to those who count.
//!
//! The one rule: **nothing here changes what a call does.** A directive for a call is only carried, and its function's row of
//! misses only kept; the lookup obeys the one, and acts on the other.
//!
//! The path says once what happened, as an [`Event`], to a [`Scene`], from which each reader has it. What that means to a
//! reader stands in the reader:
//!
//! | reader | what it makes of an event |
//! |---|---|
//! | [`counters`] | what [`SiteStats`](stats::SiteStats) counts, for a function and a cache |
//! | [`control`] | what [`Outcome`](control::Outcome) says of the call |
//! | [`log`] | a line, of what does not happen as it should |

pub(crate) mod control;
pub(crate) mod counters;
pub(crate) mod event;
mod log;
mod misses;
pub(crate) mod stats;
mod tally;

use std::sync::Arc;

use self::{
    control::Control,
    counters::{CacheCounters, SiteCounters},
    event::Event,
    misses::Misses,
};
use crate::site::Site;

/// Where things happen: to calls of this function, in this cache. Its counters are found when it is made, so whoever has more
/// than one thing to say makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    site: &'a Site,
    counters: SiteCounters<'a>,
}

impl<'a> Scene<'a> {
    /// The calls of a function in the cache with these counters, if they have a cache.
    #[inline(always)]
    pub(crate) fn new(site: &'a Site, cache: Option<&'a CacheCounters>) -> Self {
        Self {
            site,
            counters: CacheCounters::of(cache).of_site(site),
        }
    }

    /// Says what happened, whichever call it happened to.
    #[inline(always)]
    pub(crate) fn tell(self, event: &Event<'_>) {
        self.counters.hear(event);
        log::hear(self.site, event);
    }

    /// Says what happened to a call. `key`: the call's; one that goes round the cache has none.
    #[inline(always)]
    pub(crate) fn tell_of(self, control: &mut Control, key: Option<&Arc<str>>, event: &Event<'_>) {
        self.tell(event);
        control.hear(event, key);
    }

    /// How many calls missed, one after another.
    #[inline]
    pub(crate) fn misses(self) -> &'a Misses {
        self.counters.misses()
    }
}
