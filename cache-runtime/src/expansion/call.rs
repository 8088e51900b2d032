//! One call as its expansion spells it, option by option.
//!
//! The one rule: **an expansion only states facts**; what they mean is decided in the read path.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use crate::{
    cache::Cache,
    entry::Entry,
    lookup::{AnyRules, AsSlot, Asks, Question, RunOf, Terms, get_or_run, inline, movable},
    site::{Key, Site},
    value::{
        codec::Cacheable,
        freshness::RefreshAhead,
        policy::{Kind, Lifetimes, Policy, Ttl, Values},
        share::ErrorShare,
    },
};

/// As long as a cache's own timeout may be.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// A type that an option of a duration can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not how long something lasts; write a `Duration`, or a `u64` of seconds",
    label = "neither a `Duration` nor a `u64`"
)]
pub trait Lifetime {
    /// This as a `Duration`.
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

/// What is known of a type of values.
pub struct Types<V: 'static> {
    kind: Kind<V>,
    as_slot: AsSlot<V>,
    as_optional_slot: AsSlot<Option<V>>,
}

impl<V: Cacheable> Types<V> {
    /// Values that are written and shared like this.
    pub const fn new(kind: Kind<V>) -> Self {
        Self {
            kind,
            as_slot: AsSlot::new(),
            as_optional_slot: AsSlot::new(),
        }
    }
}

impl<V> fmt::Debug for Types<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

/// A call of an annotated function that returns `R`, which is made of a `V`.
#[must_use = "a call does nothing until it is run"]
pub struct Call<V: 'static, R: 'static = V> {
    question: Question,
    policy: Policy<V, R>,
    as_slot: fn(&Types<V>) -> AsSlot<R>,
    types: &'static Types<V>,
}

impl<V> Call<V, V> {
    /// A call with this key.
    pub fn new(site: &'static Site, key: Key, types: &'static Types<V>) -> Self {
        Self {
            question: Question {
                site,
                key,
                cache: None,
                timeout: None,
            },
            policy: Policy {
                values: Values::of(&types.kind),
                lifetimes: Lifetimes::new(),
            },
            as_slot: |types| types.as_slot,
            types,
        }
    }

    /// The call of a function that returns `Option<V>`.
    pub fn optional(self) -> Call<V, Option<V>> {
        let Self {
            question,
            policy: Policy { values, lifetimes },
            as_slot: _,
            types,
        } = self;
        Call {
            question,
            policy: Policy {
                values: values.optional(),
                lifetimes,
            },
            as_slot: |types| types.as_optional_slot,
            types,
        }
    }
}

impl<V, R> Call<V, R> {
    /// Sets how long a value is fresh.
    pub fn ttl(mut self, ttl: impl Lifetime) -> Self {
        self.policy.lifetimes.ttl = Ttl::For(ttl.duration());
        self
    }

    /// Lets the value say how long it is fresh.
    pub fn ttl_by(mut self, ttl: fn(&V) -> Duration) -> Self {
        self.policy.lifetimes.ttl = Ttl::By(ttl);
        self
    }

    /// Stores a value only if `wanted` says so.
    pub fn cache_if(mut self, wanted: fn(&V) -> bool) -> Self {
        self.policy.lifetimes.cache_if = Some(wanted);
        self
    }

    /// Stores `None` too, for this long.
    pub fn none_ttl(mut self, ttl: impl Lifetime) -> Self {
        self.policy.lifetimes.none_ttl = Some(ttl.duration());
        self
    }

    /// Bounds the time that the cache may cost this call.
    pub fn timeout(mut self, timeout: impl Lifetime) -> Self {
        // Bounded, because an expression may say anything, and an `Instant` overflows where a `Duration` does not.
        self.question.timeout = Some(timeout.duration().min(LONGEST_TIMEOUT));
        self
    }

    /// Answers with an older value for this long after its ttl, and refreshes it in the background.
    pub fn stale_while_revalidate(mut self, window: impl Lifetime) -> Self {
        let window = window.duration();
        if window.is_zero() {
            self.question.site.report_zero("stale_while_revalidate");
        }
        self.policy.lifetimes.freshness.stale_while_revalidate = window;
        self
    }

    /// Answers with an older value for this long after its ttl, where the body fails.
    pub fn stale_if_error(mut self, window: impl Lifetime) -> Self {
        let window = window.duration();
        if window.is_zero() {
            self.question.site.report_zero("stale_if_error");
        }
        self.policy.lifetimes.freshness.stale_if_error = window;
        self
    }

    /// Waits no longer than this for the body while there is an older value that serves.
    pub fn soft_timeout(mut self, limit: impl Lifetime) -> Self {
        let limit = limit.duration();
        match limit {
            Duration::ZERO => self.question.site.report_zero("soft_timeout"),
            limit => {
                self.policy.lifetimes.freshness.soft_timeout = Some(limit.min(LONGEST_TIMEOUT))
            }
        }
        self
    }

    /// Refreshes in the background when this share of the ttl has passed.
    pub fn refresh_ahead(mut self, share: f64) -> Self {
        self.policy.lifetimes.freshness.refresh_ahead =
            Some(RefreshAhead::Fraction(share.clamp(0.0, 1.0)));
        self
    }

    /// Refreshes in the background before the ttl ends, by XFetch.
    pub fn refresh_ahead_xfetch(mut self) -> Self {
        self.policy.lifetimes.freshness.refresh_ahead = Some(RefreshAhead::XFetch);
        self
    }

    /// Shortens each ttl by a random share of up to this.
    pub fn jitter(mut self, share: f64) -> Self {
        self.policy.lifetimes.freshness.jitter = share.clamp(0.0, 1.0);
        self
    }

    /// Shares one body run among every process on the same Redis.
    pub fn coalesce_cluster(mut self) -> Self {
        self.policy.lifetimes.freshness.cluster = true;
        self
    }

    /// Asks this cache, and not the global one.
    pub fn cache(mut self, cache: impl Into<Cache>) -> Self {
        self.question.cache = Some(cache.into());
        self
    }
}

impl<V: 'static, R: 'static> Call<V, R> {
    /// The value that answers the call whatever else holds, if the store of this process has one.
    #[inline]
    pub fn at_hand(&self) -> Option<R> {
        let Self {
            question, policy, ..
        } = self;
        let mut place = None;
        question.at_hand(policy.lifetimes.freshness.refresh_ahead, &mut |shared| {
            policy.values.take(shared, &mut place);
            place.is_some()
        });
        place
    }

    /// Answers from the cache, else from `body`.
    // As the others below: inlined for the compiler's sake, as `lookup::body` has it.
    #[inline(always)]
    pub fn run<F>(&self, body: impl FnOnce() -> F) -> impl Future<Output = R>
    where
        F: Future<Output = R>,
    {
        get_or_run(self, ErrorShare::cloned(), false, inline(body))
    }

    /// Answers from the cache, else from `body`, whose errors are never stored.
    #[inline(always)]
    pub fn run_result<E, F>(
        &self,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> impl Future<Output = Result<R, E>>
    where
        F: Future<Output = Result<R, E>>,
    {
        get_or_run(self, errors, false, inline(body))
    }

    /// As [`run`](Self::run), with a body that can run in the background: `inline` is the body for a caller that waits,
    /// `background` the body that uses what `own` makes of the arguments. One of the two is called at most.
    #[inline(always)]
    pub fn run_behind<A, O, F, G>(
        &self,
        arguments: A,
        inline: impl FnOnce(A) -> F,
        own: impl FnOnce(A) -> O,
        background: impl FnOnce(O) -> G,
    ) -> impl Future<Output = R>
    where
        R: Send + 'static,
        F: Future<Output = R>,
        G: Future<Output = R> + Send + 'static,
    {
        let own = |arguments| background(own(arguments));
        let begin = |arguments, run: RunOf<R>, errors| run.begin(own, arguments, errors);
        let work = movable(arguments, inline, begin);
        get_or_run(self, ErrorShare::cloned(), true, work)
    }

    /// As [`run_behind`](Self::run_behind), with bodies whose errors are never stored.
    #[inline(always)]
    pub fn run_result_behind<A, O, E, F, G>(
        &self,
        errors: ErrorShare<E>,
        arguments: A,
        inline: impl FnOnce(A) -> F,
        own: impl FnOnce(A) -> O,
        background: impl FnOnce(O) -> G,
    ) -> impl Future<Output = Result<R, E>>
    where
        R: Send + 'static,
        E: 'static,
        F: Future<Output = Result<R, E>>,
        G: Future<Output = Result<R, E>> + Send + 'static,
    {
        let own = |arguments| background(own(arguments));
        let begin = |arguments, run: RunOf<R>, errors| run.begin(own, arguments, errors);
        get_or_run(self, errors, true, movable(arguments, inline, begin))
    }
}

impl<V: 'static, R: 'static> Terms<R> for &Call<V, R> {
    fn rules(&self) -> &AnyRules<R> {
        &self.policy
    }

    fn ttl(&self) -> Option<Duration> {
        None
    }

    fn as_slot(&self) -> AsSlot<R> {
        (self.as_slot)(self.types)
    }
}

impl<V: 'static, R: 'static> Asks<R> for &Call<V, R> {
    fn question(&self) -> &Question {
        &self.question
    }
}

impl<V: 'static, R: 'static> Call<V, R> {
    /// The entry that the call reads and writes.
    pub fn entry(self) -> Entry<R> {
        Entry::new(
            self.question,
            Arc::new(self.policy),
            (self.as_slot)(self.types),
        )
    }
}

impl<V, R> fmt::Debug for Call<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("site", &self.question.site)
            .field("key", &self.question.key)
            .finish_non_exhaustive()
    }
}
