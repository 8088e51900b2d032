//! Invalidations that could not reach Redis.
//!
//! The one rule: **this process does not read such a key before it has deleted it.** A background task keeps trying
//! until it succeeds, because nobody knows when the old value expires: another release or another program may have
//! written it. The list is bounded, other processes know nothing of it, and it ends with this process.

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
    base::{clock::Seldom, sharded::lock},
    error::Error,
    store::{Store, Urgency, redis::lease::LeaseKeys},
};

/// How many keys the list holds at most. Beyond that the oldest are forgotten, with an error in the log once a minute.
const LIMIT: usize = 10_000;
/// The worker's pauses between two rounds: doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The keys of one cache whose invalidation Redis has not confirmed.
#[derive(Debug)]
pub(crate) struct PendingInvalidations {
    store: Store,
    /// How long one attempt may take.
    timeout: Duration,
    /// The length of the list, beside its lock so that a call which finds none needs no lock.
    count: AtomicUsize,
    state: Mutex<State>,
    /// When the log was last told that keys are forgotten.
    loss: Seldom,
}

#[derive(Debug, Default)]
struct State {
    pending: HashMap<Arc<str>, Pending>,
    worker: Option<JoinHandle<()>>,
    closed: bool,
}

/// One invalidation.
#[derive(Debug)]
struct Pending {
    keys: LeaseKeys,
    since: Instant,
}

impl PendingInvalidations {
    pub(crate) fn new(store: Store, timeout: Duration) -> Self {
        Self {
            store,
            timeout,
            count: AtomicUsize::new(0),
            state: Mutex::default(),
            loss: Seldom::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether `key` must be deleted before it is read.
    pub(crate) fn holds(self: &Arc<Self>, key: &str) -> bool {
        if self.len() == 0 {
            return false;
        }
        self.update(|state| {
            // The last worker may have ended, with its runtime.
            self.ensure_worker(state);
            state.pending.contains_key(key)
        })
    }

    /// Deletes lease and value, and takes the key off the list if it is on it.
    ///
    /// # Errors
    ///
    /// If Redis does not confirm it before the deadline.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped may have deleted them or not; the key stays on the list then.
    pub(crate) async fn delete(
        &self,
        keys: &LeaseKeys,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(), Error> {
        let began = Instant::now();
        self.store.delete(keys, urgency, deadline).await?;
        self.finish(&keys.value, began);
        Ok(())
    }

    /// Tries each key of the list once, until one fails.
    ///
    /// # Errors
    ///
    /// Why the last attempt failed; the rest of the list was not tried then.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves on the list what was not confirmed.
    pub(crate) async fn try_once(&self) -> Result<(), Error> {
        for keys in self.due().unwrap_or_default() {
            let deadline = Instant::now() + self.timeout;
            self.delete(&keys, Urgency::Urgent, deadline).await?;
        }
        Ok(())
    }

    /// Takes `key` off the list, because an operation that `began` then has deleted it.
    ///
    /// An invalidation that was added after that stays, because the operation may have come too early for its value.
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

    /// Remembers an invalidation of `keys`, and keeps trying; nothing where values are kept in this process alone,
    /// because no invalidation fails there.
    pub(crate) fn add(self: &Arc<Self>, keys: &LeaseKeys) {
        if !self.store.is_shared() {
            return;
        }
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
            self.ensure_worker(state);
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

    /// Ends the worker for good.
    pub(crate) fn close(&self) {
        self.update(|state| {
            state.closed = true;
            if let Some(worker) = state.worker.take() {
                worker.abort();
            }
        });
    }

    /// The keys that are left to delete; `None` if there are none. The worker ends then, and the next [`add`](Self::add)
    /// starts another one.
    fn due(&self) -> Option<Vec<LeaseKeys>> {
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

    /// Starts a worker on the present runtime, unless there is one, or nothing for it to do.
    fn ensure_worker(self: &Arc<Self>, state: &mut State) {
        let works = |worker: &JoinHandle<()>| !worker.is_finished();
        if state.worker.as_ref().is_some_and(works) || state.closed || state.pending.is_empty() {
            return;
        }
        // The worker needs a runtime with timers, for its pauses.
        if self.store.is_reached_from_here() {
            state.worker = Some(tokio::spawn(work(Arc::downgrade(self))));
        }
    }

    /// Changes the state, and counts the list.
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
}

/// Deletes the keys of the list, round after round, until none is left or nobody has the cache any more.
async fn work(pending: Weak<PendingInvalidations>) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        // A weak reference during the pause, so that the worker keeps no cache alive.
        let Some(pending) = pending.upgrade() else {
            return;
        };
        let Some(due) = pending.due() else { return };
        pause = (pause * 2).min(LONGEST_PAUSE);
        for keys in due {
            let deadline = Instant::now() + pending.timeout;
            let deleted = pending.delete(&keys, Urgency::Ordinary, deadline);
            let Err(error) = deleted.await else {
                pause = FIRST_PAUSE;
                continue;
            };
            tracing::debug!(%error, cause = error.cause(), "an invalidation still waits for redis");
            // A refusal of one key says nothing about the next one.
            if error.is_timeout() || error.is_unavailable() || !pending.store.is_connected() {
                break;
            }
        }
    }
}
