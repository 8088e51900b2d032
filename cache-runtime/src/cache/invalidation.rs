//! A value that is taken away, in this process and in Redis.
//!
//! The one rule: **an invalidation is remembered before it is tried**, so that one which fails, or whose future is dropped,
//! is not lost.

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

/// The pause between two attempts at an invalidation.
const RETRY: Duration = Duration::from_millis(20);

impl Inner {
    /// Takes the value away, in this process and in Redis.
    pub(crate) async fn invalidate(
        self: &Arc<Self>,
        key: &Arc<str>,
        timeout: Duration,
    ) -> Result<(), Error> {
        // The key backs off no more, because its failures were those of the old value.
        self.background.end_backoff(key);
        self.store.forget(&self.flights, key);
        if !self.store.is_shared() {
            return Ok(());
        }
        let keys = LeaseKeys::new(&self.prefix, key);
        let mut guard = RecordOnDrop::new(self, &keys);
        let deadline = Instant::now() + timeout;
        let deleted = loop {
            let deleted = self.pending.delete(&keys, Urgency::Urgent, deadline).await;
            match &deleted {
                // Tried again, because a server that restarts may be back in time.
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

/// A guard that, unless it is disarmed, remembers an invalidation when it is dropped, and takes the value and the flight from
/// new callers, because the flight's body may have read the source before the change.
pub(crate) struct RecordOnDrop<'a> {
    is_disarmed: bool,
    cache: &'a Arc<Inner>,
    keys: &'a LeaseKeys,
}

impl<'a> RecordOnDrop<'a> {
    pub(crate) fn new(cache: &'a Arc<Inner>, keys: &'a LeaseKeys) -> Self {
        Self {
            is_disarmed: false,
            cache,
            keys,
        }
    }

    /// The invalidation is confirmed, so the drop does nothing.
    pub(crate) fn disarm(&mut self) {
        self.is_disarmed = true;
    }
}

impl Drop for RecordOnDrop<'_> {
    fn drop(&mut self) {
        if !self.is_disarmed {
            self.cache.pending.add(self.keys);
            self.cache
                .store
                .forget(&self.cache.flights, &self.keys.value);
        }
    }
}
