//! What a course knows of its call, and of values of the call's type.
//!
//! The one rule: **no body's type is in it**, so that what knows these terms is compiled for each type of value.

use std::{sync::Arc, time::Duration};

use crate::{
    lookup::{
        Question,
        background::{Acquiring, Run, Watch},
        running::Running,
        slot::{AsSlot, Held, Values},
    },
    value::policy::Rules,
};

/// What is known of values of type `R`.
pub(crate) trait Terms<R> {
    /// What the attribute says about them.
    fn rules(&self) -> &(dyn Rules<R> + Send + Sync);

    /// For how long they are fresh. Default: as the attribute says.
    fn ttl(&self) -> Option<Duration>;

    /// How a slot for them forgets their type.
    fn as_slot(&self) -> AsSlot<R>;

    /// Puts a value that answers whatever else holds into the empty place. Default: there is none.
    fn near(&self, _place: &mut Option<R>) {}
}

/// Somebody whose calls return `R`.
pub(crate) trait Asks<R>: Terms<R> {
    /// What a call asks for.
    fn question(&self) -> &Question;
}

/// [`Terms`] that outlive their call.
pub(in crate::lookup) struct KeptTerms<R> {
    pub(super) rules: Arc<dyn Rules<R> + Send + Sync>,
    pub(super) as_slot: AsSlot<R>,
}

impl<R> Terms<R> for KeptTerms<R> {
    fn rules(&self) -> &(dyn Rules<R> + Send + Sync) {
        &*self.rules
    }

    fn ttl(&self) -> Option<Duration> {
        None
    }

    fn as_slot(&self) -> AsSlot<R> {
        self.as_slot
    }
}

/// A run in the background that has its right to store, as [`Acquiring::acquire`].
pub(in crate::lookup) async fn acquired<R>(
    acquiring: Acquiring,
    terms: &KeptTerms<R>,
) -> Option<(Box<Running>, Watch)> {
    let mut place = Values::empty();
    let mut held = Held::new(terms.rules(), terms.ttl(), terms.as_slot(), &mut place);
    acquiring.acquire(held.slot()).await
}

/// A [`Run`] with what is known of its value.
pub(crate) struct RunOf<R> {
    pub(in crate::lookup) run: Box<Run>,
    pub(in crate::lookup) terms: KeptTerms<R>,
}
