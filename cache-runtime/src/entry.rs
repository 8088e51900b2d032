//! One entry of a cache, to look at and to change.
//!
//! The one rule: **after `invalidate` or `put` returned `Ok`, no call that begins sees a value whose
//! body began before it was called**; in this process and in others, through the same primary.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answer::Answer,
    cache::{Cache, Inner},
    codec::Codec,
    error::{Error, ErrorKind},
    global,
    lookup::{Lookup, kept_in_process, report},
    policy::{Policy, Rules},
    probe::{ErrorShare, ValueShare},
    site::{Key, Site},
    store::{
        Store,
        memory::{MemoryStore, dropping_values_later},
        redis::RedisStore,
    },
    token::{self, Keys},
};

/// The entry of one call: what `get_user_entry(42)` returns, and [`Cache::entry`].
///
/// `R` is what the function returns, without its `Result`. Nothing is done, and no cache is looked
/// for, before one of the async operations is polled.
#[must_use = "an entry does nothing by itself"]
pub struct Entry<R> {
    site: &'static Site,
    key: Key,
    rules: Arc<dyn Rules<R> + Send + Sync>,
    timeout: Option<Duration>,
    cache: Option<Cache>,
    ttl: Option<Duration>,
}

impl<R> Entry<R> {
    pub(crate) fn of_site(
        site: &'static Site,
        key: Key,
        rules: Arc<dyn Rules<R> + Send + Sync>,
        timeout: Option<Duration>,
        cache: Option<Cache>,
    ) -> Self {
        Self {
            site,
            key,
            rules,
            timeout,
            cache,
            ttl: None,
        }
    }

    pub(crate) fn spelled(cache: Cache, key: Key) -> Self
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        static SITE: Site = Site::new("Cache::entry", || "");
        let share = ValueShare::alone();
        Self {
            site: &SITE,
            key,
            rules: Arc::new(Policy::new(Codec::<R>::json(), share)),
            timeout: None,
            cache: Some(cache),
            ttl: None,
        }
    }

    /// Says how long values live that are stored through this entry, whatever the attribute says.
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
    /// If an argument cannot be written as a key, or no cache is configured.
    pub fn key(&self) -> Result<Arc<str>, Error> {
        self.place().map(|(_, key)| key)
    }

    /// What is stored; `None` if there is nothing, or nothing that is an `R`.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn get(&self) -> Result<Option<R>, Error> {
        let (cache, key) = self.place()?;
        let cache = cache.inner();
        let bytes = match &cache.store {
            Store::Memory(memory) => {
                return Ok(memory
                    .get(&key)
                    .and_then(|stored| self.rules.take(stored.as_ref())));
            }
            Store::Redis(redis) => {
                if cache.unfinished.holds(cache, &key) {
                    cache.invalidate(&key, self.timeout(cache)).await?;
                }
                redis.get(&key, self.deadline(cache)).await?
            }
        };
        Ok(bytes.and_then(|bytes| match self.rules.decode(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                report(self.site.counters(), &error);
                None
            }
        }))
    }

    /// How much longer what is stored lives; `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, or does not answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ttl(&self) -> Result<Option<Duration>, Error> {
        let (cache, key) = self.place()?;
        match &cache.inner().store {
            Store::Memory(memory) => Ok(memory.ttl(&key)),
            Store::Redis(redis) => redis.ttl(&key, self.deadline(cache.inner())).await,
        }
    }

    /// Stores `value`, whatever `cache_if` says of it, in the place of what is stored or computed now.
    ///
    /// It is encoded before this returns. Two that put at once are not ordered by it.
    ///
    /// # Errors
    ///
    /// If `value` cannot be encoded or has no ttl, or if Redis does not take it in time. What was
    /// stored before may then still be there.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped may have stored or not.
    pub fn put(&self, value: &R) -> impl Future<Output = Result<(), Error>> + Send + use<R> {
        let put = self.prepare(value);
        async move {
            let Put {
                cache,
                key,
                ttl,
                timeout,
                value,
            } = put?;
            match value {
                Prepared::Memory(memory, answer) => {
                    dropping_values_later(|| {
                        cache
                            .flights
                            .detach(&key, || memory.insert(&key, &answer, ttl));
                    });
                }
                Prepared::Redis(redis, bytes) => {
                    cache.flights.detach(&key, || ());
                    let keys = Keys::new(&cache.prefix, &key);
                    let began = Instant::now();
                    token::put(&redis, &keys, &bytes, ttl, began + timeout).await?;
                    cache.unfinished.finish(&key, began);
                }
            }
            Ok(())
        }
    }

    fn prepare(&self, value: &R) -> Result<Put, Error> {
        let (cache, key) = self.place()?;
        let cache = cache.inner();
        let Some(ttl) = self.rules.lifetime_of_put(value, self.ttl)? else {
            return Err(Error::new(
                ErrorKind::Encode,
                "nothing says how long to store this; say `entry.with_ttl(…)` with more than zero",
            ));
        };
        let value = match &cache.store {
            Store::Memory(memory) => {
                let answer = self.rules.share(value, None)?;
                let kept = kept_in_process(self.site, &*self.rules, value, &answer);
                let kept = kept.ok_or_else(|| {
                    Error::new(ErrorKind::Encode, "the value does not survive its own JSON")
                })?;
                Prepared::Memory(Arc::clone(memory), kept)
            }
            Store::Redis(redis) => Prepared::Redis(Arc::clone(redis), self.rules.encode(value)?),
        };
        Ok(Put {
            cache: Arc::clone(cache),
            key,
            ttl,
            timeout: self.timeout(cache),
            value,
        })
    }

    /// Takes the value away, and the right to store from every body that runs.
    ///
    /// Call it after the change to the source is committed. It is tried even while Redis does not
    /// answer.
    ///
    /// # Errors
    ///
    /// If Redis does not confirm it in time. This process then deletes the value before it next reads
    /// it, and keeps trying in the background; other processes may read the old value meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped after its first poll counts as one that failed.
    pub async fn invalidate(&self) -> Result<(), Error> {
        let (cache, key) = self.place()?;
        let cache = cache.inner();
        cache.invalidate(&key, self.timeout(cache)).await
    }

    /// Answers as the annotated function does, with another body.
    ///
    /// An entry of [`Cache::entry`] stores what the body returns only if it has a ttl:
    /// [`with_ttl`](Self::with_ttl).
    ///
    /// # Cancel safety
    ///
    /// As a call of the function: another call that waits goes on with its own body.
    pub async fn get_or_compute<F>(&self, body: impl FnOnce() -> F) -> F::Output
    where
        F: Future<Output: Returns<R>>,
    {
        let errors = ErrorShare::<<F::Output as Returns<R>>::Error>::alone();
        let outcome = self
            .lookup()
            .run(errors, || async move { body().await.into_result() })
            .await;
        Returns::from_result(outcome)
    }

    /// Runs `body` now, and stores what it returns in the place of what is stored or computed now.
    ///
    /// What goes wrong in the cache is counted; the body's outcome is returned in any case.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped stores nothing.
    pub async fn refresh<F>(&self, body: F) -> F::Output
    where
        F: Future<Output: Returns<R>>,
    {
        let errors = ErrorShare::<<F::Output as Returns<R>>::Error>::alone();
        let outcome = self
            .lookup()
            .refresh(errors, || async move { body.await.into_result() })
            .await;
        Returns::from_result(outcome)
    }

    fn lookup(&self) -> Lookup<'_, R> {
        Lookup {
            site: self.site,
            key: &self.key,
            rules: &*self.rules,
            cache: self.cache.clone(),
            timeout: self.timeout,
            ttl: self.ttl,
        }
    }

    /// The cache and the key in it.
    fn place(&self) -> Result<(Cache, Arc<str>), Error> {
        let cache = match &self.cache {
            Some(cache) => cache.clone(),
            None => global::installed_or_made()?,
        };
        if cache.is_shut_down() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the cache was shut down",
            ));
        }
        let key = self.key.in_cache(&cache.inner().prefix)?;
        Ok((cache, key))
    }

    fn timeout(&self, cache: &Inner) -> Duration {
        self.timeout.unwrap_or(cache.timeout)
    }

    fn deadline(&self, cache: &Inner) -> Instant {
        Instant::now() + self.timeout(cache)
    }
}

/// A value on its way into the cache.
struct Put {
    cache: Arc<Inner>,
    key: Arc<str>,
    ttl: Duration,
    timeout: Duration,
    value: Prepared,
}

enum Prepared {
    Memory(Arc<MemoryStore>, Answer),
    Redis(Arc<RedisStore>, Bytes),
}

/// What a body may return: `R` itself, or a `Result` of it, of which an `Err` is never stored.
pub trait Returns<R>: Sized {
    /// What a body can fail with; [`Infallible`] where it cannot.
    type Error;

    /// The `Result` that this is, or can be taken for.
    ///
    /// # Errors
    ///
    /// The body's.
    fn into_result(self) -> Result<R, Self::Error>;

    /// The way back.
    fn from_result(result: Result<R, Self::Error>) -> Self;
}

impl<R> Returns<R> for R {
    type Error = Infallible;

    fn into_result(self) -> Result<R, Infallible> {
        Ok(self)
    }

    fn from_result(result: Result<R, Infallible>) -> Self {
        match result {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

impl<R, E> Returns<R> for Result<R, E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }

    fn from_result(result: Self) -> Self {
        result
    }
}

impl<R> fmt::Debug for Entry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("site", &self.site)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
