//! A hit in the store of this process, answered at the first poll.
//!
//! The one rule: **it decides nothing that the read path would decide otherwise**: an entry that is not
//! fresh under all circumstances, and a call of which more is asked than its value, go the whole way.
//!
//! It waits for nothing and, but for the value's clone, allocates nothing. The rest of a call is made on the heap, and
//! only where it is needed, so a call is small wherever it stands.

use super::{Question, read::Found};
use crate::{
    cache::{Cache, global},
    observe::{
        control::Control,
        event::{Event, Tier},
    },
    value::{
        answer::SharedValue,
        freshness::{Circumstances, Freshness, Judgement},
        policy::Rules,
    },
};

/// Puts the value that is fresh whatever else holds into the empty place; a place that stays empty says nothing about the
/// store.
pub(crate) fn near<R>(question: &Question, rules: &impl Rules<R>, place: &mut Option<R>) {
    let take = &mut |shared: Option<&SharedValue>| {
        rules.take(shared, place);
        place.is_some()
    };
    fresh(question, rules.freshness(), take);
}

/// The most demanding circumstances, because an entry that is fresh under these is fresh under any. XFetch's one draw is
/// left to the rest of the call.
const THE_MOST: Circumstances<'static> = Circumstances {
    backs_off: &|| false,
    movable: &|| true,
    draw: &|| 0.0,
};

/// Lends the entry to `take`, if it is fresh whatever else holds. `take` says whether it is the answer.
fn fresh(
    question: &Question,
    freshness: &Freshness,
    take: &mut dyn FnMut(Option<&SharedValue>) -> bool,
) {
    if Control::is_scoped() {
        return;
    }
    match &question.cache {
        Some(cache) => fresh_in(cache, question, freshness, take),
        None => global::with_installed(|cache| fresh_in(cache, question, freshness, take)),
    };
}

fn fresh_in(
    cache: &Cache,
    Question { site, key, .. }: &Question,
    freshness: &Freshness,
    take: &mut dyn FnMut(Option<&SharedValue>) -> bool,
) -> Option<()> {
    let inner = cache.inner();
    let at_hand = inner.store.at_hand()?;
    if cache.is_shut_down() {
        return None;
    }
    let shared = key.look_up(&inner.prefix, at_hand)?;
    let aged = shared.aged();
    if freshness.judge(Some(aged), &THE_MOST) == Judgement::Fresh && take(shared.value()) {
        let found = Found {
            aged: Some(aged),
            tier: Tier::Process,
            left: None,
        };
        inner.scene(site).tell(&Event::Hit(found.served()));
    }
    None
}
