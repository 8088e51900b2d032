//! Single-flight: at most one body run per key at a time, whoever asks.
//!
//! The one rule: **a body's outcome goes to those who joined before that body began; to later ones
//! only with the proof that nothing was invalidated since they came.** No Redis, no ttl, no clock.
//!
//! A flight counts its steps: [`Lead::acquire_sent`], [`Lead::body_begun`] and [`Lead::close`] each
//! advance the count, and a caller remembers the count at which it joined.
//!
//! One lead has the duty to answer. A waiter whose patience ended takes that duty over and leads beside
//! the one who had it ([`Waiting::overtake`]). An overtaken lead still answers whom the rule lets it
//! answer, and still stores; but the flight no longer depends on it, so its end passes nothing on.
//!
//! | event | who is answered | then |
//! |---|---|---|
//! | the store has a value after all ([`Lead::finish`]) | joined before the question was sent | the rest start over |
//! | body done ([`Lead::answer_early`]) | joined before the body began | the attempt closes |
//! | proof ([`Lead::finish`]) | joined before the attempt closed | the rest start over |
//! | no proof ([`Lead::start_over`]) | nobody | a waiter leads the next attempt |
//! | leader dropped or panicking (`Drop`) | nobody | a waiter leads the next attempt |
//! | a waiter's patience ends, and the duty is still where it was when that began ([`Waiting::overtake`]) | nobody | that waiter leads beside; the others wait on |
//! | an overtaken lead ends, however it ends | as above, by its own steps | nothing: another has the duty |
//! | [`Flights::detach`] | nobody | new callers start another flight |
//!
//! A flight ends when nobody waits at the end of an attempt, and new callers join it until then. So
//! bodies of two flights of a key run at once only where one flight was detached, or where one has ended
//! and an overtaken lead of it is still at it.
//!
//! The lead travels through the waiters' channels as a value with a `Drop`: a waiter that goes away
//! with the lead in its hands passes it on, so nobody ever waits for somebody to say goodbye.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::base::{
    sharded::{Sharded, lock},
    sync::{Mutex, MutexGuard, oneshot},
};

/// The flights of one cache, by key.
#[derive(Debug)]
pub(crate) struct Flights<T> {
    open: Sharded<Arc<Flight<T>>>,
}

#[derive(Debug)]
struct Flight<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    /// Advances at every acquire sent, every body begun and every attempt closed.
    step: u64,
    /// How often somebody got the duty to answer; each lead has the number at which it got it.
    leads: u64,
    /// Whether somebody has that duty: the lead with the highest number.
    is_led: bool,
    /// How often the flight was opened to new callers: at its start, and by a waiter that leads on after
    /// it was detached.
    opened: u64,
    /// How many callers ever waited, which numbers their seats.
    seats: u64,
    waiters: Vec<Waiter<T>>,
}

#[derive(Debug)]
struct Waiter<T> {
    seat: u64,
    joined: u64,
    turn: oneshot::Sender<Turn<T>>,
}

/// What a caller finds when it joins.
#[derive(Debug)]
pub(crate) enum Joined<T> {
    /// Nobody computes this key: the caller does.
    Lead(Lead<T>),
    /// Somebody does: the caller waits for its turn.
    Wait(Waiting<T>),
}

/// A caller's place among those who wait for a flight: a future of its turn.
///
/// An error, of a channel that closes without a turn, means the same as [`Turn::Alone`].
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    flights: Arc<Flights<T>>,
    key: Arc<str>,
    flight: Arc<Flight<T>>,
    seat: u64,
    /// The number of the lead that it waits for.
    lead: u64,
    turn: oneshot::Receiver<Turn<T>>,
}

/// Tells a flight from others, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct FlightId<T>(Arc<Flight<T>>);

/// What comes of waiting.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    /// The outcome of somebody else's body.
    Answer(T),
    /// The leader failed in a way that cannot be shared: run the body without a flight.
    Alone,
    /// The attempt is over without an answer: lead the next one.
    Lead(Lead<T>),
}

/// The duty to answer a flight; dropping it hands the duty to a waiter, unless another has it by then.
#[derive(Debug)]
pub(crate) struct Lead<T> {
    flights: Arc<Flights<T>>,
    key: Arc<str>,
    flight: Arc<Flight<T>>,
    /// Its place among the leads of the flight.
    number: u64,
    /// How often the flight had been opened when this lead began.
    opened: u64,
    /// It took the duty from another lead, which may still be at it.
    is_beside: bool,
    /// The latest step: who joined before it may have what comes of it.
    began: u64,
    /// The previous attempt ended because the store did not answer.
    unanswered: bool,
    over: bool,
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Self {
        Self {
            open: Sharded::new(),
        }
    }

    /// Joins the flight of `key`, or starts one.
    ///
    /// Only for callers whose own look into the store, begun after they came, found nothing.
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

    /// Gives the duty to answer `flight` to somebody, and opens it to new callers unless they have another.
    fn hand_over(
        self: &Arc<Self>,
        shard: &mut HashMap<Arc<str>, Arc<Flight<T>>>,
        key: &Arc<str>,
        flight: &Arc<Flight<T>>,
        state: &mut State<T>,
    ) -> Lead<T> {
        if !shard.contains_key(key) {
            // A detached flight takes new callers again, because the next body is yet to begin. The count
            // tells a lead from before the detachment that this gives it no right to store.
            shard.insert(Arc::clone(key), Arc::clone(flight));
            state.opened += 1;
        }
        Lead {
            flights: Arc::clone(self),
            key: Arc::clone(key),
            flight: Arc::clone(flight),
            number: state.lead(),
            opened: state.opened,
            is_beside: false,
            began: 0,
            unanswered: false,
            over: false,
        }
    }

    /// Takes the flight of `key` from new callers, and runs `change` before any of them can come.
    ///
    /// Those who joined it keep what they were promised: they came before the change.
    pub(crate) fn detach<R>(&self, key: &str, change: impl FnOnce() -> R) -> R {
        let mut shard = self.open.lock(key);
        shard.remove(key);
        change()
    }

    /// How many keys are being computed right now.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many callers wait for them.
    pub(crate) fn waiting(&self) -> usize {
        self.open.sum(|flight| flight.state().waiting())
    }
}

impl<T> Flight<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

impl<T> State<T> {
    fn advance(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// Counts one who gets the duty to answer.
    fn lead(&mut self) -> u64 {
        self.leads += 1;
        self.is_led = true;
        self.leads
    }

    fn wait(&mut self) -> (u64, oneshot::Receiver<Turn<T>>) {
        let (turn, receiver) = oneshot::channel();
        self.seats += 1;
        let waiter = Waiter {
            seat: self.seats,
            joined: self.step,
            turn,
        };
        push_seat(&mut self.waiters, waiter, |waiter| waiter.turn.is_closed());
        (self.seats, receiver)
    }

    /// Takes a caller from its seat; `None` if its turn is on its way.
    fn take_seat(&mut self, seat: u64) -> Option<Waiter<T>> {
        // Those who come later have higher numbers, so the list is in their order.
        let at = self.waiters.binary_search_by_key(&seat, |it| it.seat);
        at.ok().map(|at| self.waiters.remove(at))
    }

    fn waiting(&self) -> usize {
        let waits = |waiter: &&Waiter<T>| !waiter.turn.is_closed();
        self.waiters.iter().filter(waits).count()
    }

    /// Takes out those who joined before `step`.
    fn take_before(&mut self, step: u64) -> Vec<Waiter<T>> {
        // Joining pushes at the end and steps only grow, so the list is in the order of `joined`.
        let late = self.waiters.partition_point(|waiter| waiter.joined < step);
        let rest = self.waiters.split_off(late);
        std::mem::replace(&mut self.waiters, rest)
    }
}

impl<T> Waiting<T> {
    /// Leads the flight beside whoever leads it now, on behalf of all who wait; `None` if somebody got that
    /// duty since this caller began to wait, or last asked, or if its turn is on its way.
    ///
    /// So of all those whose patience ends at once, one leads, and the others begin to wait anew.
    pub(crate) fn overtake(&mut self) -> Option<Lead<T>> {
        let Self {
            flights,
            key,
            flight,
            seat,
            lead: seen,
            turn: _,
        } = self;
        // Dropped with no lock held, because that wakes whoever waits.
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

impl<T> Lead<T> {
    /// A place among those who wait, for a caller that hands the lead to a run of its own.
    pub(crate) fn wait_too(&self) -> Waiting<T> {
        self.flights.wait(&self.key, &self.flight)
    }

    /// What tells the flight from others.
    pub(crate) fn flight(&self) -> FlightId<T> {
        FlightId(Arc::clone(&self.flight))
    }

    /// Whether another lead may still be at it, because this one took the duty to answer from it.
    pub(crate) fn is_beside(&self) -> bool {
        self.is_beside
    }

    /// Marks that this lead is alive and waits for another process: those who wait for it begin to wait
    /// anew.
    pub(crate) fn waits_for_another(&mut self) {
        let mut state = self.flight.state();
        if self.has_duty(&state) {
            self.number = state.lead();
        }
    }

    fn has_duty(&self, state: &State<T>) -> bool {
        state.is_led && state.leads == self.number
    }

    /// Whether the attempt before this one ended because the store did not answer; asking it again
    /// would make those who wait pay twice.
    pub(crate) fn unanswered(&self) -> bool {
        self.unanswered
    }

    /// Marks that the store is being asked for the right to store.
    pub(crate) fn acquire_sent(&mut self) {
        self.advance();
    }

    /// Marks that the body begins: who joins from here on is late.
    pub(crate) fn body_begun(&mut self) {
        self.advance();
    }

    /// Marks that the store is being asked whether the outcome still stands: its "yes" may be older than
    /// the arrival of whoever joins from here on.
    pub(crate) fn close(&mut self) {
        self.advance();
    }

    /// Closes the attempt, and runs `change` in the same step if new callers could join ever since this
    /// lead began.
    ///
    /// `None` if the flight was detached since, so that `change` did not run: this is the right to store of
    /// a store in this process.
    pub(crate) fn close_with<R>(&mut self, change: impl FnOnce() -> R) -> Option<R> {
        let shard = self.flights.open.lock(&self.key);
        let mut state = self.flight.state();
        if !self.is_in(&shard) || state.opened != self.opened {
            return None;
        }
        self.began = state.advance();
        drop(state);
        Some(change())
    }

    fn advance(&mut self) {
        self.began = self.flight.state().advance();
    }

    /// Whether new callers of the key join this flight.
    fn is_in(&self, shard: &HashMap<Arc<str>, Arc<Flight<T>>>) -> bool {
        shard
            .get(&*self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }

    /// Ends an attempt for those who still wait: the next one begins at once, led by one of them.
    ///
    /// `unanswered`: the store did not answer, so the next attempt should not ask it.
    pub(crate) fn start_over(mut self, unanswered: bool) {
        self.pass_on(unanswered);
    }

    fn pass_on(&mut self, unanswered: bool) {
        self.over = true;
        loop {
            let (heir, mut lead) = {
                let mut shard = self.flights.open.lock(&self.key);
                let mut state = self.flight.state();
                if state.is_led && !self.has_duty(&state) {
                    return;
                }
                state.waiters.retain(|waiter| !waiter.turn.is_closed());
                if state.waiters.is_empty() {
                    state.is_led = false;
                    if self.is_in(&shard) {
                        shard.remove(&*self.key);
                    }
                    return;
                }
                let heir = state.waiters.remove(0);
                let Self {
                    flights,
                    key,
                    flight,
                    ..
                } = &*self;
                let lead = flights.hand_over(&mut shard, key, flight, &mut state);
                (heir, lead)
            };
            lead.unanswered = unanswered;
            // Sent with no lock held: a waiter that is gone gives the lead back.
            match heir.turn.send(Turn::Lead(lead)) {
                Err(Turn::Lead(mut returned)) => {
                    returned.over = true;
                    self.number = returned.number;
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

impl<T: Clone> Lead<T> {
    /// Answers those who joined before the latest step: the body began, or the store was asked something.
    pub(crate) fn answer_early(&mut self, answer: &T) {
        let waiters = self.flight.state().take_before(self.began);
        send(waiters, answer);
    }

    /// Whether anybody waits for an answer.
    pub(crate) fn has_waiters(&self) -> bool {
        let state = self.flight.state();
        state.waiters.iter().any(|waiter| !waiter.turn.is_closed())
    }

    /// The same, and ends the attempt: the rest start over.
    ///
    /// Only for what the store had when it was asked, and for an outcome with the proof that it stood when
    /// the attempt closed.
    pub(crate) fn finish(mut self, answer: &T) {
        self.answer_early(answer);
        self.pass_on(false);
    }

    /// Lets everybody run for themselves, side by side, as without a cache; new callers start another
    /// flight. Where another lead has the duty to answer, everybody waits for that one.
    pub(crate) fn everybody_alone(mut self) {
        self.over = true;
        let waiters = {
            let mut shard = self.flights.open.lock(&self.key);
            let mut state = self.flight.state();
            if state.is_led && !self.has_duty(&state) {
                return;
            }
            state.is_led = false;
            if self.is_in(&shard) {
                shard.remove(&*self.key);
            }
            // With the shard locked: whoever found the flight there waits by now.
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters {
            // A waiter that is gone needs no answer.
            drop(waiter.turn.send(Turn::Alone));
        }
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        if !self.over {
            // Who never began made no attempt; the one before it is still the latest.
            self.pass_on(self.unanswered && self.began == 0);
        }
    }
}

fn send<T: Clone>(waiters: Vec<Waiter<T>>, answer: &T) {
    for waiter in waiters {
        // A waiter that is gone needs no answer.
        drop(waiter.turn.send(Turn::Answer(answer.clone())));
    }
}

/// Adds a seat to a list whose callers may go away and leave their seats behind.
///
/// Left seats are cleared when the list is full, and the list grows only where more than half are
/// still taken: so it stays within four times the most that ever waited at once, and a caller pays
/// for a few seats on average, however many come and go.
pub(crate) fn push_seat<S>(seats: &mut Vec<S>, seat: S, is_left: impl Fn(&S) -> bool) {
    if seats.len() == seats.capacity() {
        seats.retain(|seat| !is_left(seat));
        if seats.len() > seats.capacity() / 2 {
            seats.reserve(seats.capacity());
        }
    }
    seats.push(seat);
}

#[cfg(test)]
mod tests;
