//! The locks and channels of those parts that are also tested under every interleaving.
//!
//! The one rule: **they are std's and tokio's, as they are.** The package `cache-interleavings`
//! compiles the same parts with locks and channels of its own, at which a scheduler decides who
//! goes on.

pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use tokio::sync::oneshot;
