//! A value of the caller's, in the place of what is stored or computed.
//!
//! The one rule: **no body that began before a value was put overwrites it**.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::Entry;
use crate::{
    cache::{Cache, invalidation::RecordOnDrop},
    error::{Error, ErrorKind},
    lookup::{Lent, Outgoing as _, draw, prepared, renewing},
    store::{Prepared, Write, redis::lease::LeaseKeys},
    value::{error::not_encoded, returns::Returns},
};

impl<R> Entry<R> {
    /// Stores `value`, whatever `cache_if` says of it, in the place of what is stored or computed now.
    ///
    /// The value is encoded before this returns. Two puts at once are not ordered.
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
        let put = self.place().and_then(|(cache, key)| {
            let is_kept = !cache.inner().store.is_off();
            let prepared = is_kept.then(|| self.prepare(&cache, &key, value));
            Ok((prepared.transpose()?, cache, key))
        });
        let timeout = self.question.timeout;
        async move {
            let (Some(prepared), cache, key) = put? else {
                return Ok(());
            };
            let cache = cache.inner();
            cache.background.end_backoff(&key);
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
    /// In contrast to a [`put`](Self::put) after the change, two `put_with` are ordered: an earlier one never
    /// overwrites the value of a later one, nor undoes an invalidation in between; where they overlap, nothing stays
    /// stored. Where `write` returns an `Err`, nobody knows whether the source changed, so the value is taken away.
    ///
    /// `write` is run in any case, and its output is returned beside the result of the cache.
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
        if inner.store.is_off() {
            return (write.await, Ok(()));
        }
        inner.background.end_backoff(&key);
        let keys = LeaseKeys::new(&inner.prefix, &key);
        let mut guard = RecordOnDrop::new(inner, &keys);
        // Taken before the write, so that an invalidation that fails during the write stays pending.
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
            // There is nothing to store, or no right to store it, so at least nothing older stays.
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

    /// Encodes a value for the store.
    ///
    /// # Errors
    ///
    /// If it cannot be stored, or has no ttl.
    fn prepare(&self, cache: &Cache, key: &str, value: &R) -> Result<Prepared, Error> {
        let cache = cache.inner();
        let value = Lent {
            rules: &*self.rules,
            ttl: self.ttl,
            value,
        };
        let Some(lifetime) = value.lifetime(draw())? else {
            return Err(Error::new(
                ErrorKind::Encode,
                "nothing says how long to store this; say `entry.with_ttl(…)` with more than zero",
            ));
        };
        // A value that no body computed took no time.
        let prepared = prepared(self.question.site, cache, &value, lifetime, Duration::ZERO);
        let prepared = prepared.map_err(not_encoded)?;
        cache.too_large.forget(key);
        Ok(prepared)
    }
}
