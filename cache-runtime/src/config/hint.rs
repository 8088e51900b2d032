//! Settings that are allowed, and more often than not a mistake.
//!
//! The one rule: **a hint names the setting and holds the text to type**, and never a secret. It is written once the cache is
//! made and no lock is held, because a subscriber may call a cached function.

use super::setting::shown;

/// A line for the log of the program that configured the cache.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Hint {
    /// The environment says that there is to be no cache.
    Off,
    /// The environment was asked where Redis is, and says nothing.
    InProcess,
    /// A host that is none of Azure's is taken for a plain server.
    Plain {
        /// The setting that names the host.
        name: &'static str,
        host: String,
    },
    /// A password with white space round it.
    PaddedPassword {
        /// The setting that holds the password.
        name: &'static str,
    },
    /// A prefix that ends with the `:` which follows every prefix.
    PrefixWithColon {
        /// The setting that holds the prefix.
        name: &'static str,
        prefix: String,
    },
}

impl Hint {
    /// Writes the line.
    pub(crate) fn say(&self) {
        match self {
            Self::Off => tracing::info!("`REDIS_CACHE` is `off`: calls run without the cache"),
            Self::InProcess => tracing::warn!(
                "neither REDIS_URL nor REDIS_HOST is set: values are cached in this process only"
            ),
            Self::Plain { name, host } => tracing::info!(
                "`{name}` is `{host}`, which is no name of Azure's, so no Entra ID token is asked for; \
                 if it takes them, set `REDIS_AUTH=entra`, or `entra_id` in code"
            ),
            Self::PaddedPassword { name } => tracing::warn!(
                "`{name}` holds a password that begins or ends with white space, which is taken as a part of it; \
                 if it came from a file, remove the line's end with `tr -d '\\n'`"
            ),
            Self::PrefixWithColon { name, prefix } => tracing::warn!(
                "`{name}` is `{}`, and a `:` follows it in every key; write `{}`",
                shown(prefix),
                shown(prefix.trim_end_matches(':')),
            ),
        }
    }
}
