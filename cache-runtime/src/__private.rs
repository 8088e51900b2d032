//! All that an expansion of `#[redis_cached]` may name; not for anybody else, and not subject to
//! semantic versioning.

pub use crate::{
    call::Call,
    codec::Codec,
    key::{KeyPart, Piece, part},
    probe::{Cached, ErrorShare, Probe, ValueShare},
    site::{Key, Site},
};
