//! The state of a link, and the number that a change of it must name.
//!
//! The one rule: **a change names the connection that it is about**, and an event of a connection whose place another one
//! has taken changes nothing.

use std::sync::Arc;

use tokio::sync::watch;

use super::super::live::Live;
use crate::error::Error;

/// Whether there is a connection.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// There is no connection, and nobody makes one.
    Gone,
    /// The task of the connection with this number makes it.
    Connecting(u64),
    Up(Arc<Live>),
    /// The task could not make one.
    Failed(Error),
    /// There is not to be a connection any more.
    Closed,
}

/// Sets the state that connection `number` comes to, if the link still waits for it.
pub(super) fn settle(state: &watch::Sender<State>, number: u64, settled: State) {
    state.send_if_modified(|state| {
        let awaited = matches!(state, State::Connecting(awaited) if *awaited == number);
        if awaited {
            *state = settled;
        }
        awaited
    });
}

/// A guard of the task: when it is dropped, the link's connection is gone, unless another one has taken its place.
pub(super) struct GoneOnDrop {
    pub(super) state: Arc<watch::Sender<State>>,
    pub(super) number: u64,
}

/// What came of handing out another connection, or the present one with other credentials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Handover {
    Done,
    /// Refused, because the server keeps something for the present connection that another one would lack.
    Pinned,
    /// The connection was taken away meanwhile.
    Gone,
}

impl GoneOnDrop {
    /// Hands out `next` from now on, if it may take the place of what is handed out.
    pub(super) fn hand_over(&mut self, next: &Arc<Live>) -> Handover {
        let mut handover = Handover::Gone;
        self.state.send_if_modified(|state| {
            handover = match state {
                State::Up(live) if live.number != self.number => Handover::Gone,
                // Asked here, so that a pin comes before this or is set on `next`: see `Connection`.
                State::Up(live) if live.is_pinned() && live.number != next.number => {
                    Handover::Pinned
                }
                State::Up(live) => {
                    *live = Arc::clone(next);
                    Handover::Done
                }
                _ => Handover::Gone,
            };
            handover == Handover::Done
        });
        if handover == Handover::Done {
            self.number = next.number;
        }
        handover
    }
}

impl Drop for GoneOnDrop {
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            let mine = match state {
                State::Connecting(number) => *number == self.number,
                State::Up(live) => live.number == self.number,
                State::Gone | State::Failed(_) | State::Closed => false,
            };
            if mine {
                *state = State::Gone;
            }
            mine
        });
    }
}
