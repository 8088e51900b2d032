//! The kinds of work, each in a file of its own.
//!
//! **Each is an `async fn(&Settings) -> Section`**, and stands in [`WORKS`](crate::WORKS).

pub(crate) mod redis_hits;
