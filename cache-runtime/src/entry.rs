//! One entry of a cache, to look at and to change.
//!
//! The one rule: **after `invalidate` or `put` returned `Ok`, no call that begins sees a value whose
//! body began before it was called**; in this process and in others, through the same primary.
//!
//! Here is what an entry is; each kind of operation has a file of its own.

mod by_key;
mod compute;
mod invalidate;
mod put;
mod read;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cache::{Cache, Inner, global},
    error::{Error, ErrorKind},
    lookup::{AnyRules, AsSlot, Asks, Held, Question, Terms},
    site::{Key, SharedKey, Site},
    store::redis::lease::LeaseKeys,
    value::{
        codec::Codec,
        policy::{Kind, Lifetimes, Policy, Values},
        share::ValueShare,
    },
};

/// The entry of one call: what `get_user_entry(42)` returns, and [`Cache::entry`].
///
/// `R` is what the function returns, without its `Result`. Nothing is done, and no cache is looked
/// for, before one of the async operations is polled.
#[must_use = "an entry does nothing by itself"]
pub struct Entry<R> {
    question: Question,
    rules: Arc<AnyRules<R>>,
    as_slot: AsSlot<R>,
    /// Default: the attribute's.
    ttl: Option<Duration>,
}

impl<R> Entry<R> {
    pub(crate) fn new(question: Question, rules: Arc<AnyRules<R>>, as_slot: AsSlot<R>) -> Self {
        Self {
            question,
            rules,
            as_slot,
            ttl: None,
        }
    }

    pub(crate) fn spelled(cache: Cache, key: Key) -> Self
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        static SITE: Site = Site::new("Cache::entry", &());
        let question = Question {
            site: &SITE,
            key,
            cache: Some(cache),
            timeout: None,
        };
        let kind = const { &Kind::new(Codec::<R>::json(), ValueShare::alone()) };
        let policy = Policy {
            values: Values::of(kind),
            lifetimes: Lifetimes::new(),
        };
        Self::new(question, Arc::new(policy), AsSlot::new())
    }

    /// The key, for a function that shares the entry.
    pub(crate) fn into_key(self) -> SharedKey {
        SharedKey {
            owner: self.question.site,
            stores_none: self.rules.stores_none(),
            key: self.question.key,
        }
    }

    /// Sets how long values that are stored through this entry live, whatever the attribute says.
    ///
    /// Default: the attribute's `ttl`; [`Cache::entry`] has none.
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The whole key, as Redis has it.
    ///
    /// # Errors
    ///
    /// If an argument cannot be written as a key, the key was given as a text that cannot be one, as
    /// [`CacheKey`](crate::CacheKey) has it, or no cache is configured.
    pub fn key(&self) -> Result<Arc<str>, Error> {
        self.place().map(|(_, key)| key)
    }

    /// The keys that another program deletes to invalidate this entry, in this order, each with a command of its
    /// own: the lease, without which no body that runs now stores what it returns; the lock; and the
    /// [value's](Self::key), in a Redis Cluster only after an answer to the lease's that is no redirect.
    ///
    /// A program of this crate says [`invalidate`](Self::invalidate). For one in another language
    /// `examples/invalidate.py` has the rule by which the first two are made of the third.
    ///
    /// ```
    /// use cache_runtime::{Cache, redis_cached};
    ///
    /// #[redis_cached(ttl = 60, key = "user:{id}", skip(cache), cache = cache)]
    /// async fn user(cache: &Cache, id: u64) -> u64 {
    ///     id
    /// }
    ///
    /// # fn main() -> Result<(), cache_runtime::Error> {
    /// let cache = Cache::builder().in_memory().prefix("shop").build()?;
    /// let keys = user_entry(&cache, 7).guard_keys()?;
    /// assert_eq!(keys.each_ref().map(|key| &**key), [
    ///     "shop:%t:{shop:user:7}",
    ///     "shop:%l:{shop:user:7}",
    ///     "shop:user:7",
    /// ]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`key`](Self::key).
    pub fn guard_keys(&self) -> Result<[Arc<str>; 3], Error> {
        let (cache, key) = self.place()?;
        let LeaseKeys { value, lease, lock } = LeaseKeys::new(&cache.inner().prefix, &key);
        Ok([lease, lock, value])
    }

    /// The cache and the key in it.
    fn place(&self) -> Result<(Cache, Arc<str>), Error> {
        let cache = match &self.question.cache {
            Some(cache) => cache.clone(),
            None => global::installed_or_made()?,
        };
        if cache.is_shut_down() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the cache was shut down",
            ));
        }
        let key = self.question.key.in_cache(&cache.inner().prefix)?;
        Ok((cache, key))
    }

    fn timeout(&self, cache: &Inner) -> Duration {
        self.question.timeout.unwrap_or(cache.timeout)
    }

    fn deadline(&self, cache: &Inner) -> Instant {
        Instant::now() + self.timeout(cache)
    }
}

impl<R> Terms<R> for &Entry<R> {
    fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    fn rules(&self) -> &AnyRules<R> {
        &*self.rules
    }

    fn as_slot(&self) -> AsSlot<R> {
        self.as_slot
    }

    fn held(&self) -> Held<'_, R> {
        Held::kept(Arc::clone(&self.rules), self.ttl, self.as_slot)
    }
}

impl<R> Asks<R> for &Entry<R> {
    fn question(&self) -> &Question {
        &self.question
    }
}

impl<R> fmt::Debug for Entry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("site", &self.question.site)
            .field("key", &self.question.key)
            .finish_non_exhaustive()
    }
}
