//! The state of one flight: its count of steps, its leads, and the callers that wait.
//!
//! The one rule: **counts only grow**, so that a number tells what came before it from what came after.

use super::Turn;
use crate::base::{seats::push_seat, sync::oneshot};

#[derive(Debug)]
pub(super) struct State<T> {
    /// How many steps there were: acquires sent, bodies begun, attempts closed.
    pub(super) step: u64,
    /// How many leads there were. Each has the number that this count had when it got the duty to answer.
    pub(super) leads: u64,
    /// Whether the lead with the highest number still has the duty to answer; else nobody has it.
    pub(super) is_led: bool,
    /// How often the flight was opened to new callers: at its start, and by each waiter that leads on after the flight
    /// was detached.
    pub(super) opened: u64,
    /// How many callers ever waited. The count numbers their seats.
    pub(super) seats: u64,
    pub(super) waiters: Vec<Waiter<T>>,
}

/// One caller that waits.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) seat: u64,
    /// The step at which the caller joined.
    pub(super) joined: u64,
    pub(super) turn: oneshot::Sender<Turn<T>>,
}

impl<T> State<T> {
    /// Counts a step.
    pub(super) fn advance(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// Counts a lead that gets the duty to answer, and gives its number.
    pub(super) fn lead(&mut self) -> u64 {
        self.leads += 1;
        self.is_led = true;
        self.leads
    }

    /// Seats a caller.
    pub(super) fn wait(&mut self) -> (u64, oneshot::Receiver<Turn<T>>) {
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
    pub(super) fn take_seat(&mut self, seat: u64) -> Option<Waiter<T>> {
        // The list is in the order of the seats, because each new caller gets a higher number.
        let at = self.waiters.binary_search_by_key(&seat, |it| it.seat);
        at.ok().map(|at| self.waiters.remove(at))
    }

    /// How many callers wait and have not gone away.
    pub(super) fn waiting(&self) -> usize {
        let waits = |waiter: &&Waiter<T>| !waiter.turn.is_closed();
        self.waiters.iter().filter(waits).count()
    }

    /// Takes out the callers that joined before `step`.
    pub(super) fn take_before(&mut self, step: u64) -> Vec<Waiter<T>> {
        // The list is in the order of `joined`, because joining pushes at the end and steps only grow.
        let late = self.waiters.partition_point(|waiter| waiter.joined < step);
        let rest = self.waiters.split_off(late);
        std::mem::replace(&mut self.waiters, rest)
    }
}
