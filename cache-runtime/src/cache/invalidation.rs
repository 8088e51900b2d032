//! A value that is taken away.

mod pending;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::pending::PendingInvalidations;
use crate::{
    cache::Inner,
    error::Error,
    store::{Urgency, redis::lease::LeaseKeys},
};

/// Between two attempts at an invalidation.
const RETRY: Duration = Duration::from_millis(20);

impl Inner {
    /// Takes the value away, in this process and in Redis.
    pub(crate) async fn invalidate(
        self: &Arc<Self>,
        key: &Arc<str>,
        timeout: Duration,
    ) -> Result<(), Error> {
        // What its body fails at from here on is another value.
        self.background.recovered(key);
        self.store.forget(&self.flights, key);
        if !self.store.is_shared() {
            return Ok(());
        }
        let keys = LeaseKeys::new(&self.prefix, key);
        // Remembered before it is tried, so that dropping this future loses nothing.
        let mut guard = RecordOnDrop::new(self, &keys);
        let deadline = Instant::now() + timeout;
        let deleted = loop {
            let deleted = self.pending.delete(&keys, Urgency::Urgent, deadline).await;
            match &deleted {
                // A server that restarts may be back in time.
                Err(error) if error.is_unavailable() && Instant::now() + RETRY < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                _ => break deleted,
            }
        };
        if deleted.is_ok() {
            guard.disarm();
        }
        deleted
    }
}

/// Remembers an invalidation when it is dropped, unless that was done; and takes the flight from new callers,
/// whose body may have begun while the source was being written.
pub(crate) struct RecordOnDrop<'a> {
    done: bool,
    cache: &'a Arc<Inner>,
    keys: &'a LeaseKeys,
}

impl<'a> RecordOnDrop<'a> {
    pub(crate) fn new(cache: &'a Arc<Inner>, keys: &'a LeaseKeys) -> Self {
        Self {
            done: false,
            cache,
            keys,
        }
    }

    pub(crate) fn disarm(&mut self) {
        self.done = true;
    }
}

impl Drop for RecordOnDrop<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.cache.pending.add(self.keys);
            self.cache
                .store
                .forget(&self.cache.flights, &self.keys.value);
        }
    }
}
