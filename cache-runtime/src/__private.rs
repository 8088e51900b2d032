//! All that an expansion of `#[redis_cached]` or `key!` may name; not for anybody else, and not subject to
//! semantic versioning.

use crate::key::{CacheKey, KeyPart};

pub use crate::{
    expansion::{
        call::{Call, Lifetime, Types},
        own::{Own, OwnArgument, own},
        probe::{
            Cached, CachedByBytes, CachedByBytesAndEq, CachedByClone, CachedByCloneAndEq,
            ErrorForAll, Probe, ProbeAlone, ProbeOfBox, ProbeOfError, ProbeOfText, WrittenAsOption,
            WrittenAsResult, probe,
        },
    },
    site::Site,
};

#[cfg(feature = "macros")]
pub use cache_macros::template_key;

/// The key of a template: a literal before, between and after the parts.
#[must_use]
pub fn key(literals: &[&str], parts: &[&dyn KeyPart]) -> CacheKey {
    CacheKey::of_template(literals, parts)
}
