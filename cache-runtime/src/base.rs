//! What the other rooms stand on: time, locks, threads and runtimes, and the pauses between attempts.
//!
//! The one rule: **nothing here knows what a cache is.**

pub(crate) mod backoff;
pub(crate) mod clock;
pub(crate) mod runtime;
pub(crate) mod seats;
pub(crate) mod sharded;
pub(crate) mod sync;
