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

    /// An empty slot, to which these terms lend what they say. Terms that keep their rules share them instead, because a slot
    /// that goes on the heap copies what it is lent.
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

    fn held(&self) -> Held<'_, R> {
        Held::kept(Arc::clone(&self.rules), None, self.as_slot)
    }
}

/// A run in the background, with what is known of its value.
pub(crate) struct RunOf<R> {
    pub(super) run: BoxRun,
    pub(super) terms: KeptTerms<R>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{
        codec::Codec,
        policy::{Kind, Lifetimes, Policy, Values},
        share::ValueShare,
    };

    #[test]
    fn a_slot_of_kept_terms_shares_their_rules() {
        let kind = const { &Kind::new(Codec::<u8>::json(), ValueShare::alone()) };
        let terms = KeptTerms {
            rules: Arc::new(Policy {
                values: Values::of(kind),
                lifetimes: Lifetimes::new(),
            }),
            as_slot: AsSlot::new(),
        };
        let slot = terms.held().keep();
        assert_eq!(Arc::strong_count(&terms.rules), 2);
        drop(slot);
        assert_eq!(Arc::strong_count(&terms.rules), 1);
    }
}
