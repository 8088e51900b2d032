//! Invalidations that could not reach Redis.
//!
//! The one rule: **this process does not read such a key before it has deleted it.** A background
//! task keeps trying, until it succeeds or until all that was stored before has expired. Bounded;
//! other processes know nothing of it, and it ends with this one.

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
    sharded::lock,
    store::{Store, redis::Urgency},
    token::{self, Keys},
};

/// More are forgotten, the oldest first, with an error in the log.
const LIMIT: usize = 10_000;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Unfinished {
    /// So that a call which finds none needs no lock.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pending: HashMap<Arc<str>, Pending>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Pending {
    keys: Keys,
    since: Instant,
    /// When the last entry that it was about has expired; `None`: that is not known.
    until: Option<Instant>,
}

impl Unfinished {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether `key` must be deleted before it is read.
    pub(crate) fn holds(&self, key: &str) -> bool {
        if self.len() == 0 {
            return false;
        }
        let now = Instant::now();
        self.update(|state| {
            let Some(pending) = state.pending.get(key) else {
                return false;
            };
            let due = pending.until.is_none_or(|until| now < until);
            if !due {
                state.pending.remove(key);
            }
            due
        })
    }

    /// Takes `key` off the list: it was deleted.
    pub(crate) fn finish(&self, key: &str) {
        if self.len() > 0 {
            self.update(|state| state.pending.remove(key));
        }
    }

    /// Remembers an invalidation of `keys`, and keeps trying. `longest`: what an entry can live.
    pub(crate) fn add(&self, cache: &Arc<Inner>, keys: &Keys, longest: Option<Duration>) {
        let now = Instant::now();
        let pending = Pending {
            keys: keys.clone(),
            since: now,
            until: longest.and_then(|longest| now.checked_add(longest)),
        };
        self.update(|state| {
            if state.pending.len() >= LIMIT && !state.pending.contains_key(&keys.value) {
                let oldest = state.pending.values().min_by_key(|pending| pending.since);
                if let Some(oldest) = oldest.map(|pending| Arc::clone(&pending.keys.value)) {
                    tracing::error!(
                        key = &*oldest,
                        "too many invalidations wait for redis; this one is forgotten"
                    );
                    state.pending.remove(&oldest);
                }
            }
            state.pending.insert(Arc::clone(&keys.value), pending);
            let working = state
                .worker
                .as_ref()
                .is_some_and(|worker| !worker.is_finished());
            if !working && let Ok(runtime) = tokio::runtime::Handle::try_current() {
                state.worker = Some(runtime.spawn(work(Arc::downgrade(cache))));
            }
        });
    }

    /// Gives up: the process ends, or its user shuts the cache down.
    pub(crate) fn close(&self) {
        self.update(|state| {
            if let Some(worker) = state.worker.take() {
                worker.abort();
            }
        });
    }

    /// What is left to do; `None` dismisses the worker, so that the next [`add`](Self::add) hires one.
    pub(crate) fn due(&self) -> Option<Vec<Keys>> {
        let now = Instant::now();
        self.update(|state| {
            state
                .pending
                .retain(|_, pending| pending.until.is_none_or(|until| now < until));
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
            match token::invalidate(
                redis,
                &keys,
                Urgency::Ordinary,
                Instant::now() + cache.timeout,
            )
            .await
            {
                Ok(()) => {
                    cache.unfinished.finish(&keys.value);
                    pause = FIRST_PAUSE;
                }
                Err(error) => {
                    tracing::debug!(%error, "an invalidation still waits for redis");
                    break;
                }
            }
        }
    }
}
