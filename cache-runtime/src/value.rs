//! A value: as bytes, as something to share, and how old it may be.
//!
//! The one rule: **nothing here waits, and nothing here knows where a value is kept.**
//!
//! | | says |
//! |---|---|
//! | [`policy`] | what an attribute says about its values, in all of the ways below |
//! | [`freshness`] | how old an entry may be, and how long it is kept |
//! | [`header`], [`codec`], [`error`] | which bytes are stored, how a value becomes JSON and comes back, and why not |
//! | [`share`], [`answer`] | how one outcome is many callers' |
//! | [`returns`] | what a body may return |
//! | [`place`], [`panics`] | where a value stays; that the user's code may panic |

pub(crate) mod answer;
pub(crate) mod codec;
pub(crate) mod error;
pub(crate) mod freshness;
pub(crate) mod header;
pub(crate) mod panics;
pub(crate) mod place;
pub(crate) mod policy;
pub(crate) mod returns;
pub(crate) mod share;
