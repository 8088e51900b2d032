//! One line for what a user can do something about, and all that the server printed for the rest.

use std::fmt;
use std::io;

use super::{RedisVersion, START_LIMIT};

/// Why a server did not start.
#[derive(Debug)]
pub(super) enum StartError {
    Spawn(RedisVersion, io::Error),
    PortTaken,
    Ended(String),
    Late(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(version, error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{version} is missing; type: bash .ci/test")
            }
            Self::Spawn(version, error) => write!(f, "{version} cannot be started: {error}"),
            Self::PortTaken => f.write_str("redis-server found its port taken, again and again"),
            Self::Ended(printed) => write!(f, "redis-server ended at once; it printed:\n{printed}"),
            Self::Late(printed) => {
                write!(
                    f,
                    "redis-server did not answer within {START_LIMIT:?}; it printed:\n{printed}"
                )
            }
        }
    }
}
