//! One call as its expansion spells it, option by option.
//!
//! The one rule: **an expansion only states facts**; what they mean is decided in the read path.

use std::{convert::Infallible, fmt, future::Future, sync::Arc, time::Duration};

use crate::{
    cache::Cache,
    codec::Codec,
    entry::Entry,
    lookup::Lookup,
    policy::{Policy, Ttl},
    probe::{ErrorShare, ValueShare},
    site::{Key, Site},
};

/// As long as a cache's own timeout may be.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// A call of an annotated function that returns `R`, which is made of a `V`.
#[must_use = "a call does nothing until it is run"]
pub struct Call<V, R = V> {
    site: &'static Site,
    key: Key,
    policy: Policy<V, R>,
    timeout: Option<Duration>,
    cache: Option<Cache>,
}

impl<V> Call<V, V> {
    /// A call with this key, of a function whose values are written and shared like this.
    pub fn new(site: &'static Site, key: Key, codec: Codec<V>, value: ValueShare<V>) -> Self {
        Self {
            site,
            key,
            policy: Policy::new(codec, value),
            timeout: None,
            cache: None,
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
        } = self;
        Call {
            site,
            key,
            policy: policy.optional(),
            timeout,
            cache,
        }
    }
}

impl<V, R> Call<V, R> {
    /// How long a value is fresh.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = Ttl::For(ttl);
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
    pub fn none_ttl(mut self, ttl: Duration) -> Self {
        self.policy.none_ttl = Some(ttl);
        self
    }

    /// What the cache may cost this call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        // An expression may say anything, and the clock overflows where a `Duration` does not.
        self.timeout = Some(timeout.min(LONGEST_TIMEOUT));
        self
    }

    /// A cache other than the global one.
    pub fn cache(mut self, cache: impl Into<Cache>) -> Self {
        self.cache = Some(cache.into());
        self
    }

    /// Answers from the cache, else from `body`.
    pub async fn run<F>(self, body: impl FnOnce() -> F) -> R
    where
        F: Future<Output = R>,
    {
        let errors = ErrorShare::<Infallible>::cloned();
        match self
            .run_result(errors, || async move { Ok(body().await) })
            .await
        {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// Answers from the cache, else from `body`, whose errors are never stored.
    pub async fn run_result<E, F>(
        self,
        errors: ErrorShare<E>,
        body: impl FnOnce() -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        let Self {
            site,
            key,
            policy,
            timeout,
            cache,
        } = self;
        let lookup = Lookup {
            site,
            key: &key,
            rules: &policy,
            cache,
            timeout,
            ttl: None,
        };
        lookup.run(errors, body).await
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
        } = self;
        Entry::of_site(site, key, Arc::new(policy), timeout, cache)
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
