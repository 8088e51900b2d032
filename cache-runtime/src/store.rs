//! Where values are kept: in Redis, or in this process.

pub(crate) mod attempts;
pub(crate) mod commands;
pub(crate) mod connect;
pub(crate) mod fetch;
pub(crate) mod fetched;
pub(crate) mod gate;
pub(crate) mod link;
pub(crate) mod links;
pub(crate) mod live;
pub(crate) mod memory;
pub(crate) mod pulse;
pub(crate) mod pushes;
pub(crate) mod reads;
pub(crate) mod redis;
pub(crate) mod request;
pub(crate) mod retry;
pub(crate) mod send;
pub(crate) mod server;
#[cfg(test)]
mod test_server;
pub(crate) mod watch;

use std::sync::Arc;

/// The store of one cache.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Memory(Arc<memory::MemoryStore>),
    Redis(Arc<redis::RedisStore>),
}
