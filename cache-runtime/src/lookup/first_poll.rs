//! A hit in the store of this process, answered at the first poll, before the rest of the call is made.
//!
//! The one rule: **it decides nothing that the read path would decide otherwise**: an entry that is not
//! fresh under all circumstances, and a call of which more is asked than its value, go the whole way.
//!
//! It waits for nothing and, but for the value's clone, allocates nothing. The rest of a call is made on the heap, and
//! only where it is needed, so a call is small wherever it stands. A future for it, through which the value would be
//! handed on, costs a hit a fifth of its instructions.

use super::{Question, read::Found};
use crate::{
    cache::{
        Inner,
        global::{self, AtHand},
    },
    observe::{
        control::Control,
        event::{Event, Tier},
    },
    value::{answer::SharedValue, freshness::RefreshAhead},
};

/// Puts a value, which may be a body's `None`, into a place; whether it did.
type Take<'a> = &'a mut dyn FnMut(Option<&SharedValue>) -> bool;

impl Question {
    /// Lends the entry that is fresh whatever else holds to `take`, if there is one.
    pub(crate) fn at_hand(&self, ahead: Option<RefreshAhead>, take: Take<'_>) {
        if Control::is_scoped() {
            return;
        }
        let inner = match &self.cache {
            Some(cache) => cache.inner(),
            None => match AtHand::find() {
                AtHand::InFirst(inner) => inner,
                AtHand::InInstalled => return self.at_hand_in_installed(ahead, take),
                AtHand::Nowhere => return,
            },
        };
        self.at_hand_in(inner, ahead, take);
    }

    #[inline(never)]
    fn at_hand_in_installed(&self, ahead: Option<RefreshAhead>, take: Take<'_>) {
        global::with_installed(|cache| self.at_hand_in(cache.inner(), ahead, take));
    }

    #[inline(always)]
    fn at_hand_in(&self, inner: &Inner, ahead: Option<RefreshAhead>, take: Take<'_>) -> Option<()> {
        let at_hand = inner.store.at_hand()?;
        if inner.is_passed_by() {
            return None;
        }
        let shared = at_hand(self.key.text()?)?;
        let is_ahead = |when: RefreshAhead| when.may_have_come(shared.aged());
        if shared.is_fresh() && !ahead.is_some_and(is_ahead) && take(shared.value()) {
            let found = Found {
                aged: Some(shared.aged()),
                tier: Tier::Process,
                left: None,
            };
            inner.scene(self.site).tell(&Event::Hit(found.served()));
        }
        None
    }
}
