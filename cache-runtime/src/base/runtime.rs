//! What the present tokio runtime can do.
//!
//! The one rule: **nothing here panics.** Tokio has no way to ask a runtime what it was built with, and panics where
//! something is missing; so each question is a trial whose panic is caught.

use std::{net::Ipv4Addr, panic::catch_unwind, time::Duration};

/// Whether the present runtime can wait for a time.
pub(crate) fn has_timers() -> bool {
    catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok()
}

/// What the present runtime lacks for a connection, and how to get it.
pub(crate) fn lacks() -> Option<&'static str> {
    if !has_timers() {
        return Some("the tokio runtime has no timers; build it with `enable_all()`");
    }
    if !has_io() {
        return Some("the tokio runtime has no IO; build it with `enable_all()`");
    }
    None
}

/// Whether the present runtime can wait for a socket.
fn has_io() -> bool {
    catch_unwind(|| {
        // A datagram socket needs no peer and sends nothing. Where the system gives none, nothing is known.
        if let Ok(socket) = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            && socket.set_nonblocking(true).is_ok()
        {
            drop(tokio::net::UdpSocket::from_std(socket));
        }
    })
    .is_ok()
}
