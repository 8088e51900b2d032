//! A lease, and the keys that it is for.
//!
//! The one rule: **only an answer of Redis makes a [`Lease`]**, which then knows all that its verbs need.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::super::client::RedisStore;
use crate::key::{lease_key, lock_key};

/// How long a lease lives without being renewed.
pub(crate) const LIFE: Duration = Duration::from_secs(30);

/// A value's key, and the keys of the lease and the lock that guard it: the protocol's K, T and L.
#[derive(Debug, Clone)]
pub(crate) struct LeaseKeys {
    pub(crate) value: Arc<str>,
    pub(crate) lease: Arc<str>,
    pub(crate) lock: Arc<str>,
}

impl LeaseKeys {
    pub(crate) fn new(prefix: &str, value: &Arc<str>) -> Self {
        Self {
            value: Arc::clone(value),
            lease: lease_key(prefix, value).into(),
            lock: lock_key(prefix, value).into(),
        }
    }
}

/// A lease, as Redis granted it.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// The store that granted it.
    pub(super) redis: Arc<RedisStore>,
    pub(super) keys: LeaseKeys,
    pub(super) content: Bytes,
    /// Whether nobody else had a lease when this one was asked for, so that it goes with its holder.
    pub(super) own: bool,
    /// What the lock holds, if this holder has it.
    pub(super) lock: Option<Bytes>,
}
