//! One call as its expansion spells it, option by option.
//!
//! The one rule: **an expansion only states facts**; what they mean is decided in the read path.

use std::{
    convert::{Infallible, identity},
    fmt,
    future::Future,
    sync::Arc,
    time::Duration,
};

use crate::{
    cache::Cache,
    entry::Entry,
    lookup::{AsSlot, Asks, Question, RunOf, Work, answer, inline, near, near_first},
    site::{Key, Site},
    value::{
        codec::{Cacheable, Codec},
        freshness::RefreshAhead,
        policy::{Policy, Rules, Ttl},
        share::{ErrorShare, ValueShare},
    },
};

/// As long as a cache's own timeout may be.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// What an option that lasts can be made of.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not how long something lasts; write a `Duration`, or a `u64` of seconds",
    label = "neither a `Duration` nor a `u64`"
)]
pub trait Lifetime {
    /// The same as a duration.
    fn duration(self) -> Duration;
}

impl Lifetime for Duration {
    #[inline]
    fn duration(self) -> Duration {
        self
    }
}

/// Whole seconds, as a number in an attribute is.
impl Lifetime for u64 {
    #[inline]
    fn duration(self) -> Duration {
        Duration::from_secs(self)
    }
}

/// A call of an annotated function that returns `R`, which is made of a `V`.
#[must_use = "a call does nothing until it is run"]
pub struct Call<V, R = V> {
    site: &'static Site,
    key: Key,
    policy: Policy<V, R>,
    timeout: Option<Duration>,
    cache: Option<Cache>,
    as_slot: AsSlot<R>,
    /// The same for a function that returns `Option<V>`.
    as_optional_slot: AsSlot<Option<V>>,
}

impl<V> Call<V, V> {
    /// A call with this key, of a function whose values are written and shared like this.
    pub fn new(site: &'static Site, key: Key, codec: Codec<V>, value: ValueShare<V>) -> Self
    where
        V: Cacheable,
    {
        Self {
            site,
            key,
            policy: Policy::new(codec, value),
            timeout: None,
            cache: None,
            as_slot: |held| held,
            as_optional_slot: |held| held,
        }
    }

    /// The function returns `Option<V>`.
    pub fn optional(self) -> Call<V, Option<V>> {
        let Self {
            site,
            key,
            policy,
            timeout,
            cache,
            as_slot: _,
            as_optional_slot,
        } = self;
        Call {
            site,
            key,
            policy: policy.optional(),
            timeout,
            cache,
            as_slot: as_optional_slot,
            as_optional_slot,
        }
    }
}

impl<V, R> Call<V, R> {
    /// How long a value is fresh.
    pub fn ttl(mut self, ttl: impl Lifetime) -> Self {
        self.policy.ttl = Ttl::For(ttl.duration());
        self
    }

    /// The value says how long it is fresh.
    pub fn ttl_by(mut self, ttl: fn(&V) -> Duration) -> Self {
        self.policy.ttl = Ttl::By(ttl);
        self
    }

    /// Stores only what this says.
    pub fn cache_if(mut self, wanted: fn(&V) -> bool) -> Self {
        self.policy.cache_if = Some(wanted);
        self
    }

    /// Stores `None` too, for this long.
    pub fn none_ttl(mut self, ttl: impl Lifetime) -> Self {
        self.policy.none_ttl = Some(ttl.duration());
        self
    }

    /// What the cache may cost this call.
    pub fn timeout(mut self, timeout: impl Lifetime) -> Self {
        // An expression may say anything, and the clock overflows where a `Duration` does not.
        self.timeout = Some(timeout.duration().min(LONGEST_TIMEOUT));
        self
    }

    /// Answers with an older value for this long after its ttl, and refreshes it in the background.
    pub fn stale_while_revalidate(mut self, window: impl Lifetime) -> Self {
        let window = window.duration();
        if self.site.is_sensible("stale_while_revalidate", window) {
            self.policy.freshness.stale_while_revalidate = window;
        }
        self
    }

    /// Answers with an older value for this long after its ttl, where the body fails.
    pub fn stale_if_error(mut self, window: impl Lifetime) -> Self {
        let window = window.duration();
        if self.site.is_sensible("stale_if_error", window) {
            self.policy.freshness.stale_if_error = window;
        }
        self
    }

    /// Waits no longer than this for the body while there is an older value that serves.
    pub fn soft_timeout(mut self, limit: impl Lifetime) -> Self {
        let limit = limit.duration();
        if self.site.is_sensible("soft_timeout", limit) {
            self.policy.freshness.soft_timeout = Some(limit.min(LONGEST_TIMEOUT));
        }
        self
    }

    /// Refreshes in the background when this share of the ttl has passed.
    pub fn refresh_ahead(mut self, share: f64) -> Self {
        self.policy.freshness.refresh_ahead = Some(RefreshAhead::Fraction(share.clamp(0.0, 1.0)));
        self
    }

    /// Refreshes in the background before the ttl ends, by XFetch.
    pub fn refresh_ahead_xfetch(mut self) -> Self {
        self.policy.freshness.refresh_ahead = Some(RefreshAhead::XFetch);
        self
    }

    /// Shortens each ttl by a random share of up to this.
    pub fn jitter(mut self, share: f64) -> Self {
        self.policy.freshness.jitter = share.clamp(0.0, 1.0);
        self
    }

    /// Shares one body run among every process on the same Redis.
    pub fn coalesce_cluster(mut self) -> Self {
        self.policy.freshness.cluster = true;
        self
    }

    /// A cache other than the global one.
    pub fn cache(mut self, cache: impl Into<Cache>) -> Self {
        self.cache = Some(cache.into());
        self
    }
}

impl<V: 'static, R: 'static> Call<V, R> {
    /// Answers from the cache, else from `body`.
    pub fn run<F>(self, body: impl FnOnce() -> F) -> impl Future<Output = R>
    where
        F: Future<Output = R>,
    {
        let errors = ErrorShare::<Infallible>::cloned();
        let work = inline(|()| sure(body()));
        self.answer(errors, work, identity, infallible)
    }

    /// Answers from the cache, else from `body`, whose errors are never stored.
    pub fn run_result<E, F>(
        self,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> impl Future<Output = Result<R, E>>
    where
        F: Future<Output = Result<R, E>>,
    {
        self.answer(errors, inline(|()| body()), Ok, identity)
    }

    /// As [`run`](Self::run), with a body that can go on in the background: `here` is the body for a
    /// caller that waits, `behind` the one that uses what `own` makes of its arguments. One of the two is called
    /// at most.
    pub async fn run_behind<A, O, F, G>(
        self,
        arguments: A,
        here: impl FnOnce(A) -> F,
        own: impl FnOnce(A) -> O,
        behind: impl FnOnce(O) -> G,
    ) -> R
    where
        R: Send + 'static,
        F: Future<Output = R>,
        G: Future<Output = R> + Send + 'static,
    {
        let errors = ErrorShare::<Infallible>::cloned();
        let own = |arguments| sure(behind(own(arguments)));
        let work = Work {
            arguments,
            inline: |arguments| sure(here(arguments)),
            background: Some(|arguments, run: RunOf<R>, errors| run.begin(own, arguments, errors)),
        };
        self.answer(errors, work, identity, infallible).await
    }

    /// As [`run_behind`](Self::run_behind), with bodies whose errors are never stored.
    pub async fn run_result_behind<A, O, E, F, G>(
        self,
        errors: ErrorShare<E>,
        arguments: A,
        here: impl FnOnce(A) -> F,
        own: impl FnOnce(A) -> O,
        behind: impl FnOnce(O) -> G,
    ) -> Result<R, E>
    where
        R: Send + 'static,
        E: 'static,
        F: Future<Output = Result<R, E>>,
        G: Future<Output = Result<R, E>> + Send + 'static,
    {
        let own = |arguments| behind(own(arguments));
        let work = Work {
            arguments,
            inline: here,
            background: Some(|arguments, run: RunOf<R>, errors| run.begin(own, arguments, errors)),
        };
        self.answer(errors, work, Ok, identity).await
    }

    /// `hit`, `end`: what the function returns for a value of the cache, and for the outcome of the whole way. Functions and
    /// no closures, because a closure is a type of each function of the user, for which all that takes it is compiled.
    fn answer<A, E, F, I, B, T>(
        self,
        errors: ErrorShare<E>,
        work: Work<A, I, B>,
        hit: impl Fn(R) -> T,
        end: impl Fn(Result<R, E>) -> T,
    ) -> impl Future<Output = T>
    where
        I: FnOnce(A) -> F,
        F: Future<Output = Result<R, E>>,
        B: FnOnce(A, RunOf<R>, ErrorShare<E>),
    {
        near_first(
            (self, errors, work),
            move |(call, ..)| {
                let Self {
                    site,
                    key,
                    policy,
                    cache,
                    ..
                } = call;
                near(site, key, policy, cache.as_ref(), &hit)
            },
            |(call, errors, work)| answer(call, errors, work, end),
        )
    }
}

impl<V: 'static, R: 'static> Asks<R> for Call<V, R> {
    fn question(&self) -> Question<'_> {
        Question {
            site: self.site,
            key: &self.key,
            cache: self.cache.as_ref(),
            timeout: self.timeout,
            ttl: None,
        }
    }

    fn rules(&self) -> &(dyn Rules<R> + Send + Sync) {
        &self.policy
    }

    fn as_slot(&self) -> AsSlot<R> {
        self.as_slot
    }
}

/// A body that cannot fail.
async fn sure<R>(body: impl Future<Output = R>) -> Result<R, Infallible> {
    Ok(body.await)
}

fn infallible<R>(outcome: Result<R, Infallible>) -> R {
    match outcome {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl<V: 'static, R: 'static> Call<V, R> {
    /// The entry that the call reads and writes.
    pub fn entry(self) -> Entry<R> {
        let Self {
            site,
            key,
            policy,
            timeout,
            cache,
            as_slot,
            as_optional_slot: _,
        } = self;
        Entry::of_site(site, key, Arc::new(policy), as_slot, timeout, cache)
    }
}

impl<V, R> fmt::Debug for Call<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("site", &self.site)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
