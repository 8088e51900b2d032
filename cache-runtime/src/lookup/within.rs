//! Which flights the present task leads, so that no call waits for itself.
//!
//! The one rule: **a call in a body that would wait for that very body runs its own instead**. A call is
//! known to be in a body if the body's future polls it, or drops what polls it, but not if it was spawned there; a
//! wait that goes round through another task ends with [`run_wait`](crate::CacheBuilder::run_wait).

use std::sync::Arc;

use crate::{
    flight::{FlightId, Lead, Waiting},
    value::answer::Answer,
};

tokio::task_local! {
    static LED: Arc<Led>;
}

/// A flight that the task leads, and those in whose bodies it does.
#[derive(Debug)]
pub(super) struct Led {
    flight: FlightId<Answer>,
    around: Option<Arc<Self>>,
}

impl Led {
    /// The flight of `lead`, in the body that is being polled.
    pub(super) fn by(lead: &Lead<Answer>) -> Arc<Self> {
        Arc::new(Self {
            flight: lead.flight(),
            around: LED.try_with(Arc::clone).ok(),
        })
    }

    /// Runs `poll`, which polls the body of the flight; what the body calls finds itself within.
    pub(super) fn scope<T>(self: &Arc<Self>, poll: impl FnOnce() -> T) -> T {
        LED.sync_scope(Arc::clone(self), poll)
    }

    /// Runs `end`, which drops the body of the flight; also where the thread ends, and has no task-locals any more.
    pub(super) fn scope_end(self: &Arc<Self>, end: &mut dyn FnMut()) {
        struct OnDrop<'a>(&'a mut dyn FnMut());
        impl Drop for OnDrop<'_> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        let on_drop = OnDrop(end);
        // A future in a scope is dropped inside that, too.
        drop(LED.scope(Arc::clone(self), async move { drop(on_drop) }));
    }
}

/// Whether the flight is led by a body in which the present call stands.
pub(super) fn is_own(waiting: &Waiting<Answer>) -> bool {
    let is_own = |innermost: &Arc<Led>| {
        let mut led = std::iter::successors(Some(innermost), |led| led.around.as_ref());
        led.any(|led| waiting.is_for(&led.flight))
    };
    LED.try_with(is_own).unwrap_or(false)
}
