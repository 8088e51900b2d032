//! The tokens of one cache, and the one task that renews them.
//!
//! The one rule: **a connection takes the token in hand; only the task asks for the next.** So the identity provider
//! hears one question at a time, however many connections there are.
//!
//! | file | what it does |
//! |---|---|
//! | `task` | asks when the schedule says so, and is started again where its runtime has ended |
//! | `tokens` | hands out the token in hand, hears what the server says of it, writes the log |
//! | `state` | decides, without a clock, a lock or a runtime |
//! | `hand` | the token in hand, and what the server said of it |
//!
//! Imports go down this table, and from there on to the schedule.

mod hand;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod tokens;

pub(super) use self::{hand::AccessToken, task::Refresher};
