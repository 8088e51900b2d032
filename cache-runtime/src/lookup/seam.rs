//! What the two sides of the path know of each other: the one that is compiled once, and the one that knows a call's types.
//!
//! The one rule: **each side has the other as a trait object**, because a compiler makes all that it can see of a type again in
//! each crate that uses it, also what only drops it.
//!
//! | trait | is | implemented by |
//! |---|---|---|
//! | [`Caller`] | a call, with its types | [`caller`](super::caller) |
//! | [`AnyWork`] | the body of a call | [`body`](super::body) |
//! | [`AnyCourse`] | the course of a call | [`course`](super::course) |
//! | [`AnyRun`] | a run that is about to begin in the background | [`background`](super::background) |

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use super::{BoxFuture, slot::Slot};
use crate::value::{freshness::Freshness, share::Kept};

/// A call, with its types.
pub(super) trait Caller {
    /// Lends an empty slot to `read`, which says whether it has put the answer there. Where it has not, gives the slot, with what
    /// is in it.
    fn read(&mut self, read: &mut dyn FnMut(&mut dyn Slot) -> bool) -> Option<Box<dyn Slot>>;

    /// For how long, and how, an entry may be answered.
    fn freshness(&self) -> &Freshness;

    /// An empty slot.
    fn slot(&self) -> Box<dyn Slot>;

    /// Makes the value in the slot the answer.
    fn answer(&mut self, slot: &mut dyn Slot);

    /// Begins the body.
    fn begin(&mut self);

    /// Begins the body in the background.
    fn begin_in_background(&mut self, run: BoxRun);

    /// Polls the body, and puts the value that it returns into the slot.
    fn poll(&mut self, slot: &mut dyn Slot, cx: &mut Context<'_>) -> Poll<Ended>;

    /// Drops the body.
    fn drop_body(&mut self);

    /// Keeps of the body's error what others can have.
    fn keep_error(&self) -> Option<Kept>;

    /// Makes the body's error the answer.
    fn fail(&mut self);

    /// Makes what another body's error was kept as the answer; `false` if it is no error of this call's.
    fn take_error(&mut self, kept: &Kept) -> bool;
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its value is in the slot.
    Returned,
    /// Its error is with the caller.
    Failed,
}

/// A body of values of any type.
pub(crate) trait AnyWork {
    /// Drops a body that has begun in the call.
    fn drop_body(&mut self);
}

/// The course of a call.
pub(super) trait AnyCourse: Send {
    /// Goes on as far as that is possible now; at its end the caller has its answer.
    fn poll(self: Pin<&mut Self>, caller: &mut dyn Caller, cx: &mut Context<'_>);

    /// Drops a body that runs.
    fn leave(self: Pin<&mut Self>, work: &mut dyn AnyWork);
}

/// An [`AnyCourse`] on the heap, where it stays.
pub(super) type BoxCourse = Pin<Box<dyn AnyCourse>>;

/// A run that is about to begin in the background.
pub(super) trait AnyRun: Send {
    /// Begins it on the present runtime, with an empty slot; `call` is not called where the body is not to run.
    fn begin(self: Box<Self>, slot: Box<dyn Slot>, call: CallOf);

    /// Tells the log that copying the body's arguments panicked, and lets the key back off.
    fn has_no_body(&self);
}

/// An [`AnyRun`] on the heap.
pub(super) type BoxRun = Box<dyn AnyRun>;

/// Makes the call of a body that begins now, of a course that has come that far.
pub(super) type CallOf = Box<dyn FnOnce(BoxCourse) -> BoxFuture<'static, ()> + Send>;
