//! One setting, and how a message shows its value.
//!
//! The one rule: **a setting keeps the name under which the user wrote it**, because every message names the
//! setting at fault by that name.

use std::path::PathBuf;

/// The value of one setting, and where it was set.
#[derive(Clone, Debug)]
pub(super) struct Setting<T> {
    pub(super) value: T,
    /// As the user wrote it: `REDIS_PORT`, `REDIS_TLS=false`, or a method of the builder.
    pub(super) name: &'static str,
}

impl<T> Setting<T> {
    pub(super) fn new(name: &'static str, value: T) -> Self {
        Self { value, name }
    }
}

/// Where the certificates of the trusted authorities are.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "read for a TLS connection only")
)]
pub(super) enum Authorities {
    File(PathBuf),
    Pem(Vec<u8>),
}

/// A value as a message shows it: on one line, and not longer than a line.
pub(super) fn shown(value: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = value
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if value.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
