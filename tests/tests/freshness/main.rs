//! What the age of a value means: the table of `policy.rs` end to end on both stores, and each thing that may
//! happen to a run behind its call.
//!
//! Ages and pauses are by a clock that stands still until a test moves it; but for `clock`, which is about the server's.
#![allow(missing_docs)]

mod ahead;
mod behind;
mod clock;
mod errors;
mod limits;
mod moments;
mod owned;
mod pauses;
mod scene;
mod soft;
mod stored;
mod table;
mod unstored;
