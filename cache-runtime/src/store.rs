//! Where values are kept: in Redis, or in this process.
//!
//! The one rule: **an import points to a lower floor, never back.** The floors, the top one first; what stands in one row
//! knows nothing of its neighbours:
//!
//! | floor | is |
//! |---|---|
//! | this file | which store a cache has |
//! | [`lease`] | the right to store, and the lock beside it |
//! | [`commands`] | what else is asked of Redis than values |
//! | [`redis`] · [`memory`] | the two stores |
//! | [`fetch`] · [`watch`] | reads of values, alone or together · waiting for the lock of another process |
//! | [`send`] | one request, until its deadline, and again where that is safe |
//! | [`request`] · [`links`] | what is sent in one go · the links of all runtimes |
//! | [`link`] with its `renewal` | the connection of one runtime: whether there is one, and who makes the next |
//! | [`batch`] · [`fetched`] · [`server`] | which reads go together · what comes of a read · what all connections share |
//! | [`gate`] · [`live`] · [`retry`] | the breaker at work · a connection that stands · what may be sent again |
//! | [`connect`] with its `addresses` | how a connection is made and logged in |
//! | [`attempts`] | when a connection may be tried |
//! | [`pulse`] · [`pushes`] | whether the server still says something · what it says without being asked |
//!
//! Tests may look up: they stand beside what they test, and use the whole store.

mod attempts;
mod batch;
mod commands;
pub(crate) mod connect;
mod fetch;
pub(crate) mod fetched;
mod gate;
pub(crate) mod lease;
pub(crate) mod link;
mod links;
pub(crate) mod live;
pub(crate) mod memory;
mod pulse;
mod pushes;
pub(crate) mod redis;
pub(crate) mod request;
mod retry;
mod send;
mod server;
#[cfg(test)]
mod test_server;
mod watch;

use std::sync::Arc;

pub(crate) use self::gate::Urgency;

/// The store of one cache.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Memory(Arc<memory::MemoryStore>),
    Redis(Arc<redis::RedisStore>),
}
