//! What is known of a call, and of values of the call's type.
//!
//! The one rule: **no body's type is in it**, so that what knows these terms is compiled for each type of value.

use std::{sync::Arc, time::Duration};

use super::{
    Question,
    seam::BoxRun,
    slot::{AnyRules, AsSlot, Held},
};

/// What is known of values of type `R`.
pub(crate) trait Terms<R> {
    /// What the attribute says about them.
    fn rules(&self) -> &AnyRules<R>;

    /// For how long they are fresh. Default: as the attribute says.
    fn ttl(&self) -> Option<Duration>;

    /// How a slot for them forgets their type.
    fn as_slot(&self) -> AsSlot<R>;

    /// An empty slot, to which these terms lend what they say.
    fn held(&self) -> Held<'_, R> {
        Held::lent(self.rules(), self.ttl(), self.as_slot())
    }
}

/// Somebody whose calls return `R`.
pub(crate) trait Asks<R>: Terms<R> {
    /// What a call asks for.
    fn question(&self) -> &Question;
}

/// [`Terms`] that outlive their call.
pub(super) struct KeptTerms<R> {
    pub(super) rules: Arc<AnyRules<R>>,
    pub(super) as_slot: AsSlot<R>,
}

impl<R> Terms<R> for KeptTerms<R> {
    fn rules(&self) -> &AnyRules<R> {
        &*self.rules
    }

    fn ttl(&self) -> Option<Duration> {
        None
    }

    fn as_slot(&self) -> AsSlot<R> {
        self.as_slot
    }
}

/// A run in the background, with what is known of its value.
pub(crate) struct RunOf<R> {
    pub(super) run: BoxRun,
    pub(super) terms: KeptTerms<R>,
}
