//! What the log is told of an event.
//!
//! The one rule: **a line has `function` and `cause`, and neither a key nor a value.** How often a warning is written is
//! the business of the function that it speaks of.

use std::sync::atomic::{AtomicBool, Ordering};

use super::event::{Event, Refusal};
use crate::{
    error::{Error, ErrorKind},
    site::Site,
};

/// Writes the line of an event, if it has one. Of what happens as it should there is none.
#[inline(always)]
pub(super) fn hear(site: &Site, event: &Event<'_>) {
    match event {
        Event::Hit(_)
        | Event::Stale(_)
        | Event::Miss
        | Event::Coalesced
        | Event::Bypass
        | Event::Overtook
        | Event::BodyBegan { .. }
        | Event::BodyEnded { .. }
        | Event::Stored { .. }
        | Event::Refused(Refusal::Revoked)
        | Event::Invalidated
        | Event::Left { .. } => {}
        trouble => write(site, trouble),
    }
}

#[cold]
fn write(site: &Site, event: &Event<'_>) {
    match *event {
        Event::Error(error) => failed(site, error),
        Event::Refused(Refusal::Unsaid(error)) => {
            site.warn_unsaid(error);
            failed(site, error);
        }
        Event::Refused(Refusal::TooLarge(error)) => {
            site.warn_too_large(error);
            failed(site, error);
        }
        Event::Unreadable(error) => site.warn_unread(error),
        Event::Lossy(cause) => site.warn_of_loss(cause),
        Event::Distant { took, timeout } => site.warn_of_distance(took, timeout),
        Event::Waiting(waited) => site.warn_of_wait(waited),
        Event::OwnKey => site.warn_of_own_key(),
        Event::NotInvalidated {
            error,
            is_callers: false,
        } => site.warn_not_invalidated(error),
        Event::GivenUp { limit } => tracing::warn!(
            function = %site.place(),
            cause = "it ran longer than `background_timeout`",
            ?limit,
            "a body in the background took too long and was given up"
        ),
        Event::NotCloned => tracing::error!(
            function = %site.place(),
            cause = "a panic, whose message went to the panic hook",
            "an argument's `Clone` panicked, so a body does not run in the background"
        ),
        _ => {}
    }
}

/// Tells of an error that no caller gets to see.
fn failed(site: &Site, error: &Error) {
    if error.kind() == ErrorKind::Key {
        // Where there is no cause, the function never has a key, and was named once for that.
        if let Some(cause) = error.cause() {
            tracing::debug!(function = %site.place(), cause, "this call runs without the cache");
        }
        return;
    }
    if error.kind() == ErrorKind::NoRuntime {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !WARNED.swap(true, Ordering::Relaxed) {
            tracing::warn!(function = %site.place(), cause = error.told(), "calls run without the cache");
        }
    }
    if let Some(remedy) = error.remedy() {
        site.warn_refused(error, remedy);
    }
    tracing::debug!(function = %site.place(), cause = error.told(), "the cache failed, the call goes on");
}
