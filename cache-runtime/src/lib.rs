//! Cache an async function in Redis.

mod auth;
mod config;
mod error;
mod store {
    pub(crate) mod connect;
}

pub use config::builder::CacheBuilder;
pub use error::{Error, ErrorKind};
