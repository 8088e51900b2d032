//! A timer for a call, which may begin on one runtime and go on on another one, or on none.
//!
//! The one rule: **a timer never panics**: it is made anew on each runtime that the call comes to. Tokio's own
//! panics when it is polled after the end of the runtime that it was made on.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use crate::base::runtime::has_timers;

/// Waits until `at`; for ever while the present runtime has no timers.
///
/// # Cancel safety
///
/// Dropping the future changes nothing.
pub(super) async fn alarm(at: Instant) {
    let mut timer = pin!(None::<Sleep>);
    let mut place = None;
    poll_fn(|cx| {
        let here = Handle::try_current().ok().map(|runtime| runtime.id());
        if place != here {
            place = here;
            let has_timers = here.is_some() && has_timers();
            timer.set(has_timers.then(|| sleep_until(at)));
        }
        let timer = timer.as_mut().as_pin_mut();
        timer.map_or(Poll::Pending, |timer| timer.poll(cx))
    })
    .await;
}
