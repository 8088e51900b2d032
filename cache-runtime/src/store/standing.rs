//! What stands under a key.
//!
//! The one rule: **what stands there is told in the form in which its store has it**: a value of this process is not
//! encoded, and the bytes of Redis are not decoded here.

use std::sync::Arc;

use bytes::Bytes;

use super::{fetched::Fetched, memory::Shared, redis::link::Link};

/// What stands in a store, in the form in which it stands there; made to be matched on.
#[derive(Debug)]
pub(crate) enum Standing {
    /// A value of this process's own store.
    InProcess(Shared),
    /// Bytes, and the link to the server whose time the stamp in them is to be compared with.
    InRedis(Fetched, Arc<Link>),
}

#[cfg(feature = "testing")]
impl Standing {
    /// The same, as nothing that anybody can decode.
    pub(super) fn garbled(self) -> Self {
        match self {
            Self::InProcess(shared) => Self::InProcess(shared.garbled()),
            Self::InRedis(_, link) => {
                Self::InRedis(Fetched::alone(Bytes::from_static(b"garbage")), link)
            }
        }
    }
}

/// What stood under the key when it was last looked at, to tell it from what may stand there later.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Seen {
    #[default]
    Nothing,
    /// In Redis: all of the bytes, or their header, in which no two values are alike.
    Bytes(Bytes),
    /// In this process: the entry's number.
    Numbered(u64),
}

impl Seen {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Nothing | Self::Numbered(_) => None,
        }
    }

    pub(super) fn is_numbered(&self, number: u64) -> bool {
        matches!(self, Self::Numbered(seen) if *seen == number)
    }
}
