//! Single-flight: at most one body run per key at a time, whoever asks.
//!
//! The one rule: **a body's outcome goes to those who joined before that body began; to later ones
//! only with the proof that nothing was invalidated since they came.** No Redis, no ttl, no clock.
//!
//! A flight counts its steps: [`Lead::acquire_sent`], [`Lead::body_begun`] and [`Lead::close`] each
//! advance the count, and a caller remembers the count at which it joined.
//!
//! One lead has the duty to answer. A waiter whose patience ended takes that duty over and leads beside
//! the lead that had it ([`Waiting::overtake`]). An overtaken lead still answers the waiters that the rule lets it
//! answer, and still stores; but the flight no longer depends on it, so its end passes nothing on.
//!
//! | event | who is answered | then |
//! |---|---|---|
//! | the store has a value after all ([`Lead::finish`]) | joined before the store was asked | the rest start over |
//! | body done ([`Lead::answer_early`]) | joined before the body began | the attempt closes |
//! | proof ([`Lead::finish`]) | joined before the attempt closed | the rest start over |
//! | no proof ([`Lead::start_over`]) | nobody | a waiter leads the next attempt |
//! | leader dropped or panicking (`Drop`) | nobody | a waiter leads the next attempt |
//! | a waiter's patience ends, and nobody got the duty since it began to wait ([`Waiting::overtake`]) | nobody | that waiter leads beside; the others wait on |
//! | an overtaken lead ends, however it ends | as above, by its own steps | nothing: another has the duty |
//! | [`Flights::detach`] | nobody | new callers start another flight |
//!
//! A flight ends when nobody waits at the end of an attempt, and new callers join it until then. So
//! bodies of two flights of a key run at once only where one flight was detached, or where one flight has ended
//! while the body of an overtaken lead still runs.
//!
//! The lead travels through the waiters' channels as a value with a `Drop`, so that a waiter that goes away
//! with the lead in its hands passes it on.

mod lead;
mod state;

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

pub(crate) use self::lead::Lead;

use self::state::State;
use crate::base::{
    sharded::{Sharded, lock},
    sync::{Mutex, MutexGuard, oneshot},
};

/// The flights of one cache, by key.
#[derive(Debug)]
pub(crate) struct Flights<T> {
    open: Sharded<Arc<Flight<T>>>,
}

/// One flight, which its leads and its waiters hold.
#[derive(Debug)]
struct Flight<T> {
    state: Mutex<State<T>>,
}

/// What a caller finds when it joins.
#[derive(Debug)]
pub(crate) enum Joined<T> {
    /// Nobody computes this key, so the caller does.
    Lead(Lead<T>),
    /// Another call computes this key, so the caller waits for its turn.
    Wait(Waiting<T>),
}

/// A caller's place among those who wait for a flight: the future of its turn.
///
/// The error of a channel that closes without a turn means the same as [`Turn::Alone`].
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    flights: Arc<Flights<T>>,
    key: Arc<str>,
    flight: Arc<Flight<T>>,
    seat: u64,
    /// The number of the lead that the caller waits for.
    lead: u64,
    turn: oneshot::Receiver<Turn<T>>,
}

/// Tells a flight from others, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct FlightId<T>(Arc<Flight<T>>);

/// How a wait ends.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    /// The outcome of somebody else's body.
    Answer(T),
    /// The leader failed in a way that cannot be shared: run the body without a flight.
    Alone,
    /// The attempt is over without an answer: lead the next one.
    Lead(Lead<T>),
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Self {
        Self {
            open: Sharded::new(),
        }
    }

    /// Joins the flight of `key`, or starts one.
    ///
    /// For callers that have read the store themselves, and found nothing, because a flight says nothing of values that
    /// were stored before it began.
    pub(crate) fn join(self: &Arc<Self>, key: &Arc<str>) -> Joined<T> {
        let mut shard = self.open.lock(key);
        match shard.get(key) {
            Some(flight) => Joined::Wait(self.wait(key, flight)),
            None => Joined::Lead(self.start(&mut shard, key)),
        }
    }

    /// Starts a flight of `key`, unless there is one.
    pub(crate) fn lead(self: &Arc<Self>, key: &Arc<str>) -> Option<Lead<T>> {
        let mut shard = self.open.lock(key);
        (!shard.contains_key(key)).then(|| self.start(&mut shard, key))
    }

    /// Starts a flight, which new callers of `key` join.
    fn start(
        self: &Arc<Self>,
        shard: &mut HashMap<Arc<str>, Arc<Flight<T>>>,
        key: &Arc<str>,
    ) -> Lead<T> {
        let flight = Arc::new(Flight {
            state: Mutex::new(State {
                step: 0,
                leads: 0,
                is_led: false,
                opened: 0,
                seats: 0,
                waiters: Vec::new(),
            }),
        });
        self.hand_over(shard, key, &flight, &mut flight.state())
    }

    /// Seats one more caller.
    fn wait(self: &Arc<Self>, key: &Arc<str>, flight: &Arc<Flight<T>>) -> Waiting<T> {
        let mut state = flight.state();
        let (seat, turn) = state.wait();
        Waiting {
            flights: Arc::clone(self),
            key: Arc::clone(key),
            flight: Arc::clone(flight),
            seat,
            lead: state.leads,
            turn,
        }
    }

    /// Takes the flight of `key` from new callers, and runs `change` before any of them can come.
    ///
    /// Callers that joined it still get its outcome, because they came before the change.
    pub(crate) fn detach<R>(&self, key: &str, change: impl FnOnce() -> R) -> R {
        let mut shard = self.open.lock(key);
        shard.remove(key);
        change()
    }

    /// Takes every flight from new callers.
    #[cfg(feature = "testing")]
    pub(crate) fn detach_all(&self) {
        self.open.clear();
    }

    /// How many keys are being computed right now.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many callers wait for a flight right now.
    pub(crate) fn waiting(&self) -> usize {
        self.open.sum(|flight| flight.state().waiting())
    }
}

impl<T> Flight<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

impl<T> Waiting<T> {
    /// Leads the flight beside its present lead, on behalf of all who wait; `None` if another lead got the duty since
    /// this caller began to wait, or last called this, or if the caller's turn is on its way.
    ///
    /// So one of the callers whose patience ends at once leads, and the others begin to wait anew.
    pub(crate) fn overtake(&mut self) -> Option<Lead<T>> {
        let Self {
            flights,
            key,
            flight,
            seat,
            lead: seen,
            turn: _,
        } = self;
        // The seat is dropped with no lock held, because that drop wakes the caller that waits on it.
        let left;
        let mut shard = flights.open.lock(key);
        let mut state = flight.state();
        if std::mem::replace(seen, state.leads) != state.leads {
            return None;
        }
        left = state.take_seat(*seat)?;
        let mut lead = flights.hand_over(&mut shard, key, flight, &mut state);
        lead.is_beside = true;
        drop((state, shard, left));
        Some(lead)
    }

    /// Whether this caller waits for that flight.
    pub(crate) fn is_for(&self, id: &FlightId<T>) -> bool {
        Arc::ptr_eq(&self.flight, &id.0)
    }
}

impl<T> Future for Waiting<T> {
    type Output = <oneshot::Receiver<Turn<T>> as Future>::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.turn).poll(cx)
    }
}

#[cfg(test)]
mod tests;
