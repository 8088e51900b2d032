//! One entry of a cache, to look at and to change.
//!
//! The one rule: **after `invalidate` or `put` returned `Ok`, no call that begins sees a value whose
//! body began before it was called**; in this process and in others, through the same primary.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cache::{Cache, Inner, RecordOnDrop, global},
    error::{Error, ErrorKind},
    key::CacheKey,
    lookup::{
        AsSlot, Asks, Held, Lent, Outgoing as _, Question, answer, draw, inline, prepared, refresh,
        renewing,
    },
    site::{Key, SharedKey, Site},
    store::{Prepared, Write, redis::lease::LeaseKeys},
    value::{
        codec::Codec,
        policy::{Policy, Rules, not_encoded},
        share::{ErrorShare, ValueShare},
    },
};

impl Cache {
    /// The entry under `key`, which follows the cache's prefix; for keys of trait methods, of other
    /// crates and of other programs.
    ///
    /// The key is what [`key!`](crate::key!) writes, or a text. A text that cannot be a key, as
    /// [`CacheKey`] has it, makes each operation an error.
    ///
    /// [`Entry::put`] needs a ttl here: [`Entry::with_ttl`].
    pub fn entry<R>(&self, key: impl Into<CacheKey>) -> Entry<R>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        Entry::spelled(self.clone(), Key::written(key.into()))
    }

    /// The value under `key`, which follows the cache's prefix; `None` if there is none, or one of
    /// another type.
    ///
    /// # Errors
    ///
    /// If `key` cannot be a key, as [`CacheKey`] has it, or if Redis cannot be asked, or does not answer
    /// in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn get<V>(&self, key: impl Into<CacheKey>) -> Result<Option<V>, Error>
    where
        V: Serialize + DeserializeOwned + Send + 'static,
    {
        self.entry(key).get().await
    }

    /// Stores `value` under `key`, which follows the cache's prefix, for `ttl`.
    ///
    /// # Errors
    ///
    /// As [`Entry::put`], and if `key` cannot be a key, as [`CacheKey`] has it.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped may have stored or not.
    pub fn set_ex<V>(
        &self,
        key: impl Into<CacheKey>,
        value: &V,
        ttl: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>
    where
        V: Serialize + DeserializeOwned + Send + 'static,
    {
        // Boxed, so that it borrows nothing of the key: an `impl Future` would.
        Box::pin(self.entry(key).with_ttl(ttl).put(value))
    }

    /// Deletes the value under `key`, which follows the cache's prefix. Where an error is to go to the log, say
    /// `cache.entry::<V>(key)` and [`Entry::invalidate_logged`].
    ///
    /// # Errors
    ///
    /// As [`Entry::invalidate`].
    ///
    /// # Cancel safety
    ///
    /// As [`Entry::invalidate`].
    pub async fn delete(&self, key: impl Into<CacheKey>) -> Result<(), Error> {
        self.entry::<serde_json::Value>(key).invalidate().await
    }
}

/// The entry of one call: what `get_user_entry(42)` returns, and [`Cache::entry`].
///
/// `R` is what the function returns, without its `Result`. Nothing is done, and no cache is looked
/// for, before one of the async operations is polled.
#[must_use = "an entry does nothing by itself"]
pub struct Entry<R> {
    site: &'static Site,
    key: Key,
    rules: Arc<dyn Rules<R> + Send + Sync>,
    as_slot: AsSlot<R>,
    timeout: Option<Duration>,
    cache: Option<Cache>,
    ttl: Option<Duration>,
}

impl<R> Entry<R> {
    pub(crate) fn of_site(
        site: &'static Site,
        key: Key,
        rules: Arc<dyn Rules<R> + Send + Sync>,
        as_slot: AsSlot<R>,
        timeout: Option<Duration>,
        cache: Option<Cache>,
    ) -> Self {
        Self {
            site,
            key,
            rules,
            as_slot,
            timeout,
            cache,
            ttl: None,
        }
    }

    pub(crate) fn spelled(cache: Cache, key: Key) -> Self
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        static SITE: Site = Site::new("Cache::entry", &());
        let share = ValueShare::alone();
        Self {
            site: &SITE,
            key,
            rules: Arc::new(Policy::new(Codec::<R>::json(), share)),
            as_slot: |held| held,
            timeout: None,
            cache: Some(cache),
            ttl: None,
        }
    }

    /// What a function is told that shares the entry.
    pub(crate) fn into_key(self) -> SharedKey {
        SharedKey {
            owner: self.site,
            stores_none: self.rules.stores_none(),
            key: self.key,
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

    /// What a call would be answered without its body; `None` if there is nothing, or nothing that is an
    /// `R`.
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
        let place = (Arc::clone(cache.inner()), key);
        let mut held = Held::new(&*self.rules, self.as_slot);
        self.question().peek(place, held.slot()).await?;
        Ok(held.take_value())
    }

    /// How much longer what is stored lives, with the windows in which it may be answered though its ttl has ended. `None`
    /// if there is nothing, or what is there lives until somebody deletes it, as what another program stored without an
    /// expiry does: [`get`](Self::get) tells the two apart.
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
        let cache = cache.inner();
        cache.store.ttl(&key, self.deadline(cache)).await
    }

    /// Stores `value`, whatever `cache_if` says of it, in the place of what is stored or computed now.
    ///
    /// It is encoded before this returns. Two that put at once are not ordered by it.
    ///
    /// # Errors
    ///
    /// If `value` cannot be encoded, would read back as another one, has more JSON than
    /// [`max_value`](crate::CacheBuilder::max_value) or has no ttl, or if Redis does not take it in time. What was
    /// stored before may then still be there.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped may have stored or not.
    pub fn put(&self, value: &R) -> impl Future<Output = Result<(), Error>> + Send + use<R> {
        let put = self
            .place()
            .and_then(|(cache, key)| Ok((self.prepare(&cache, &key, value)?, cache, key)));
        let timeout = self.timeout;
        async move {
            let (prepared, cache, key) = put?;
            let cache = cache.inner();
            cache.background.recovered(&key);
            let began = Instant::now();
            let deadline = began + timeout.unwrap_or(cache.timeout);
            let place = (&*cache.prefix, &key);
            cache
                .store
                .put(&cache.flights, place, &prepared, deadline)
                .await?;
            cache.pending.finish(&key, began);
            Ok(())
        }
    }

    /// Runs `write`, which changes the source, and stores the value that it returns in the place of what
    /// is stored or computed now.
    ///
    /// In contrast to a [`put`](Self::put) after the change, two of these are ordered: the value of one
    /// that began later, or an invalidation in between, is never overwritten by an earlier one's; where
    /// they overlap, nothing stays stored. Where `write` returns an `Err`, nobody knows whether the
    /// source changed, so the value is taken away.
    ///
    /// `write` is run in any case, and what it returned is returned beside what became of the cache.
    ///
    /// ```
    /// use cache_runtime::redis_cached;
    ///
    /// #[redis_cached(ttl = 60)]
    /// async fn name(id: u64) -> Result<String, String> {
    ///     Err(format!("no user {id}"))
    /// }
    ///
    /// # async fn rename(id: u64, name: &str) -> Result<String, String> { Ok(name.to_owned()) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (renamed, cached) = name_entry(7).put_with(rename(7, "Ada")).await;
    /// cached?;
    /// assert_eq!(renamed?, "Ada");
    /// assert_eq!(name(7).await?, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Beside the output, as [`put`](Self::put) and [`invalidate`](Self::invalidate): after an error, this
    /// process deletes the value before it next reads it.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped after its first poll counts as an invalidation that failed.
    pub async fn put_with<F>(&self, write: F) -> (F::Output, Result<(), Error>)
    where
        F: Future<Output: Returns<R>>,
    {
        let (cache, key) = match self.place() {
            Ok(place) => place,
            Err(error) => return (write.await, Err(error)),
        };
        let inner = cache.inner();
        inner.background.recovered(&key);
        let keys = LeaseKeys::new(&inner.prefix, &key);
        let mut guard = RecordOnDrop::new(inner, &keys);
        // What fails to be invalidated while the source is written is not made up for by this.
        let began = Instant::now();
        let begun = inner
            .store
            .begin_write(&inner.flights, &keys, self.deadline(inner))
            .await;
        let lease = begun.as_ref().ok().and_then(Write::lease);
        let written = renewing(lease, Box::pin(write)).await.into_result();
        let prepared = written
            .as_ref()
            .ok()
            .map(|value| self.prepare(&cache, &key, value))
            .transpose();
        let stored = match (begun, prepared) {
            (Ok(begun), Ok(Some(value))) => {
                let deadline = self.deadline(inner);
                let put = begun.put(&inner.flights, &key, &value, deadline).await;
                if put.is_ok() {
                    inner.pending.finish(&key, began);
                }
                put
            }
            // Nothing to store, or no right to: at least nothing older stays.
            (_, prepared) => {
                let deleted = inner.invalidate(&key, self.timeout(inner)).await;
                guard.disarm();
                deleted.and(prepared.map(drop))
            }
        };
        if stored.is_ok() {
            guard.disarm();
        }
        (Returns::from_result(written), stored)
    }

    fn prepare(&self, cache: &Cache, key: &str, value: &R) -> Result<Prepared, Error> {
        let cache = cache.inner();
        let value = Lent {
            rules: &*self.rules,
            value,
        };
        let Some(lifetime) = value.lifetime(self.ttl, draw())? else {
            return Err(Error::new(
                ErrorKind::Encode,
                "nothing says how long to store this; say `entry.with_ttl(…)` with more than zero",
            ));
        };
        // What no body computed took no time.
        let prepared = prepared(self.site, cache, &value, lifetime, Duration::ZERO);
        let prepared = prepared.map_err(not_encoded)?;
        cache.too_large.forget(key);
        Ok(prepared)
    }

    /// Takes the value away, and the right to store from every body that runs.
    ///
    /// Call it after the change to the source is committed. It is tried even while Redis does not
    /// answer. Where the caller can do nothing about an error, [`invalidate_logged`](Self::invalidate_logged) tells
    /// the log.
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

    /// As [`invalidate`](Self::invalidate), but an error goes to the log, and is counted among the function's
    /// [`errors`](crate::SiteStats::errors).
    ///
    /// For the time after the source's commit: the change is made, and an error of the cache would tell the caller that it
    /// is not. What an invalidation that failed leaves behind is told at [`invalidate`](Self::invalidate); where no reader
    /// may see the old value, take that one.
    ///
    /// The log has a warning once a minute and function, with `function` and `cause`, and a line at the level debug for each
    /// of the others. None of them holds the key.
    ///
    /// ```
    /// use cache_runtime::redis_cached;
    ///
    /// #[redis_cached(ttl = 60)]
    /// async fn name(id: u64) -> String {
    ///     format!("user {id}")
    /// }
    ///
    /// # async fn write(_: u64, _: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// async fn rename(id: u64, name: &str) -> Result<(), std::io::Error> {
    ///     write(id, name).await?; // committed
    ///     name_entry(id).invalidate_logged().await;
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # name(7).await;
    /// rename(7, "Ada").await?;
    /// assert_eq!(name_entry(7).get().await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped after its first poll counts as an invalidation that failed, of which no line tells.
    pub async fn invalidate_logged(&self) {
        let Err(error) = self.invalidate().await else {
            return;
        };
        // An entry without a key was counted when it was made.
        if error.kind() != ErrorKind::Key {
            self.site.counters().error(error.kind());
        }
        self.site.warn_not_invalidated(&error);
    }

    /// Answers as the annotated function does, with another body.
    ///
    /// An error of `body` is its caller's alone: those who wait for it run their own bodies, and so does this call where the
    /// body that it waits for fails.
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
        let work = inline(|()| async move { body().await.into_result() });
        answer(self, errors, work, Returns::from_result).await
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
        let body = async move { body.await.into_result() };
        Returns::from_result(refresh(self, body).await)
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

impl<R> Asks<R> for &Entry<R> {
    fn question(&self) -> Question<'_> {
        Question {
            site: self.site,
            key: &self.key,
            cache: self.cache.as_ref(),
            timeout: self.timeout,
            ttl: self.ttl,
        }
    }

    fn rules(&self) -> &(dyn Rules<R> + Send + Sync) {
        &*self.rules
    }

    fn as_slot(&self) -> AsSlot<R> {
        self.as_slot
    }
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
