//! The entries of a cache by their keys, without a function.
//!
//! The one rule: **each operation here is that of an [`Entry`]**.

use std::{future::Future, pin::Pin, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::Entry;
use crate::{cache::Cache, error::Error, key::CacheKey, site::Key};

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

    /// The value under `key`, which follows the cache's prefix; `None` if there is no value, or one of
    /// another type.
    ///
    /// # Errors
    ///
    /// If `key` cannot be a key, as [`CacheKey`] has it, or as [`Entry::get`].
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
        // Boxed, because an `impl Future` would borrow of the key.
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
