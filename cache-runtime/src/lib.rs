//! Cache an async function in Redis.

#[doc(hidden)]
pub mod __private;

mod answer;
mod auth;
mod breaker;
mod budget;
mod cache;
mod call;
mod codec;
mod config;
mod connection;
mod entry;
mod error;
mod flight;
mod global;
mod key;
mod lookup;
mod policy;
mod probe;
mod sharded;
mod shared_read;
mod site;
mod stats;
mod store;
mod token;
mod unfinished;

pub use breaker::BreakerState;
pub use cache::Cache;
#[cfg(feature = "macros")]
pub use cache_macros::redis_cached;
pub use config::builder::CacheBuilder;
pub use connection::Connection;
pub use entry::{Entry, Returns};
pub use error::{Error, ErrorKind};
pub use global::{get_cache, set_cache};
pub use site::{SiteInfo, sites};
pub use stats::{Errors, SiteStats, Stats, StoreStats};

/// The Redis client, for commands on a [`Connection`].
pub use redis;
