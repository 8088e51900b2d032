//! What one call and everything below it may do with the cache, and what it did: `CacheControl`,
//! `only_if_cached` and `Outcome`, on both stores.
#![allow(missing_docs)]

mod directives;
mod only_if_cached;
mod outcome;
mod reach;
mod scene;
