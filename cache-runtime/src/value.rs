//! A value: as bytes, as something to share, and how old it may be.
//!
//! The one rule: **nothing here waits, and nothing here knows where a value is kept.**

pub(crate) mod answer;
pub(crate) mod codec;
pub(crate) mod error;
pub(crate) mod freshness;
pub(crate) mod header;
mod panics;
pub(crate) mod place;
pub(crate) mod policy;
pub(crate) mod share;
