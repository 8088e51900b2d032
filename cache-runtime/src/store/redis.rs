//! Redis: what is asked of it, and how it is reached.
//!
//! The one rule: **whether Redis may be asked, and on which connection, is decided here and nowhere above**: a caller
//! names a key, a deadline, and what it wants.
//!
//! Imports point to a lower floor, never back. The floors, the top one first; what stands in one row
//! knows nothing of its neighbours:
//!
//! | floor | is |
//! |---|---|
//! | [`lease`] with its `acquire`, `end`, `lock` | the right to store, and the lock beside it |
//! | [`commands`] | what else is asked of Redis than values |
//! | [`client`] | one Redis as one cache sees it |
//! | [`fetch`] · [`time`] · [`watch`] | reads of values, alone or together · what time it is there · waiting for the lock of another process |
//! | [`send`] | one request, until its deadline, and again where that is safe |
//! | [`request`] · [`links`] | what is sent in one go · the links of all runtimes |
//! | [`link`] with its `state`, `task`, `renewal` | the connection of one runtime: whether there is one, and who makes the next |
//! | [`batch`] · [`server`] | which reads go together · what all connections share |
//! | [`gate`] · [`live`] · [`retry`] | the breaker at work · a connection that stands · what may be sent again |
//! | [`breaker`] · [`connect`] with its `login`, `socket`, `addresses` | whether to ask at all · how a connection is made and logged in |
//! | [`attempts`] | when a connection may be tried |
//! | [`pulse`] · [`pushes`] | whether the server still says something · what it says without being asked |
//!
//! Tests may look up: they stand beside what they test, and use the whole store.

mod attempts;
mod batch;
mod breaker;
pub(crate) mod client;
mod commands;
pub(crate) mod connect;
mod fetch;
pub(crate) mod gate;
pub(crate) mod lease;
pub(crate) mod link;
mod links;
pub(crate) mod live;
mod pulse;
mod pushes;
pub(crate) mod request;
mod retry;
mod send;
mod server;
#[cfg(test)]
mod test_server;
mod time;
mod watch;
