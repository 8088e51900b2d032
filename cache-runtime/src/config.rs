//! Where the values are kept, and every setting that says how.
//!
//! The one rule: **a [`Config`] is a plain value in which nothing contradicts anything else.** The environment and the
//! builder both become [`Settings`](settings::Settings), and these become a `Config` in one place, whose errors name
//! the setting at fault, its value unless that may be a secret, and what is accepted.
//!
//! | file | what it holds |
//! |---|---|
//! | `builder` | settings in code |
//! | `environment` | settings from variables |
//! | `settings`, `settings/login` | all settings, and the one way from them to a [`Config`] |
//! | this one | the `Config` |
//! | `coordination`, `hint`, `tls` | its parts |
//! | `address`, `azure` | where a server is, and whether it is Azure's |
//! | `setting` | one setting with its name |
//!
//! Imports go down this table, and from here on to [`auth`](crate::auth); `auth` imports nothing from here.

mod address;
mod azure;
pub(crate) mod builder;
mod coordination;
mod environment;
mod hint;
mod setting;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

use std::{fmt, time::Duration};

pub(crate) use coordination::Coordination;
pub(crate) use hint::Hint;
#[cfg(feature = "tls")]
pub(crate) use tls::Tls;

use crate::{auth::Auth, testing::Injected};

/// Everything that a `Cache` is made from.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) store: StoreChoice,
    /// What every key begins with, without the `:` behind it; empty for none.
    pub(crate) prefix: String,
    /// What one cache operation may take.
    pub(crate) timeout: Duration,
    /// How many entries the in-process store holds at most.
    pub(crate) memory_capacity: u64,
    /// How many bytes of JSON a value may have to be stored.
    pub(crate) max_value: usize,
    pub(crate) coordination: Coordination,
    /// What a test breaks of the store.
    pub(crate) faults: Injected,
    /// Lines for the log, to be written once there is a cache.
    pub(crate) hints: Vec<Hint>,
}

/// Where the values are kept.
#[derive(Clone, Debug)]
pub(crate) enum StoreChoice {
    /// Nowhere.
    Off,
    /// In this process.
    Memory,
    /// In a Redis server.
    Redis(Endpoint),
}

/// One Redis server, and how to log in there.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// A name or an address; an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
    pub(crate) auth: Auth,
    pub(crate) db: i64,
}

impl Endpoint {
    pub(crate) fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

impl fmt::Display for Endpoint {
    /// `host:port`, which is safe to log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
