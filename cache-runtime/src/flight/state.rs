//! Who leads a flight, and who waits for it.

use super::Turn;
use crate::base::{seats::push_seat, sync::oneshot};

#[derive(Debug)]
pub(super) struct State<T> {
    /// Advances at every acquire sent, every body begun and every attempt closed.
    pub(super) step: u64,
    /// How often somebody got the duty to answer; each lead has the number at which it got it.
    pub(super) leads: u64,
    /// Whether somebody has that duty: the lead with the highest number.
    pub(super) is_led: bool,
    /// How often the flight was opened to new callers: at its start, and by a waiter that leads on after
    /// it was detached.
    pub(super) opened: u64,
    /// How many callers ever waited, which numbers their seats.
    pub(super) seats: u64,
    pub(super) waiters: Vec<Waiter<T>>,
}

#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) seat: u64,
    pub(super) joined: u64,
    pub(super) turn: oneshot::Sender<Turn<T>>,
}

impl<T> State<T> {
    pub(super) fn advance(&mut self) -> u64 {
        self.step += 1;
        self.step
    }

    /// Counts one who gets the duty to answer.
    pub(super) fn lead(&mut self) -> u64 {
        self.leads += 1;
        self.is_led = true;
        self.leads
    }

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
        // Those who come later have higher numbers, so the list is in their order.
        let at = self.waiters.binary_search_by_key(&seat, |it| it.seat);
        at.ok().map(|at| self.waiters.remove(at))
    }

    pub(super) fn waiting(&self) -> usize {
        let waits = |waiter: &&Waiter<T>| !waiter.turn.is_closed();
        self.waiters.iter().filter(waits).count()
    }

    /// Takes out those who joined before `step`.
    pub(super) fn take_before(&mut self, step: u64) -> Vec<Waiter<T>> {
        // Joining pushes at the end and steps only grow, so the list is in the order of `joined`.
        let late = self.waiters.partition_point(|waiter| waiter.joined < step);
        let rest = self.waiters.split_off(late);
        std::mem::replace(&mut self.waiters, rest)
    }
}
