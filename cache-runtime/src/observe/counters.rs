//! The counters of one cache, and of the process.
//!
//! The one rule: **a count belongs to a function and a cache, never to a key**, so there are as many as there are
//! functions that a cache served, and two caches, or two tests, do not mix.
//!
//! What a cache has counted is added to the process's own counters when the cache ends, so that nothing of the sum over
//! all caches is ever lost. The process's own counters are also those of calls that have no cache.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    event::Event,
    misses::Misses,
    stats::SiteInfo,
    tally::{Sums, Tally},
};
use crate::{
    base::{sharded::lock, slab::Slab},
    site::{ListedSite, Site, listed},
};

/// The functions whose hits stand side by side: as many as fill a [`Stripe`].
const FUNCTIONS: usize = 16;

/// As many threads as this count without waiting for each other.
const STRIPES: usize = 8;

/// The counters of every function that a cache served.
#[derive(Debug)]
pub(crate) struct Counters {
    blocks: Slab<Block>,
}

/// The counters of some functions whose numbers follow each other.
#[derive(Debug)]
struct Block {
    /// One stripe for each group of threads, because a counter to which all threads wrote would cost a hit in process more
    /// than everything else.
    hits: [Stripe; STRIPES],
    /// Most functions of a block may be other caches'.
    tallies: [OnceLock<Box<Tally>>; FUNCTIONS],
    misses: [Misses; FUNCTIONS],
}

/// The counters of one function, found.
#[derive(Debug, Clone, Copy)]
pub(super) struct SiteCounters<'a> {
    block: &'a Block,
    function: usize,
}

/// The hits that some threads counted, alone in what processors hand around: a cache line, or a pair of them.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe([AtomicU64; FUNCTIONS]);

impl Block {
    fn new() -> Self {
        Self {
            hits: [const { Stripe([const { AtomicU64::new(0) }; FUNCTIONS]) }; STRIPES],
            tallies: [const { OnceLock::new() }; FUNCTIONS],
            misses: [const { Misses::new() }; FUNCTIONS],
        }
    }

    #[inline(always)]
    fn hit(&self, function: usize) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            /// `STRIPES` until the thread has one.
            static OWN: Cell<usize> = const { Cell::new(STRIPES) };
        }
        let stripe = match self.hits.get(OWN.get()) {
            Some(own) => own,
            None => {
                OWN.set(THREADS.fetch_add(1, Relaxed) % STRIPES);
                &self.hits[OWN.get()]
            }
        };
        stripe.0[function].fetch_add(1, Relaxed);
    }

    #[inline]
    fn tally(&self, function: usize) -> &Tally {
        self.tallies[function].get_or_init(|| Box::new(Tally::new()))
    }

    /// `None` if nothing ever happened.
    fn sums(&self, function: usize) -> Option<Sums> {
        let of_stripe = |stripe: &Stripe| stripe.0[function].load(Relaxed);
        let hits = self.hits.iter().map(of_stripe).sum();
        match self.tallies[function].get() {
            Some(tally) => Some(tally.sums(hits)),
            None if hits == 0 => None,
            None => Some(Sums::of_hits(hits)),
        }
    }

    /// Adds what another block of the same functions has counted.
    fn add_all(&self, other: &Self) {
        for function in 0..FUNCTIONS {
            if let Some(sums) = other.sums(function) {
                self.hits[0].0[function].fetch_add(sums.hits, Relaxed);
                self.tally(function).add_all(&sums);
            }
        }
    }
}

impl Counters {
    pub(super) const fn new() -> Self {
        Self {
            blocks: Slab::new(),
        }
    }

    /// The counters of a function.
    #[inline(always)]
    pub(super) fn of_site(&self, site: &Site) -> SiteCounters<'_> {
        let (block, function) = place(site);
        SiteCounters {
            block: self.blocks.get_or_make(block, Block::new),
            function,
        }
    }

    /// What was counted of a function; `None` if nothing ever happened to it here.
    fn sums(&self, site: &Site) -> Option<Sums> {
        let (block, function) = place(site);
        self.blocks.get(block)?.sums(function)
    }

    fn add_all(&self, other: &Self) {
        for (number, block) in other.blocks.iter() {
            self.blocks.get_or_make(number, Block::new).add_all(block);
        }
    }
}

impl<'a> SiteCounters<'a> {
    /// Counts what happened to a call of the function.
    #[inline(always)]
    pub(super) fn hear(self, event: &Event<'_>) {
        let Self { block, function } = self;
        match event {
            Event::Hit(_) => block.hit(function),
            other => block.tally(function).hear(other),
        }
    }

    /// The function's row of misses.
    #[inline]
    pub(super) fn misses(self) -> &'a Misses {
        &self.block.misses[self.function]
    }
}

/// The block of a function, and its place in that.
#[inline]
fn place(site: &Site) -> (u32, usize) {
    const LENGTH: u32 = FUNCTIONS as u32;
    let number = site.number();
    (number / LENGTH, (number % LENGTH) as usize)
}

/// The process's own counters: of calls that have no cache, and of caches that have ended.
static OWN: Counters = Counters::new();

/// The counters of every cache that lives.
static LIVING: Mutex<Vec<Arc<Counters>>> = Mutex::new(Vec::new());

/// The counters of one cache, which the process takes over when the cache ends.
#[derive(Debug)]
pub(crate) struct CacheCounters(Arc<Counters>);

impl CacheCounters {
    pub(crate) fn new() -> Self {
        let counters = Arc::new(Counters::new());
        lock(&LIVING).push(Arc::clone(&counters));
        Self(counters)
    }

    /// The counters of this cache; those of the process where there is no cache.
    #[inline]
    pub(super) fn of(cache: Option<&Self>) -> &Counters {
        cache.map_or(&OWN, |cache| &cache.0)
    }

    /// Lists the functions that the cache served, with what was counted in it.
    pub(crate) fn sites(&self) -> Vec<SiteInfo> {
        let served = |site: ListedSite| {
            let sums = self.0.sums(site.site)?;
            Some(info(site, &sums))
        };
        listed().into_iter().filter_map(served).collect()
    }
}

impl Drop for CacheCounters {
    fn drop(&mut self) {
        // Under the lock, so that nobody finds the counts in both places, or in neither.
        let mut living = lock(&LIVING);
        living.retain(|counters| !Arc::ptr_eq(counters, &self.0));
        OWN.add_all(&self.0);
    }
}

/// Lists every annotated function that was called in this process so far, with its counters, summed up over all caches
/// that there are and were. [`Cache::stats`](crate::Cache::stats) has those of one cache.
#[must_use]
pub fn sites() -> Vec<SiteInfo> {
    let listed = listed();
    let living = lock(&LIVING);
    let sum = |site: ListedSite| {
        let sums = in_all(&living, site.site);
        info(site, &sums)
    };
    listed.into_iter().map(sum).collect()
}

/// The counts of a function in the caches that live, and in those that have ended. `living`: locked, so that no cache ends
/// meanwhile.
fn in_all(living: &[Arc<Counters>], site: &Site) -> Sums {
    let all = [&OWN]
        .into_iter()
        .chain(living.iter().map(|counters| &**counters));
    all.filter_map(|counters| counters.sums(site))
        .fold(Sums::default(), Sums::plus)
}

fn info(site: ListedSite, sums: &Sums) -> SiteInfo {
    let ListedSite {
        site: _,
        function,
        namespace,
        shares,
        ttl,
        file,
        line,
    } = site;
    SiteInfo {
        function,
        namespace,
        shares,
        ttl,
        file,
        line,
        stats: sums.stats(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Barrier, thread, time::Duration};

    use super::*;
    use crate::{
        error::{Error, ErrorKind},
        observe::{
            Scene,
            event::{BodyEnd, Refusal, Served, Tier},
            stats::{Errors, SiteStats},
        },
    };

    const HIT: Event<'_> = Event::Hit(Served {
        tier: Tier::Process,
        age_of_ttl: None,
        left: None,
    });

    /// A function of its own, as its expansion has it.
    fn function() -> &'static Site {
        Box::leak(Box::new(Site::new("function", &())))
    }

    fn of(cache: &CacheCounters, site: &Site) -> SiteStats {
        cache.0.sums(site).unwrap_or_default().stats()
    }

    /// As [`sites`] sums up, but also of functions that are not listed.
    fn of_all(site: &Site) -> SiteStats {
        in_all(&lock(&LIVING), site).stats()
    }

    #[test]
    fn two_caches_count_one_function_apart_and_the_process_both() {
        let (site, error) = (function(), Error::new(ErrorKind::Timeout, "late"));
        let (here, there) = (CacheCounters::new(), CacheCounters::new());
        for _ in 0..3 {
            Scene::new(site, Some(&here)).tell(&HIT);
        }
        Scene::new(site, Some(&there)).tell(&HIT);
        Scene::new(site, Some(&there)).tell(&Event::Error(&error));
        Scene::new(site, None).tell(&Event::Bypass);
        assert_eq!(
            (of(&here, site).hits, of(&here, site).errors.total()),
            (3, 0)
        );
        assert_eq!((of(&there, site).hits, of(&there, site).bypassed), (1, 0));
        let before = of_all(site);
        assert_eq!((before.hits, before.bypassed), (4, 1));
        assert_eq!(before.errors.of(ErrorKind::Timeout), 1);
        drop(there);
        assert_eq!(of_all(site), before, "what a cache counted outlives it");
        drop(here);
        assert_eq!(of_all(site), before);
    }

    #[test]
    fn a_row_of_misses_is_one_functions_in_one_cache() {
        let (site, other) = (function(), function());
        let (here, there) = (CacheCounters::new(), CacheCounters::new());
        let likely = |site, cache| Scene::new(site, Some(cache)).misses().is_one_likely();
        while !likely(site, &here) {
            Scene::new(site, Some(&here)).misses().missed();
        }
        assert!(!likely(other, &here) && !likely(site, &there));
    }

    #[test]
    fn each_event_adds_to_its_own_counts() {
        const TOOK: Duration = Duration::from_millis(7);
        let error = &Error::new(ErrorKind::Encode, "no JSON");
        let nothing = Sums::default().stats();
        let served = Served {
            tier: Tier::Redis,
            age_of_ttl: None,
            left: None,
        };
        let mut one_error = BTreeMap::new();
        one_error.insert(ErrorKind::Encode, 1);
        let errors = Errors::new(one_error);
        let began = |in_background| Event::BodyBegan { in_background };
        let ended = |end| Event::BodyEnded { took: TOOK, end };
        let failed = |is_callers| Event::NotInvalidated { error, is_callers };
        let table = [
            (
                Event::Hit(served),
                SiteStats {
                    hits: 1,
                    ..nothing.clone()
                },
            ),
            (
                Event::Stale(served),
                SiteStats {
                    stale: 1,
                    ..nothing.clone()
                },
            ),
            (
                Event::Miss,
                SiteStats {
                    misses: 1,
                    ..nothing.clone()
                },
            ),
            (
                Event::Coalesced,
                SiteStats {
                    misses: 1,
                    coalesced: 1,
                    ..nothing.clone()
                },
            ),
            (
                Event::Bypass,
                SiteStats {
                    bypassed: 1,
                    ..nothing.clone()
                },
            ),
            (
                Event::Overtook,
                SiteStats {
                    overtook: 1,
                    ..nothing.clone()
                },
            ),
            (
                began(false),
                SiteStats {
                    body_runs: 1,
                    ..nothing.clone()
                },
            ),
            (
                began(true),
                SiteStats {
                    body_runs: 1,
                    background_runs: 1,
                    ..nothing.clone()
                },
            ),
            (
                ended(BodyEnd::Finished),
                SiteStats {
                    time_in_body: TOOK,
                    ..nothing.clone()
                },
            ),
            (
                ended(BodyEnd::Dropped),
                SiteStats {
                    time_in_body: TOOK,
                    ..nothing.clone()
                },
            ),
            (
                Event::Left { in_store: TOOK },
                SiteStats {
                    time_in_store: TOOK,
                    ..nothing.clone()
                },
            ),
            (
                Event::Error(error),
                SiteStats {
                    errors: errors.clone(),
                    ..nothing.clone()
                },
            ),
            (
                Event::Refused(Refusal::Unsaid(error)),
                SiteStats {
                    errors: errors.clone(),
                    ..nothing.clone()
                },
            ),
            (
                Event::Refused(Refusal::TooLarge(error)),
                SiteStats {
                    errors: errors.clone(),
                    ..nothing.clone()
                },
            ),
            (
                failed(false),
                SiteStats {
                    errors,
                    ..nothing.clone()
                },
            ),
            (failed(true), nothing.clone()),
            (Event::Refused(Refusal::Revoked), nothing.clone()),
            (Event::Stored { fresh_for: TOOK }, nothing.clone()),
            (Event::Invalidated, nothing.clone()),
            (Event::Waiting(TOOK), nothing.clone()),
            (Event::OwnKey, nothing.clone()),
            (Event::GivenUp { limit: TOOK }, nothing.clone()),
            (Event::NotCloned, nothing.clone()),
            (Event::Lossy("rounded"), nothing.clone()),
            (Event::Unreadable(error), nothing.clone()),
            (
                Event::Distant {
                    took: TOOK,
                    timeout: TOOK,
                },
                nothing,
            ),
        ];
        for (event, expected) in table {
            let (site, cache) = (function(), CacheCounters::new());
            Scene::new(site, Some(&cache)).tell(&event);
            assert_eq!(of(&cache, site), expected, "{event:?}");
        }
    }

    #[test]
    fn many_functions_have_counts_of_their_own() {
        let sites: Vec<_> = (0..1_000).map(|_| function()).collect();
        let (here, there) = (CacheCounters::new(), CacheCounters::new());
        for (count, site) in sites.iter().enumerate() {
            for _ in 0..count % 7 {
                Scene::new(site, Some(&here)).tell(&HIT);
                Scene::new(site, Some(&there)).tell(&Event::Miss);
            }
        }
        for (count, site) in sites.iter().enumerate() {
            let count = count as u64 % 7;
            assert_eq!((of(&here, site).hits, of(&here, site).misses), (count, 0));
            assert_eq!((of(&there, site).hits, of(&there, site).misses), (0, count));
        }
    }

    #[test]
    fn what_threads_count_at_once_is_all_there() {
        const THREADS: u64 = 12;
        const EVENTS: u64 = 2_000;
        // More functions than stand side by side, each first seen by all threads at once.
        let sites: Vec<_> = (0..2 * FUNCTIONS).map(|_| function()).collect();
        let (cache, begin) = (CacheCounters::new(), Barrier::new(THREADS as usize));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for site in &sites {
                        begin.wait();
                        for _ in 0..EVENTS {
                            let scene = Scene::new(site, Some(&cache));
                            scene.tell(&HIT);
                            scene.tell(&Event::Miss);
                        }
                    }
                });
            }
        });
        for site in sites {
            let stats = of(&cache, site);
            assert_eq!(
                (stats.hits, stats.misses),
                (THREADS * EVENTS, THREADS * EVENTS)
            );
        }
    }

    #[test]
    fn a_cache_that_ends_while_others_sum_up_is_counted_once() {
        let site = function();
        let scene = |cache: &CacheCounters| Scene::new(site, Some(cache)).tell(&HIT);
        let kept = CacheCounters::new();
        scene(&kept);
        thread::scope(|scope| {
            let ends = scope.spawn(|| {
                for _ in 0..5_000 {
                    let cache = CacheCounters::new();
                    scene(&cache);
                }
            });
            let mut last = 0;
            while !ends.is_finished() {
                let hits = of_all(site).hits;
                assert!(hits >= last, "{hits} after {last}");
                last = hits;
            }
        });
        assert_eq!(of_all(site).hits, 5_001);
    }
}
