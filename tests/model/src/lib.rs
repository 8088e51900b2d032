//! The lookup and invalidation protocol as a model.
//!
//! The one rule: **everything that can happen is tried**: a command is sent, executed and answered at
//! different times, it may be executed though its sender has gone, or never; a caller may come or go
//! between any two steps; processes are killed, bodies fail, keys expire.

mod client;
mod explore;
mod flight;
mod model;
mod properties;
mod redis;
mod setup;
pub mod sizes;
mod trace;
mod world;
mod writer;

pub use explore::{Report, Violation, explore, has_circle, shortest};
pub use properties::Property;
pub use setup::{AtFirst, Change, OldValues, Rule, Setup, Store};
