//! All that an expansion of `#[redis_cached]` may name; not for anybody else, and not subject to
//! semantic versioning.

pub use crate::{
    call::Call,
    codec::Codec,
    key::{KeyPart, Piece, part},
    probe::{Cacheable, Cached, ErrorShare, Probe, ValueShare},
    site::{Key, Site},
};
