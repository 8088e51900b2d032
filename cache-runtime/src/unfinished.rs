//! Invalidations that could not reach Redis.
//!
//! The one rule: **this process does not read such a key before it has deleted it.** A background
//! task keeps trying until it succeeds: nobody knows when what is stored there expires, since other
//! releases and other programs may have written it. Bounded; other processes know nothing of it, and
//! it ends with this one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{
    cache::Inner,
    clock::Seldom,
    sharded::lock,
    store::{Store, redis::Urgency},
    token::Keys,
};

/// More are forgotten, the oldest first, with an error in the log once a minute.
const LIMIT: usize = 10_000;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Unfinished {
    /// So that a call which finds none needs no lock.
    count: AtomicUsize,
    state: Mutex<State>,
    /// To say that some are forgotten.
    loss: Seldom,
}

#[derive(Debug, Default)]
struct State {
    pending: HashMap<Arc<str>, Pending>,
    worker: Option<JoinHandle<()>>,
    closed: bool,
}

#[derive(Debug)]
struct Pending {
    keys: Keys,
    since: Instant,
}

impl Unfinished {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            state: Mutex::default(),
            loss: Seldom::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether `key` must be deleted before it is read.
    pub(crate) fn holds(&self, cache: &Arc<Inner>, key: &str) -> bool {
        if self.len() == 0 {
            return false;
        }
        self.update(|state| {
            // The runtime that the last worker lived on may have ended.
            state.hire(cache);
            state.pending.contains_key(key)
        })
    }

    /// Takes `key` off the list: it was deleted by an operation that began then.
    ///
    /// What failed since is about later values, which that operation may have come too early for.
    pub(crate) fn finish(&self, key: &str, began: Instant) {
        if self.len() == 0 {
            return;
        }
        self.update(|state| {
            if state
                .pending
                .get(key)
                .is_some_and(|pending| pending.since <= began)
            {
                state.pending.remove(key);
            }
        });
    }

    /// Remembers an invalidation of `keys`, and keeps trying.
    pub(crate) fn add(&self, cache: &Arc<Inner>, keys: &Keys) {
        let forgotten = self.update(|state| {
            let full = state.pending.len() >= LIMIT && !state.pending.contains_key(&keys.value);
            if full {
                state.forget_oldest();
            }
            let pending = Pending {
                keys: keys.clone(),
                since: Instant::now(),
            };
            state.pending.insert(Arc::clone(&keys.value), pending);
            state.hire(cache);
            full
        });
        // With no lock held: a subscriber may call a cached function.
        if forgotten && self.loss.is_due() {
            tracing::error!(
                limit = LIMIT,
                cause = "redis has confirmed none of them",
                "too many invalidations wait for redis; the oldest are forgotten, so their old values may be answered until they expire"
            );
        }
    }

    /// Gives up: the process ends, or its user shuts the cache down.
    pub(crate) fn close(&self) {
        self.update(|state| {
            state.closed = true;
            if let Some(worker) = state.worker.take() {
                worker.abort();
            }
        });
    }

    /// What is left to do; `None` dismisses the worker, so that the next [`add`](Self::add) hires one.
    pub(crate) fn due(&self) -> Option<Vec<Keys>> {
        self.update(|state| {
            if state.pending.is_empty() {
                state.worker = None;
                return None;
            }
            Some(
                state
                    .pending
                    .values()
                    .map(|pending| pending.keys.clone())
                    .collect(),
            )
        })
    }

    fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        self.count.store(state.pending.len(), Ordering::Release);
        result
    }
}

impl State {
    fn forget_oldest(&mut self) {
        let oldest = self.pending.values().min_by_key(|pending| pending.since);
        if let Some(oldest) = oldest.map(|oldest| Arc::clone(&oldest.keys.value)) {
            self.pending.remove(&oldest);
        }
    }

    /// Starts a worker on the present runtime, unless there is one.
    fn hire(&mut self, cache: &Arc<Inner>) {
        let working = self
            .worker
            .as_ref()
            .is_some_and(|worker| !worker.is_finished());
        if working || self.closed || self.pending.is_empty() {
            return;
        }
        let Store::Redis(redis) = &cache.store else {
            return;
        };
        // A runtime without timers would be no place for it.
        if redis.link().is_ok() {
            self.worker = Some(tokio::spawn(work(Arc::downgrade(cache))));
        }
    }
}

/// Tries until nothing is left, or nobody has the cache any more.
async fn work(cache: Weak<Inner>) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        let Some(cache) = cache.upgrade() else { return };
        let Store::Redis(redis) = &cache.store else {
            return;
        };
        let Some(due) = cache.unfinished.due() else {
            return;
        };
        pause = (pause * 2).min(LONGEST_PAUSE);
        for keys in due {
            let deadline = Instant::now() + cache.timeout;
            let deleted = cache.delete(redis, &keys, Urgency::Ordinary, deadline);
            let Err(error) = deleted.await else {
                pause = FIRST_PAUSE;
                continue;
            };
            tracing::debug!(%error, cause = error.cause(), "an invalidation still waits for redis");
            // What Redis refuses for one key says nothing about the next one.
            if error.is_timeout() || error.is_unavailable() || redis.connected() == 0 {
                break;
            }
        }
    }
}
