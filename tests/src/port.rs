//! A port belongs to one owner of the kit for as long as the owner lives, also while nothing listens on it.
//!
//! A killed server must come back on its own port, so nobody else may take it meanwhile. The kit's
//! processes agree by locks on files; the range lies below the ports that the kernel gives to clients.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::fs::{FlockOperation, flock};

/// A loopback port that no other owner in any process of the kit has.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// The lock lives as long as the open file.
    _lock: File,
}

impl Port {
    /// Reserves a port on which nothing listens now.
    pub(crate) fn reserve() -> Self {
        let dir = std::env::temp_dir().join("cache-tests-ports");
        std::fs::create_dir_all(&dir)
            .unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        for _ in 0..1_000 {
            let number = fastrand::u16(15_000..32_000);
            // Another user's lock file cannot be opened: that port is simply not ours.
            let Ok(lock) = File::create(dir.join(number.to_string())) else {
                continue;
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free loopback port between 15000 and 32000 after 1000 attempts");
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
