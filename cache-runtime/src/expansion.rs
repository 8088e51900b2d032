//! All that an expansion names: the call, and what it finds out about the function's types.
//!
//! The one rule: **a function that is generic over a user's types is a few lines, and hands on to one that is not.**

pub(crate) mod call;
pub(crate) mod own;
pub(crate) mod probe;
