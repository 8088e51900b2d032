//! What is known of the function without its options.

pub(crate) mod body;
pub(crate) mod generics;
pub(crate) mod owned;
pub(crate) mod pattern;
pub(crate) mod shape;
pub(crate) mod signature;
