//! The right to store what a body returns: [`acquire`](super::acquire) asks for it, and the step "store" uses it up.
//!
//! The one rule: **a right is got before its body begins, and an invalidation takes it away.**

use std::{sync::Arc, time::Instant};

use crate::{
    error::Error,
    store::{
        lease::{self, Lease, LeaseKeys},
        memory::MemoryStore,
        redis::RedisStore,
    },
};

/// The right to store what a body is going to return.
pub(super) enum Right {
    /// The flight itself, for as long as it is in the map of flights.
    InProcess(Arc<MemoryStore>),
    Lease(Granted),
}

/// A right to store that Redis granted.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) redis: Arc<RedisStore>,
    pub(crate) keys: LeaseKeys,
    pub(crate) lease: Lease,
}

impl Granted {
    /// Gives it back: whether it was still there, which proves that nothing was invalidated since it was granted.
    pub(super) async fn release(&self, deadline: Instant) -> Result<bool, Error> {
        lease::release(&self.redis, &self.keys, &self.lease, deadline).await
    }
}
