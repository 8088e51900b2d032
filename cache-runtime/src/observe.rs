//! What is told of a call: to its caller, and to those who count.
//!
//! The one rule: **nothing here changes what a call does.** A directive for a call is only carried; the lookup obeys it.

pub(crate) mod control;
pub(crate) mod stats;
