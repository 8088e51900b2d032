//! A look at what is stored.
//!
//! The one rule: **a look runs no body, and stores nothing**.

use std::{sync::Arc, time::Duration};

use super::Entry;
use crate::{error::Error, lookup::Terms};

impl<R> Entry<R> {
    /// The value that a call would be answered without its body; `None` if there is no value, or none that is an
    /// `R`.
    ///
    /// # Errors
    ///
    /// If Redis cannot be asked, does not answer in time, or refuses the read, as where a list stands under the key.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn get(&self) -> Result<Option<R>, Error> {
        let (cache, key) = self.place()?;
        let place = (Arc::clone(cache.inner()), key);
        let mut held = Terms::held(&self);
        self.question.peek(place, held.slot()).await?;
        Ok(held.take_value())
    }

    /// How much longer the stored value lives, with the windows in which it may be answered after its ttl. `None` if there is
    /// no value, or if it has no expiry, as one that another program stored may have none: [`get`](Self::get) tells the two
    /// apart.
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
}
