//! The read path, from a call to its answer.
//!
//! The one rule: **the cache may save a call its body, and can do nothing else to it**: whatever
//! fails here, the body runs, and what it returned is returned.
//!
//! | step | in | what happens | may end in |
//! |---|---|---|---|
//! | at hand | [`first_poll`] | the store of this process has a value that is [fresh whatever else holds](Question::at_hand) | the answer |
//! | bypass | here | no cache, one that is off or was shut down, no key, or `NoStore` | [`Step::Body`] |
//! | take over | [`acquire`] | `NoCache`, or a refresh: what is stored or computed now does not count | [`Step::Body`] |
//! | read | [`read`], [`decision`] | the store has a value that can be read: the [freshness](crate::value::freshness) says whether it is the answer, and whether a body runs in the background | [`Step::Answer`], [`Step::Background`] |
//! | join | [`join`], [`wait`], [`within`] | somebody computes this key: wait for that, but not for ever, nor for oneself; nobody does: lead | [`Step::Answer`], [`Step::Failed`], [`Step::Body`] |
//! | acquire | [`acquire`] | the right to store; or a value that was stored meanwhile | [`Step::Answer`], [`Step::Body`] |
//! | body | [`body`], [`running`], [`renew`]; [`background`] | once, whoever waits; a call of `only_if_cached` is parked where one would be needed | the outcome |
//! | store | [`commit`] | under the right to store, whose answer says who else may have the outcome | the outcome |
//!
//! The path is cut at the body. All before it, and all after it, knows no types of the user, and is compiled once: a [`course`]
//! goes from step to step, sees the value as a [`Slot`](slot), and asks its [`Caller`](seam) for what only the typed side can do. That
//! side is two files: [`caller`] is compiled for each type of value, and [`body`] for each function. An error is never in here, but
//! for the copy that callers share.
//!
//! A hit allocates its course, and decodes its value on the stack unless it is large. Whatever goes beyond a hit is on the heap, so
//! that calls stay small: cached functions call each other.

mod acquire;
mod alarm;
mod background;
mod body;
mod caller;
mod commit;
mod course;
mod decision;
mod first_poll;
mod join;
mod read;
mod renew;
mod running;
mod seam;
mod slot;
mod terms;
mod wait;
mod within;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use background::SoftWait;
pub(crate) use body::{get_or_run, inline, movable, refresh};
pub(crate) use commit::prepared;
use read::{Found, Read};
pub(crate) use renew::renewing;
use running::Running;
use seam::{BoxCourse, BoxRun, Caller};
pub(crate) use slot::{AnyRules, AsSlot, Held, Lent, Outgoing, Slot};
pub(crate) use terms::{Asks, RunOf, Terms};

use crate::{
    cache::{Cache, Inner, global},
    error::Error,
    observe::{
        Scene,
        control::{CacheControl, Control},
        event::Event,
    },
    site::{Key, Site},
    store::{Seen, Standing, budget::Budget},
    value::share::Kept,
};

/// What one call of an annotated function asks the cache for.
pub(crate) struct Question {
    pub(crate) site: &'static Site,
    pub(crate) key: Key,
    /// Default: as [`global`] finds it.
    pub(crate) cache: Option<Cache>,
    /// Default: the cache's.
    pub(crate) timeout: Option<Duration>,
}

/// What the path comes to before a body runs: the one thing that is left to do, and needs the caller.
enum Step {
    /// The answer is in the slot.
    Answer,
    /// A body begins in the background. Then the answer is in the slot; or it is there after that wait.
    Background(BoxRun, Option<Box<SoftWait>>),
    /// The body runs for its caller.
    Body(Box<Running>),
    /// The body that this call waited for failed with that error, and no older value serves. Where it is no error of
    /// this function's, the call's own body runs.
    Failed(Kept, Box<Lookup>),
}

/// What a call came to before a body runs, and its slot.
type Decided = (Step, Box<dyn Slot>);

/// A cache, and a whole key in it.
type KeyInCache = (Arc<Inner>, Arc<str>);

/// A future that knows no user types.
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Question {
    /// The course of a call that asks this. `movable`: the body can run without its caller.
    ///
    /// # Cancel safety
    ///
    /// Dropping it hands the work to a call that waits for it, which runs its own body.
    fn begin(&self, caller: &dyn Caller, movable: bool) -> BoxCourse {
        let control = Control::of_this_call();
        match control.directive() {
            None => {}
            Some(CacheControl::NoCache) => return self.take_over(control, caller),
            Some(CacheControl::NoStore) => {
                return bypass(self.site, self.cache_if_any(), control, caller);
            }
        }
        match self.place() {
            Ok((cache, key)) => {
                let lookup = self.look_up(cache, key, control);
                if let Some(lead) = lookup.lead_at_once(caller) {
                    let lookup = Box::new(lookup);
                    return course::deciding(lookup.read_as_leader(lead, caller.slot()));
                }
                if lookup.is_to_be_deleted() {
                    let lookup = Box::new(lookup);
                    return course::deciding(lookup.read_later(caller.slot(), movable));
                }
                course::reading(lookup, movable)
            }
            Err(cache) => bypass(self.site, cache, control, caller),
        }
    }

    /// The course of a refresh, whose body runs in any case; its value takes the place of what is stored or computed now.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stores nothing; a call that waits for it runs its own body.
    fn begin_anew(&self, caller: &dyn Caller) -> BoxCourse {
        self.take_over(Control::of_this_call(), caller)
    }

    fn take_over(&self, control: Control, caller: &dyn Caller) -> BoxCourse {
        if control.is_only_if_cached() {
            return bypass(self.site, None, control, caller);
        }
        match self.place() {
            Ok((cache, key)) => {
                let lookup = Box::new(self.look_up(cache, key, control));
                course::deciding(lookup.take_over(caller.slot()))
            }
            Err(cache) => bypass(self.site, cache, control, caller),
        }
    }

    /// Puts what is stored into the slot, if a call would be answered that without its body.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn peek(
        &self,
        (cache, key): KeyInCache,
        slot: &mut dyn Slot,
    ) -> Result<(), Error> {
        if cache.pending.holds(&key) {
            // Urgent, as it was for whoever asked for it: it passes the breaker, because here no body can answer in
            // its place.
            let timeout = self.timeout.unwrap_or(cache.timeout);
            cache.invalidate(&key, timeout).await?;
        }
        let mut lookup = self.look_up(cache, key, Control::none());
        let found = match lookup.standing().await? {
            Some(standing) => lookup.take(standing, slot).await,
            None => None,
        };
        if found.is_none_or(|found| !slot.freshness().answers(found.aged)) {
            slot.clear();
        }
        Ok(())
    }

    /// The cache, and the whole key in it. Where the call has no key, or goes round the cache, only the cache that it would
    /// have used, if there is one.
    fn place(&self) -> Result<KeyInCache, Option<Arc<Inner>>> {
        let cache = match self.cache_if_any() {
            Some(cache) => Some(cache),
            None => global::installed().map(|cache| Arc::clone(cache.inner())),
        };
        if let Some(no_key) = self.key.failure() {
            scene(self.site, cache.as_deref()).tell(&Event::Error(no_key));
            return Err(cache);
        }
        let cache = cache.ok_or(None)?;
        match self.key.in_cache(&cache.prefix) {
            Ok(key) if !cache.is_passed_by() => Ok((cache, key)),
            Ok(_) | Err(_) => Err(Some(cache)),
        }
    }

    /// Says what happened to the function, in the cache that a call would use, if there is one.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        scene(self.site, self.cache_if_any().as_deref()).tell(event);
    }

    /// The cache that the call uses, unless that is the global one, and that was not made yet.
    #[inline]
    fn cache_if_any(&self) -> Option<Arc<Inner>> {
        let inner = |cache: &Cache| Some(Arc::clone(cache.inner()));
        match &self.cache {
            Some(cache) => inner(cache),
            None => global::with_installed(inner),
        }
    }

    fn look_up(&self, cache: Arc<Inner>, key: Arc<str>, control: Control) -> Lookup {
        Lookup {
            site: self.site,
            budget: Budget::new(self.timeout.unwrap_or(cache.timeout)),
            key,
            seen: Seen::Nothing,
            outdated: false,
            unreadable: false,
            control,
            cache,
        }
    }
}

/// The body, without the cache. `cache`: the one that the call would have used.
fn bypass(
    site: &'static Site,
    cache: Option<Arc<Inner>>,
    mut control: Control,
    caller: &dyn Caller,
) -> BoxCourse {
    let slot = caller.slot();
    course::deciding(Box::pin(async move {
        if control.is_only_if_cached() {
            match control.park().await {}
        }
        scene(site, cache.as_deref()).tell_of(&mut control, None, &Event::Bypass);
        (Step::Body(Running::bypassing(site, cache, control)), slot)
    }))
}

/// Where things happen to the calls of a function; in no cache, if they have none.
fn scene<'a>(site: &'a Site, cache: Option<&'a Inner>) -> Scene<'a> {
    match cache {
        Some(cache) => cache.scene(site),
        None => Scene::new(site, None),
    }
}

/// The state of one call on its way.
struct Lookup {
    site: &'static Site,
    cache: Arc<Inner>,
    budget: Budget,
    key: Arc<str>,
    seen: Seen,
    /// There is an older value, which is deleted where the body returns nothing to store.
    outdated: bool,
    /// What is stored is no value of this type.
    unreadable: bool,
    control: Control,
}

impl Lookup {
    /// Whether the key is left alone, because its last body failed or somebody else is at it.
    fn backs_off(&self) -> bool {
        self.cache.background.backs_off(&self.key)
    }

    /// Says what happened to this call.
    #[inline]
    fn tell(&mut self, event: &Event<'_>) {
        let Self {
            site,
            cache,
            control,
            key,
            ..
        } = self;
        cache.scene(site).tell_of(control, Some(key), event);
    }

    /// Where this call happens.
    fn scene(&self) -> Scene<'_> {
        self.cache.scene(self.site)
    }

    /// The call is answered with a fresh value.
    fn hit(&mut self, found: &Found) {
        let Self {
            site,
            cache,
            control,
            key,
            ..
        } = self;
        let scene = cache.scene(site);
        scene.misses().end_row();
        scene.tell_of(control, Some(key), &Event::Hit(found.served()));
    }

    /// The call is answered with a value that is past its ttl.
    fn stale(&mut self, found: &Found) {
        self.tell(&Event::Stale(found.served()));
    }

    /// Answers with the value that was set aside.
    fn fall_back(&mut self, slot: &mut dyn Slot, found: &Found) {
        slot.fall_back();
        self.stale(found);
    }

    /// The call is answered with what a body came to that ran for it.
    fn missed(&mut self) {
        self.tell(&Event::Miss);
    }

    /// The call is answered with what another call's body came to.
    fn coalesced(&mut self) {
        self.tell(&Event::Coalesced);
    }

    /// What was read, if anything was. A failure is told.
    fn unless_failed(&self, read: Read) -> Option<Standing> {
        read.unwrap_or_else(|error| {
            self.failed(&error);
            None
        })
    }

    /// The cache failed, in a way that no caller gets to see.
    fn failed(&self, error: &Error) {
        self.scene().tell(&Event::Error(error));
    }
}

impl Drop for Lookup {
    /// Says how long the call waited for the store, however it ended.
    fn drop(&mut self) {
        let in_store = self.budget.spent();
        self.scene().tell(&Event::Left { in_store });
    }
}

/// A random number in (0, 1].
pub(crate) fn draw() -> f64 {
    1.0 - fastrand::f64()
}
