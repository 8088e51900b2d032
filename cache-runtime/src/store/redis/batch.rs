//! Reads of values: those of one key share a command, and so do those of many keys when there are many.
//!
//! The one rule: **a reply belongs to the callers that came before its read was sent**; callers that come later get a
//! later read's.
//!
//! | when a caller reads a key | the read |
//! |---|---|
//! | fewer than [`ENOUGH`] callers' reads are on their way, and no crowd was there a moment ago | goes at once, as a GET that its caller drives |
//! | fewer are, and a crowd was there | goes when all tasks that can run have run, with those who came meanwhile |
//! | more are | goes in the same way once fewer are, or once a batch is full |
//! | values are large | goes in batches of few keys, or alone: nobody waits long for the bytes of others |
//! | the server refused an MGET: a cluster, or a user without the right | goes alone, for a minute |
//! | the read has waited for [`LINGER`] | goes: the reads on their way may be kept by callers that do not poll them, or the server may be far |
//! | the latest read has been on its way for `patience` | goes: the reads on their way are taken for abandoned, because a future may be kept and not polled |
//!
//! So a lone caller never waits, no caller waits for long, and the more callers there are the more they share. A crowd
//! is [`ENOUGH`] callers at once: a reply wakes many of them, and they are likely to come back together.
//!
//! Words: a *seat* is a caller that waits for the reply to a read. Reads are *on their way* from the moment at which
//! they are sent until they are answered or given up. Waiting reads *depart* together once all tasks that can run have
//! run; a task *hurries* reads that have waited for too long. A *round* ends when the reads on their way are taken for
//! abandoned.
//!
//! A batch is full with the keys of half a crowd, so that one half is read while the other half uses what it got. It
//! holds at most [`LARGEST`] keys and, by the average size of late replies, about [`BYTES`] bytes. Keys go in the order
//! in which they came. A task of its own drives each batch, so that a caller that is dropped takes no other caller's
//! reply with it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::base::{
    seats::push_seat,
    sharded::lock,
    sync::{Mutex, oneshot},
};

/// As many callers' reads on their way as keep the connection and the server busy.
pub(crate) const ENOUGH: usize = 16;
/// The most keys of one MGET.
pub(crate) const LARGEST: usize = 128;
/// About the most bytes of its reply.
const BYTES: usize = 64 * 1024;
/// About how many late replies the average size is taken over.
const SMOOTHING: usize = 16;
/// How long a read waits to be sent; up to twice as long, because a task looks once in this time.
pub(crate) const LINGER: Duration = Duration::from_millis(5);
/// For how long reads go alone where the server refused an MGET.
const ALONE: Duration = Duration::from_secs(60);

/// The reads of one connection, on their way or about to go; `T` is what comes of one.
#[derive(Debug)]
pub(crate) struct Batches<T> {
    state: Mutex<State<T>>,
    patience: Duration,
}

#[derive(Debug)]
struct State<T> {
    /// The reads that wait to be sent, in the order in which their keys came.
    waiting: Vec<Read<T>>,
    /// The place of each key in that order.
    places: HashMap<Arc<str>, usize, ahash::RandomState>,
    /// When the first waiting read came.
    first_came: Instant,
    /// Whether a task is about to call [`Batches::depart`].
    departing: bool,
    /// Whether a task calls [`Batches::hurry`] while reads wait.
    hurrying: bool,
    /// How many callers there were at once of late.
    crowd: usize,
    /// How many callers' reads are on their way and not taken for abandoned.
    under_way: usize,
    /// When a read was last sent, or answered.
    since: Instant,
    /// Advances when the reads on their way are taken for abandoned.
    round: u64,
    /// How many callers' reads are on their way, abandoned or not.
    unended: usize,
    /// The average size of a value in late replies, times [`SMOOTHING`].
    average: usize,
    /// Until when each read goes alone.
    alone_until: Option<Instant>,
}

/// A key, and the callers that wait for its value.
#[derive(Debug)]
pub(crate) struct Read<T> {
    pub(crate) key: Arc<str>,
    pub(crate) seats: Vec<Seat<T>>,
}

/// A caller that waits.
#[derive(Debug)]
pub(crate) struct Seat<T> {
    pub(crate) turn: oneshot::Sender<T>,
    /// When the caller gives up.
    pub(crate) deadline: Instant,
}

/// What a caller does first.
#[derive(Debug)]
pub(crate) enum Arrival<T> {
    /// Send a read, for itself.
    Go(Way),
    /// Do the duties, then wait for the reply; a channel that closes without one means that the read was given up.
    Wait(oneshot::Receiver<T>, Duties<T>),
}

/// What the caller does for the reads that wait.
#[derive(Debug)]
#[must_use]
pub(crate) struct Duties<T> {
    /// The batches to send.
    pub(crate) batches: Vec<Batch<T>>,
    /// Whether to call [`Batches::depart`] once all tasks that can run have run.
    pub(crate) depart: bool,
    /// Whether to call [`Batches::hurry`] after [`LINGER`].
    pub(crate) hurry: bool,
}

/// A note that reads are on their way, to be given to [`Batches::end`] whatever becomes of them.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub(crate) struct Way {
    round: u64,
    callers: usize,
}

/// Reads that go together.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) reads: Vec<Read<T>>,
    /// When the last of the callers gives up.
    pub(crate) deadline: Instant,
    pub(crate) way: Way,
}

impl<T> Duties<T> {
    fn none() -> Self {
        Self {
            batches: Vec::new(),
            depart: false,
            hurry: false,
        }
    }

    /// Whether there is nothing to do.
    pub(crate) fn are_none(&self) -> bool {
        self.batches.is_empty() && !self.depart && !self.hurry
    }
}

impl<T> Batches<T> {
    /// `patience`: how long after the latest was sent or answered the reads on their way are taken for abandoned.
    pub(crate) fn new(patience: Duration) -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                waiting: Vec::new(),
                places: HashMap::default(),
                first_came: now,
                departing: false,
                hurrying: false,
                crowd: 0,
                under_way: 0,
                since: now,
                round: 0,
                unended: 0,
                average: 0,
                alone_until: None,
            }),
            patience,
        }
    }

    /// Registers a caller that reads `key`, and waits until `deadline` at most.
    pub(crate) fn arrive(&self, key: &Arc<str>, deadline: Instant, now: Instant) -> Arrival<T> {
        let mut state = lock(&self.state);
        let patient_until = state.since.checked_add(self.patience);
        if state.under_way > 0 && patient_until.is_some_and(|until| now >= until) {
            state.forget_those_under_way();
        }
        let is_free = state.under_way < ENOUGH && state.crowd < ENOUGH;
        if state.waiting.is_empty() && (is_free || state.limit(now) == 1) {
            return Arrival::Go(state.way(1, now));
        }
        let (turn, told) = oneshot::channel();
        state.wait(key, Seat { turn, deadline }, now);
        Arrival::Wait(told, state.next(now))
    }

    /// Takes the waiting reads, if they may be sent.
    pub(crate) fn depart(&self, now: Instant) -> Vec<Batch<T>> {
        let mut state = lock(&self.state);
        state.departing = false;
        if state.under_way < ENOUGH {
            state.take(now)
        } else {
            // A full batch was sent meanwhile; the rest is next when that one ends.
            Vec::new()
        }
    }

    /// Takes the waiting reads if they have waited for too long, and says when to look again while any wait.
    pub(crate) fn hurry(&self, now: Instant) -> (Vec<Batch<T>>, Option<Instant>) {
        let mut state = lock(&self.state);
        let mut batches = Vec::new();
        if !state.waiting.is_empty() && now >= state.first_came + LINGER {
            state.forget_those_under_way();
            batches = state.take(now);
        }
        state.hurrying = !state.waiting.is_empty();
        (batches, state.hurrying.then(|| state.first_came + LINGER))
    }

    /// Notes that the reads of `way` are no longer on their way, and says what is next.
    ///
    /// `reply`: how many values came, and how many bytes they were.
    pub(crate) fn end(&self, way: Way, reply: Option<(usize, usize)>, now: Instant) -> Duties<T> {
        let mut state = lock(&self.state);
        if let Some((values, bytes)) = reply {
            state.average += bytes / values.max(1);
            state.average -= state.average / SMOOTHING;
        }
        state.unended -= way.callers;
        if way.round == state.round {
            state.under_way -= way.callers;
            state.since = now;
        }
        state.next(now)
    }

    /// Lets each read go alone for a while, because the server refused to answer several in one command. The `refused`
    /// reads of a batch wait to be sent again; the end of that batch's way is noted as ever.
    pub(crate) fn go_alone(&self, refused: Vec<Read<T>>, now: Instant) {
        let mut state = lock(&self.state);
        state.alone_until = Some(now + ALONE);
        for Read { key, seats } in refused {
            for seat in seats {
                state.wait(&key, seat, now);
            }
        }
    }

    /// How many callers' reads wait or are on their way.
    pub(crate) fn len(&self) -> usize {
        let state = lock(&self.state);
        let waiting = state.waiting.iter().map(|read| read.seats.len());
        state.unended + waiting.sum::<usize>()
    }
}

impl<T> State<T> {
    /// How many keys may share a command.
    fn limit(&self, now: Instant) -> usize {
        if self.alone_until.is_some_and(|until| now < until) {
            return 1;
        }
        let average = self.average / SMOOTHING;
        let half = (self.crowd / 2).clamp(ENOUGH, LARGEST);
        (BYTES / average.max(1)).clamp(1, half)
    }

    /// Takes the reads on their way for abandoned, so that their ends count no more.
    fn forget_those_under_way(&mut self) {
        self.under_way = 0;
        self.round += 1;
    }

    fn way(&mut self, callers: usize, now: Instant) -> Way {
        self.under_way += callers;
        self.unended += callers;
        self.since = now;
        Way {
            round: self.round,
            callers,
        }
    }

    fn wait(&mut self, key: &Arc<str>, seat: Seat<T>, now: Instant) {
        if self.waiting.is_empty() {
            self.first_came = now;
        }
        match self.places.entry(Arc::clone(key)) {
            Entry::Occupied(place) => {
                let seats = &mut self.waiting[*place.get()].seats;
                push_seat(seats, seat, Seat::is_left);
            }
            Entry::Vacant(place) => {
                place.insert(self.waiting.len());
                self.waiting.push(Read {
                    key: Arc::clone(key),
                    seats: vec![seat],
                });
            }
        }
    }

    fn next(&mut self, now: Instant) -> Duties<T> {
        if self.waiting.is_empty() {
            return Duties::none();
        }
        let batches = if self.waiting.len() >= self.limit(now) {
            self.take(now)
        } else {
            Vec::new()
        };
        let waits = !self.waiting.is_empty();
        let depart = waits && !self.departing && self.under_way < ENOUGH;
        let hurry = waits && !self.hurrying;
        self.departing |= depart;
        self.hurrying |= hurry;
        Duties {
            batches,
            depart,
            hurry,
        }
    }

    /// Takes all waiting reads, in batches.
    fn take(&mut self, now: Instant) -> Vec<Batch<T>> {
        self.places.clear();
        let mut reads = std::mem::take(&mut self.waiting);
        for read in &mut reads {
            read.seats.retain(|seat| !seat.is_left());
        }
        reads.retain(|read| !read.seats.is_empty());
        let waiting: usize = reads.iter().map(|read| read.seats.len()).sum();
        // A crowd that went away is forgotten in a few steps.
        self.crowd = (self.unended + waiting).max(self.crowd / 2);
        let limit = self.limit(now);
        let mut batches = Vec::new();
        while !reads.is_empty() {
            let rest = reads.split_off(limit.min(reads.len()));
            let seats = || reads.iter().flat_map(|read| &read.seats);
            let callers = seats().count();
            let deadline = seats().map(|seat| seat.deadline).max().unwrap_or(now);
            batches.push(Batch {
                deadline,
                way: self.way(callers, now),
                reads,
            });
            reads = rest;
        }
        batches
    }
}

impl<T> Seat<T> {
    /// Whether the caller is gone.
    fn is_left(&self) -> bool {
        self.turn.is_closed()
    }
}

#[cfg(test)]
mod tests;
