//! Two lines of Redis, since they differ in what they do to a refused login on a busy connection.

use std::fmt;
use std::path::{Path, PathBuf};

/// Names the server of version 8.2 where it is not the one that `.ci/test` fetches.
const ELSEWHERE: &str = "CACHE_TESTS_REDIS_8_2";

/// Which `redis-server` is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedisVersion {
    /// The one in `PATH`.
    #[default]
    OfPath,
    /// One of version 8.2, which `.ci/test` fetches; it has no TLS.
    V8_2,
}

impl RedisVersion {
    /// Every one, for tests that hold on each.
    pub const ALL: [Self; 2] = [Self::OfPath, Self::V8_2];

    pub(super) fn program(self) -> PathBuf {
        match self {
            Self::OfPath => "redis-server".into(),
            Self::V8_2 => match std::env::var_os(ELSEWHERE) {
                Some(path) => path.into(),
                None => {
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/redis-8.2/redis-server")
                }
            },
        }
    }
}

impl fmt::Display for RedisVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OfPath => "redis-server",
            Self::V8_2 => "redis-server 8.2",
        })
    }
}
