//! A hit in the store of this process, answered at the first poll.
//!
//! The one rule: **it decides nothing that the read path would decide otherwise**: an entry that is not
//! fresh under all circumstances, and a call of which more is asked than its value, go the whole way.
//!
//! It waits for nothing and, but for the value's clone, allocates nothing. The rest of a call is made on the heap, and
//! only where it is needed, so a call is small wherever it stands.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use super::{Question, boxed, read::Found};
use crate::{
    cache::{Cache, global},
    observe::{
        control::Control,
        event::{Event, Tier},
    },
    store::memory::Shared,
    value::{
        answer::SharedValue,
        freshness::{Circumstances, Freshness, Judgement},
        policy::Rules,
    },
};

/// Answers a call with `hit` of the value that is fresh whatever else holds; pending says nothing about the store.
pub(crate) fn near<R, T>(
    question: &Question,
    rules: &impl Rules<R>,
    hit: impl FnOnce(R) -> T,
) -> Poll<T> {
    let mut value = None;
    let take = &mut |shared: Option<&SharedValue>| {
        rules.take(shared, &mut value);
        value.is_some()
    };
    fresh(question, rules.freshness(), take);
    match value {
        Some(value) => Poll::Ready(hit(value)),
        None => Poll::Pending,
    }
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
    let Shared { value, aged, .. } = key.look_up(&inner.prefix, at_hand)?;
    if freshness.judge(Some(aged), &THE_MOST) == Judgement::Fresh && take(value.as_ref()) {
        let found = Found {
            aged: Some(aged),
            tier: Tier::Process,
            left: None,
        };
        inner.scene(site).tell(&Event::Hit(found.served()));
    }
    None
}

/// Answers at the first poll by what `near` finds, else by `rest`, which is only made then.
pub(crate) fn near_first<C, F: Future>(
    call: C,
    near: impl Fn(&C) -> Poll<F::Output>,
    rest: impl FnOnce(C) -> F,
) -> impl Future<Output = F::Output> {
    let mut first = Some((call, rest));
    let mut going: Option<Pin<Box<F>>> = None;
    poll_fn(move |cx| {
        // Borrowed, because the call would be copied on its way out of here and back.
        if let Some((call, _)) = &first {
            let answer = near(call);
            if answer.is_ready() {
                return answer;
            }
        }
        if let Some((call, rest)) = first.take() {
            going = Some(boxed(rest, call));
        }
        match &mut going {
            Some(going) => go_on(going, cx),
            None => unreachable!("invariant: made at the first poll"),
        }
    })
}

/// Kept out of the function that answers a near hit, which needs little of the stack.
#[inline(never)]
fn go_on<F: Future>(going: &mut Pin<Box<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    going.as_mut().poll(cx)
}
