//! The kinds of work, each in a file of its own.
//!
//! **Each is an `async fn(&Settings) -> Section`**, and stands in [`WORKS`](crate::WORKS).

pub(crate) mod allocations;
mod callers;
mod hits;
pub(crate) mod memory;
pub(crate) mod memory_hits;
pub(crate) mod misses;
pub(crate) mod outage;
pub(crate) mod redis_hits;
pub(crate) mod redis_sizes;
pub(crate) mod rotation;
pub(crate) mod short_ttl;
pub(crate) mod stampede;
pub(crate) mod zipf;
