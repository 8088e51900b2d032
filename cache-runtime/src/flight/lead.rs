//! The duty to answer a flight.
//!
//! The one rule: **a lead ends once, and its end leaves nobody waiting without a lead**: by [`Lead::finish`],
//! [`Lead::start_over`] or [`Lead::everybody_alone`], which disarm it, or by its drop.

use std::{collections::HashMap, sync::Arc};

use super::{
    Flight, FlightId, Flights, Turn, Waiting,
    state::{State, Waiter},
};

/// The duty to answer a flight; dropping it hands the duty to a waiter, unless another has it by then.
#[derive(Debug)]
pub(crate) struct Lead<T> {
    flights: Arc<Flights<T>>,
    key: Arc<str>,
    pub(super) flight: Arc<Flight<T>>,
    /// The lead's place among all leads of the flight.
    number: u64,
    /// How often the flight had been opened when this lead began.
    opened: u64,
    /// Whether this lead took the duty from another one, whose body may still run.
    pub(super) is_beside: bool,
    /// The latest step. Callers that joined before it may have its outcome.
    began: u64,
    /// Whether the previous attempt ended because the store did not answer.
    unanswered: bool,
    /// Whether the drop does nothing.
    is_disarmed: bool,
}

impl<T> Flights<T> {
    /// Makes a lead with the duty to answer `flight`, and opens the flight to new callers unless they have another one.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        shard: &mut HashMap<Arc<str>, Arc<Flight<T>>>,
        key: &Arc<str>,
        flight: &Arc<Flight<T>>,
        state: &mut State<T>,
    ) -> Lead<T> {
        if !shard.contains_key(key) {
            // A detached flight takes new callers again, because its next body is yet to begin. Leads from before the
            // detachment get no right to store by that, because they have another count.
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
            is_disarmed: false,
        }
    }
}

impl<T> Lead<T> {
    /// A place among those who wait, for a caller that hands the lead to a run of its own.
    pub(crate) fn wait_too(&self) -> Waiting<T> {
        self.flights.wait(&self.key, &self.flight)
    }

    /// The identity of the flight.
    pub(crate) fn flight(&self) -> FlightId<T> {
        FlightId(Arc::clone(&self.flight))
    }

    /// Whether another lead's body may still run, because this lead took the duty to answer from it.
    pub(crate) fn is_beside(&self) -> bool {
        self.is_beside
    }

    /// Marks that this lead waits for another process, so that the patience of those who wait begins anew.
    pub(crate) fn waits_for_another(&mut self) {
        let mut state = self.flight.state();
        if self.has_duty(&state) {
            self.number = state.lead();
        }
    }

    fn has_duty(&self, state: &State<T>) -> bool {
        state.is_led && state.leads == self.number
    }

    /// Whether the attempt before this one ended because the store did not answer. This attempt does not ask it, because
    /// those who wait would pay for a second timeout.
    pub(crate) fn unanswered(&self) -> bool {
        self.unanswered
    }

    /// Marks that the store is being asked for the right to store.
    pub(crate) fn acquire_sent(&mut self) {
        self.advance();
    }

    /// Marks that the body begins, after which a caller joins too late for its outcome.
    pub(crate) fn body_begun(&mut self) {
        self.advance();
    }

    /// Marks that the store is being asked whether the outcome still stands. Its answer says nothing to callers that
    /// join from here on, because it may be older than their arrival.
    pub(crate) fn close(&mut self) {
        self.advance();
    }

    /// Closes the attempt, and runs `change` in the same step; `None`, without `change`, if the flight was detached since
    /// this lead began.
    ///
    /// This is the right to store of a store in this process.
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

    /// Counts a step of this lead.
    fn advance(&mut self) {
        self.began = self.flight.state().advance();
    }

    /// Whether new callers of the key join this flight.
    fn is_in(&self, shard: &HashMap<Arc<str>, Arc<Flight<T>>>) -> bool {
        shard
            .get(&*self.key)
            .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }

    /// Ends the attempt without an answer: one of those who still wait leads the next attempt at once.
    ///
    /// `unanswered`: the store did not answer, so the next attempt should not ask it.
    pub(crate) fn start_over(mut self, unanswered: bool) {
        self.pass_on(unanswered);
    }

    /// Hands the duty to the first of those who wait, or ends the flight if nobody does; nothing where another lead has the
    /// duty.
    fn pass_on(&mut self, unanswered: bool) {
        self.disarm();
        loop {
            let (next, mut lead) = {
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
                let next = state.waiters.remove(0);
                let Self {
                    flights,
                    key,
                    flight,
                    ..
                } = &*self;
                let lead = flights.hand_over(&mut shard, key, flight, &mut state);
                (next, lead)
            };
            lead.unanswered = unanswered;
            // The lead is sent with no lock held, because the channel of a waiter that is gone gives it back.
            match next.turn.send(Turn::Lead(lead)) {
                Err(Turn::Lead(mut returned)) => {
                    returned.disarm();
                    self.number = returned.number;
                }
                Ok(()) | Err(_) => return,
            }
        }
    }

    /// Ends this lead without its drop.
    fn disarm(&mut self) {
        self.is_disarmed = true;
    }
}

impl<T: Clone> Lead<T> {
    /// Answers the callers that joined before the latest step.
    pub(crate) fn answer_early(&mut self, answer: &T) {
        let waiters = self.flight.state().take_before(self.began);
        send(waiters, answer);
    }

    /// Whether anybody waits for an answer.
    pub(crate) fn has_waiters(&self) -> bool {
        let state = self.flight.state();
        state.waiters.iter().any(|waiter| !waiter.turn.is_closed())
    }

    /// Answers the callers that joined before the latest step, and ends the attempt; the rest start over.
    ///
    /// For a value that the store had when it was asked, and for an outcome with the proof that it stood when the attempt
    /// closed.
    pub(crate) fn finish(mut self, answer: &T) {
        self.answer_early(answer);
        self.pass_on(false);
    }

    /// Ends the flight without an answer: all who wait run their own bodies, side by side, as without a cache, and new
    /// callers start another flight. Where another lead has the duty to answer, all wait for that lead.
    pub(crate) fn everybody_alone(mut self) {
        self.disarm();
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
            // Taken while the shard is locked, so that every caller that found the flight there has its seat.
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
        if !self.is_disarmed {
            // A lead without a step made no attempt, so the previous attempt's outcome still holds.
            self.pass_on(self.unanswered && self.began == 0);
        }
    }
}

/// Gives each of them a clone of the answer.
fn send<T: Clone>(waiters: Vec<Waiter<T>>, answer: &T) {
    for waiter in waiters {
        // A waiter that is gone needs no answer.
        drop(waiter.turn.send(Turn::Answer(answer.clone())));
    }
}
