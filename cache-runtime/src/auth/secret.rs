//! A text that proves who somebody is: a password, a token, a client secret.
//!
//! The one rule: **no formatting shows it**; code that sends it says so by [`expose`](Secret::expose).

use std::fmt;

/// A text that no formatting shows.
#[derive(Clone, PartialEq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
