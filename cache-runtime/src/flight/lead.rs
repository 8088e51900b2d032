//! The duty to answer a flight.

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
    /// Its place among the leads of the flight.
    number: u64,
    /// How often the flight had been opened when this lead began.
    opened: u64,
    /// It took the duty from another lead, which may still be at it.
    pub(super) is_beside: bool,
    /// The latest step: who joined before it may have what comes of it.
    began: u64,
    /// The previous attempt ended because the store did not answer.
    unanswered: bool,
    over: bool,
}

impl<T> Flights<T> {
    /// Gives the duty to answer `flight` to somebody, and opens it to new callers unless they have another.
    pub(super) fn hand_over(
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
