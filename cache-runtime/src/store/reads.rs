//! Reads of values: those of one key share a command, and so do those of many keys when there are many.
//!
//! The one rule: **a reply belongs to the callers that came before its read was sent**; a later one is sent for
//! those who come later.
//!
//! | when somebody reads a key | the read |
//! |---|---|
//! | fewer than [`ENOUGH`] keys are on their way | goes at once, as a GET that its caller drives |
//! | more are | waits, and goes with all others that do as one MGET once fewer are, or once a batch is full |
//! | the key waits already | is the one that waits |
//! | the key is on its way twice | waits for the end of one: a reply that is lost holds up those alone who asked for it |
//! | values are large | goes in batches of few keys, or alone: nobody waits long for the bytes of others |
//! | the server refused an MGET: a cluster, or a user without the right | goes alone, for a minute |
//! | it has waited to go for [`LINGER`] | goes: those on their way may be kept by callers that do not poll them, or the server may be far |
//! | what it would wait for has been on its way for `patience` | goes: the other is taken for abandoned, a future that is kept and not polled |
//!
//! So a lone caller never waits, nobody waits for long, and the more callers there are the more they share. A batch
//! holds at most [`LARGEST`] keys and, going by the size of late replies, about [`BYTES`] bytes; whoever came
//! first goes first. A task of its own drives it, so that a caller that is dropped takes no other's reply with
//! it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    flight::push_seat,
    sharded::lock,
    sync::{Mutex, oneshot},
};

/// So many keys on their way keep the connection and the server busy.
pub(crate) const ENOUGH: usize = 16;
/// The keys of one MGET.
pub(crate) const LARGEST: usize = 64;
/// The bytes of its reply.
const BYTES: usize = 64 * 1024;
/// How many replies the average size goes back, about.
const SMOOTHING: usize = 16;
/// How often a key is on its way at once.
const TWICE: u32 = 2;
/// How long a read waits to go at most, but for others of its key.
pub(crate) const LINGER: Duration = Duration::from_millis(5);
/// For how long reads go alone where the server refused an MGET.
const ALONE: Duration = Duration::from_secs(60);

/// The reads of one connection, on their way or about to go; `T` is what comes of one.
#[derive(Debug)]
pub(crate) struct Reads<T> {
    state: Mutex<State<T>>,
    patience: Duration,
}

#[derive(Debug)]
struct State<T> {
    keys: HashMap<Arc<str>, Asked<T>, ahash::RandomState>,
    /// The keys that wait and may go, in the order in which they came.
    order: Vec<Arc<str>>,
    /// Keys on their way.
    under_way: usize,
    /// When the latest of them went, or was answered.
    since: Instant,
    /// Advances when those on their way are taken for abandoned.
    round: u64,
    /// The bytes of late replies, times [`SMOOTHING`].
    average: usize,
    alone_until: Option<Instant>,
}

/// A key that somebody reads.
#[derive(Debug)]
struct Asked<T> {
    under_way: u32,
    /// When the latest of them went.
    since: Instant,
    /// Those who came after that.
    waiting: Vec<oneshot::Sender<T>>,
    /// When the last of those who wait gives up.
    deadline: Instant,
    /// Whether the key is in the order.
    in_order: bool,
}

/// What a caller does first.
#[derive(Debug)]
pub(crate) enum Arrival<T> {
    /// Send a read, for itself.
    Go(Way),
    /// Send these batches, and wait for a reply; a channel that closes without one means that nobody asked.
    Wait(oneshot::Receiver<T>, Vec<Batch<T>>),
}

/// A note that keys are on their way, to be given to [`Reads::end`] whatever becomes of them.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Way {
    round: u64,
}

/// Reads that go together.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) keys: Vec<Arc<str>>,
    /// Who waits for each of them.
    pub(crate) seats: Vec<Vec<oneshot::Sender<T>>>,
    /// When the last of them gives up.
    pub(crate) deadline: Instant,
    pub(crate) way: Way,
}

impl<T> Reads<T> {
    /// `patience`: after it, a read that did not end is taken for abandoned.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                keys: HashMap::default(),
                order: Vec::new(),
                under_way: 0,
                since: Instant::now(),
                round: 0,
                average: 0,
                alone_until: None,
            }),
            patience,
        }
    }

    /// Registers a caller that reads `key`, and waits until `deadline` at most.
    pub(crate) fn arrive(&self, key: &Arc<str>, deadline: Instant, now: Instant) -> Arrival<T> {
        let mut state = lock(&self.state);
        if state.under_way > 0 && now.saturating_duration_since(state.since) >= self.patience {
            state.forget_those_under_way();
        }
        let goes = state.order.is_empty() && state.may_go(1, now);
        let state = &mut *state;
        let asked = match state.keys.entry(Arc::clone(key)) {
            Entry::Occupied(asked) => asked.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Asked::nobody(now)),
        };
        let held_up =
            asked.under_way >= TWICE && now.saturating_duration_since(asked.since) < self.patience;
        if goes && !held_up && asked.waiting.is_empty() {
            asked.go(now);
            return Arrival::Go(state.way(1, now));
        }
        let turn = asked.wait(deadline);
        if !held_up && !asked.in_order {
            asked.in_order = true;
            state.order.push(Arc::clone(key));
        }
        Arrival::Wait(turn, state.next(now))
    }

    /// What is to be sent because somebody has waited for [`LINGER`] to read `key`.
    pub(crate) fn insist(&self, key: &str, now: Instant) -> Vec<Batch<T>> {
        let mut state = lock(&self.state);
        if state.keys.get(key).is_none_or(|asked| !asked.in_order) {
            return Vec::new();
        }
        state.forget_those_under_way();
        state.next(now)
    }

    /// Notes that keys are on their way no more, and gives what is to be sent next.
    ///
    /// `bytes`: how much came, if a reply did.
    pub(crate) fn end(
        &self,
        way: Way,
        keys: &[Arc<str>],
        bytes: Option<usize>,
        now: Instant,
    ) -> Vec<Batch<T>> {
        let mut state = lock(&self.state);
        if let Some(bytes) = bytes {
            state.average += bytes / keys.len().max(1);
            state.average -= state.average / SMOOTHING;
        }
        if way.round == state.round {
            state.under_way -= keys.len();
            state.since = now;
        }
        for key in keys {
            state.ended(key);
        }
        state.next(now)
    }

    /// Lets reads go alone for a while: the server refused to answer several in one command. Those of `batch`,
    /// whose way is to be ended as well, go again.
    pub(crate) fn go_alone(
        &self,
        batch: Vec<(Arc<str>, Vec<oneshot::Sender<T>>)>,
        deadline: Instant,
        now: Instant,
    ) {
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.alone_until = Some(now + ALONE);
        for (key, seats) in batch {
            // On its way, and so there, until that is ended.
            if let Some(asked) = state.keys.get_mut(&key) {
                asked.deadline = asked.deadline.max(deadline);
                asked.waiting.extend(seats);
            }
        }
    }

    /// How many keys are being read right now.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).keys.len()
    }
}

impl<T> State<T> {
    /// How many keys may share a command.
    fn limit(&self, now: Instant) -> usize {
        if self.alone_until.is_some_and(|until| now < until) {
            return 1;
        }
        let average = self.average / SMOOTHING;
        (BYTES / average.max(1)).clamp(1, LARGEST)
    }

    /// Whether so many keys that could go together wait no longer.
    fn may_go(&self, together: usize, now: Instant) -> bool {
        self.under_way < ENOUGH || together >= self.limit(now)
    }

    /// Their ends count no more.
    fn forget_those_under_way(&mut self) {
        self.under_way = 0;
        self.round += 1;
    }

    fn way(&mut self, keys: usize, now: Instant) -> Way {
        self.under_way += keys;
        self.since = now;
        Way { round: self.round }
    }

    /// A read of `key` is over.
    fn ended(&mut self, key: &Arc<str>) {
        let Some(asked) = self.keys.get_mut(key) else {
            return;
        };
        asked.under_way = asked.under_way.saturating_sub(1);
        if asked.waiting.is_empty() {
            if asked.under_way == 0 {
                self.keys.remove(key);
            }
        } else if !asked.in_order {
            asked.in_order = true;
            self.order.push(Arc::clone(key));
        }
    }

    /// Takes out what is to go now.
    fn next(&mut self, now: Instant) -> Vec<Batch<T>> {
        let mut batches = Vec::new();
        while !self.order.is_empty() && self.may_go(self.order.len(), now) {
            let limit = self.limit(now).min(self.order.len());
            let mut batch = Batch {
                keys: Vec::with_capacity(limit),
                seats: Vec::with_capacity(limit),
                deadline: now,
                way: Way { round: self.round },
            };
            for key in self.order.drain(..limit) {
                let Some(asked) = self.keys.get_mut(&key) else {
                    continue;
                };
                let seats = asked.leave();
                if seats.is_empty() {
                    if asked.under_way == 0 {
                        self.keys.remove(&key);
                    }
                    continue;
                }
                batch.deadline = batch.deadline.max(asked.deadline);
                asked.go(now);
                batch.keys.push(key);
                batch.seats.push(seats);
            }
            if !batch.keys.is_empty() {
                batch.way = self.way(batch.keys.len(), now);
                batches.push(batch);
            }
        }
        batches
    }
}

impl<T> Asked<T> {
    fn nobody(now: Instant) -> Self {
        Self {
            under_way: 0,
            since: now,
            waiting: Vec::new(),
            deadline: now,
            in_order: false,
        }
    }

    fn go(&mut self, now: Instant) {
        self.under_way += 1;
        self.since = now;
    }

    fn wait(&mut self, deadline: Instant) -> oneshot::Receiver<T> {
        let (seat, turn) = oneshot::channel();
        if self.waiting.is_empty() {
            // The one before is that of callers who went.
            self.deadline = deadline;
        }
        push_seat(&mut self.waiting, seat, oneshot::Sender::is_closed);
        self.deadline = self.deadline.max(deadline);
        turn
    }

    /// Takes out those who wait still.
    fn leave(&mut self) -> Vec<oneshot::Sender<T>> {
        self.in_order = false;
        let mut seats = std::mem::take(&mut self.waiting);
        seats.retain(|seat| !seat.is_closed());
        seats
    }
}

#[cfg(test)]
mod tests;
