//! A hit in the store of this process, answered at the first poll.
//!
//! The one rule: **it decides nothing that the read path would decide otherwise**: an entry that is not
//! fresh under all circumstances, and a call of which more is asked than its value, go the whole way.
//!
//! It waits for nothing and, but for the value's clone, allocates nothing. The rest of a call is made on the heap, and
//! only where it is needed, so a call is small wherever it stands.

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
    value::{answer::SharedValue, freshness::Freshness, policy::Policy},
};

/// Puts the value that is fresh whatever else holds into the empty place; a place that stays empty says nothing about the
/// store.
pub(crate) fn near<V: 'static, R: 'static>(
    question: &Question,
    policy: &Policy<V, R>,
    place: &mut Option<R>,
) {
    let take = &mut |shared: Option<&SharedValue>| {
        policy.take_clone(shared, place);
        place.is_some()
    };
    fresh(question, &policy.freshness, take);
}

/// Lends the entry to `take`, if it is fresh whatever else holds. `take` says whether it is the answer.
fn fresh(question: &Question, freshness: &Freshness, take: Take<'_>) {
    if Control::is_scoped() {
        return;
    }
    let inner = match &question.cache {
        Some(cache) => cache.inner(),
        None => match AtHand::find() {
            AtHand::InFirst(inner) => inner,
            AtHand::InInstalled => return fresh_in_installed(question, freshness, take),
            AtHand::Nowhere => return,
        },
    };
    fresh_in(inner, question, freshness, take);
}

type Take<'a> = &'a mut dyn FnMut(Option<&SharedValue>) -> bool;

#[inline(never)]
fn fresh_in_installed(question: &Question, freshness: &Freshness, take: Take<'_>) {
    global::with_installed(|cache| fresh_in(cache.inner(), question, freshness, take));
}

#[inline(always)]
fn fresh_in(
    inner: &Inner,
    Question { site, key, .. }: &Question,
    freshness: &Freshness,
    take: Take<'_>,
) -> Option<()> {
    let at_hand = inner.store.at_hand()?;
    if inner.is_shut_down() {
        return None;
    }
    let shared = at_hand(key.text()?)?;
    if shared.is_fresh() && !freshness.may_refresh_ahead(|| shared.aged()) && take(shared.value()) {
        let found = Found {
            aged: Some(shared.aged()),
            tier: Tier::Process,
            left: None,
        };
        inner.scene(site).tell(&Event::Hit(found.served()));
    }
    None
}
