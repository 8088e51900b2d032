//! What is stored of an entry.

use std::{sync::Arc, time::Duration};

use super::Entry;
use crate::{
    error::Error,
    lookup::{Asks as _, Held},
};

impl<R> Entry<R> {
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
}
