//! The ground of the other rooms: time, locks, threads and runtimes, the pauses between attempts, and lists of those who wait.
//!
//! The one rule: **nothing here knows what a cache is.**

pub(crate) mod backoff;
pub(crate) mod clock;
pub(crate) mod runtime;
pub(crate) mod seats;
pub(crate) mod sharded;
pub(crate) mod slab;
pub(crate) mod sync;
