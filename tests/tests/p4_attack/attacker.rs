//! One of the four processes: readers that judge what they get, and writers that change the source.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_runtime::{Cache, sites};
use cache_tests::child;
use tokio::task::JoinSet;

use crate::evidence::{
    Failed, Figures, KEYS, PROCESSES, READERS, SHARED, Source, everything_entry, invalidate,
    plain_entry, read, revalidating_entry,
};
use crate::pause::{chance, idle, pause};

const TASKS_THAT_READ: usize = 12;
const TASKS_THAT_WRITE: usize = 3;
/// So that the last figures are never far from the truth.
const KEPT_EVERY: Duration = Duration::from_millis(50);

/// What the parent tells its children by their environment.
pub(crate) const REDIS: &str = "ATTACK_REDIS";
pub(crate) const SOURCE: &str = "ATTACK_SOURCE";
pub(crate) const SLOT: &str = "ATTACK_SLOT";
pub(crate) const SECONDS: &str = "ATTACK_SECONDS";

/// What a child prints when it has begun.
pub(crate) const BEGUN: &str = "the attack has begun";

/// A process' part in the attack.
#[derive(Clone)]
pub(crate) struct Attacker {
    cache: Cache,
    source: Source,
    figures: Arc<Mutex<Figures>>,
}

/// Attacks as a process of its own until it is killed; an orphan gives up by itself.
pub(crate) async fn attack() {
    let of = |name: &str| std::env::var(name).unwrap();
    let cache = Cache::builder().url(of(REDIS)).build().unwrap();
    let attacker = Attacker::new(cache, Source::connect(&of(SOURCE)).await);
    let slot: u64 = of(SLOT).parse().unwrap();
    let life = Duration::from_secs(of(SECONDS).parse().unwrap());
    let tasks = attacker.begin(slot..slot + 1);
    child::tell(BEGUN);
    attacker.fight(tasks, life).await;
}

impl Attacker {
    pub(crate) fn new(cache: Cache, source: Source) -> Self {
        Self {
            cache,
            source,
            figures: Arc::default(),
        }
    }

    /// Begins everything; the keys of `slots` are this process' to put.
    pub(crate) fn begin(&self, slots: Range<u64>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS_THAT_READ {
            tasks.spawn(self.clone().read());
        }
        for _ in 0..TASKS_THAT_WRITE {
            tasks.spawn(self.clone().change());
        }
        for slot in slots {
            assert!(slot < PROCESSES);
            tasks.spawn(self.clone().put(SHARED + slot));
        }
        tasks.spawn(self.clone().keep_figures());
        tasks
    }

    /// Lets them run, until one ends, which it does only by a panic.
    pub(crate) async fn fight(&self, mut tasks: JoinSet<()>, life: Duration) {
        if let Ok(Some(ended)) = tokio::time::timeout(life, tasks.join_next()).await {
            let what = format!("a task ended: {ended:?}");
            self.source.accuse(&what).await;
        }
        tasks.shutdown().await;
        // What runs behind the calls ends before the source does.
        self.cache.shutdown().await.unwrap();
    }

    fn count(&self, name: &str) {
        self.figures.lock().unwrap().count(name, 1);
    }

    async fn read(self) {
        loop {
            idle(3).await;
            let (reader, id) = (fastrand::u64(0..READERS), fastrand::u64(0..KEYS));
            let floor = self.source.floor(id).await;
            let got = read(&self.cache, &self.source, reader, id);
            let got = if chance(20) {
                // Callers who leave, in the middle of whatever they were about.
                let patience = Duration::from_micros(fastrand::u64(0..10_000));
                match tokio::time::timeout(patience, got).await {
                    Ok(got) => got,
                    Err(_) => {
                        self.count("reads given up");
                        continue;
                    }
                }
            } else {
                got.await
            };
            let (Ok(version) | Err(Failed { version })) = got;
            self.count("reads");
            if version < floor {
                let what =
                    format!("reader {reader} of key {id} got {got:?} after {floor} was final");
                self.source.accuse(&what).await;
                self.count("accusations");
            }
        }
    }

    /// Changes what everybody may change, and tells the cache.
    async fn change(self) {
        loop {
            idle(50).await;
            // Some are left alone for longer, so that their values get old.
            let id = fastrand::u64(0..if chance(8) { SHARED } else { SHARED / 2 });
            let seen = AtomicU64::new(0);
            let change = async {
                let version = self.source.change(id).await;
                seen.store(version, SeqCst);
                version
            };
            let (name, told) = if chance(2) {
                let invalidate = async {
                    change.await;
                    invalidate(&self.cache, id).await
                };
                ("invalidations", self.unless_dropped(invalidate).await)
            } else {
                let write = async {
                    pause().await;
                    let version = change.await;
                    pause().await;
                    if chance(6) {
                        Err(Failed { version })
                    } else {
                        Ok(version)
                    }
                };
                // The function whose entry it is decides on the stamp.
                let entry = match fastrand::u32(0..3) {
                    0 => plain_entry(self.cache.clone(), id),
                    1 => revalidating_entry(self.cache.clone(), id),
                    _ => everything_entry(self.cache.clone(), id),
                };
                let put = async { entry.put_with(write).await.1 };
                ("put_withs", self.unless_dropped(put).await)
            };
            match (seen.load(SeqCst), told) {
                // Dropped before the change was known.
                (0, _) => {}
                (version, Some(Ok(()))) => {
                    self.source.is_final(id, version).await;
                    self.count(name);
                }
                (version, Some(Err(_))) => {
                    self.source.is_final_here(id, version);
                    self.count(&format!("{name} that failed"));
                }
                (version, None) => {
                    self.source.is_final_here(id, version);
                    self.count(&format!("{name} given up"));
                }
            }
        }
    }

    async fn unless_dropped<T>(&self, told: impl Future<Output = T>) -> Option<T> {
        if !chance(10) {
            return Some(told.await);
        }
        let patience = Duration::from_micros(fastrand::u64(0..10_000));
        tokio::time::timeout(patience, told).await.ok()
    }

    /// Plain puts are not ordered among each other, so a key has one task in one process that does it.
    async fn put(self, id: u64) {
        loop {
            idle(500).await;
            let version = self.source.change(id).await;
            pause().await;
            let put = if chance(2) {
                plain_entry(self.cache.clone(), id).put(&version).await
            } else {
                everything_entry(self.cache.clone(), id).put(&version).await
            };
            if put.is_ok() {
                self.source.is_final(id, version).await;
                self.count("puts");
            } else {
                self.count("puts that failed");
            }
        }
    }

    async fn keep_figures(self) {
        let process = format!("{}", std::process::id());
        loop {
            tokio::time::sleep(KEPT_EVERY).await;
            let mut figures = self.figures.lock().unwrap().clone();
            let sites = sites();
            let sum = |of: fn(&cache_runtime::SiteStats) -> u64| {
                sites.iter().map(|site| of(&site.stats)).sum::<u64>()
            };
            figures.set("stale answers", sum(|stats| stats.stale));
            figures.set("hits", sum(|stats| stats.hits));
            figures.set("body runs", sum(|stats| stats.body_runs));
            figures.set("runs behind", sum(|stats| stats.background_runs));
            self.source.keep(&process, &figures).await;
        }
    }
}
