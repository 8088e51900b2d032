//! All that an expansion of `#[redis_cached]` may name; not for anybody else, and not subject to
//! semantic versioning.

pub use crate::{
    call::Call,
    own::{Own, OwnArgument, own},
    probe::{Probe, probe},
    site::Site,
};
