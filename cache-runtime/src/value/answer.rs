//! What the callers of one flight, and the in-process store, hand around instead of a value.
//!
//! The one rule: **a value is cloned where its type allows it, else decoded from its JSON**; read as
//! another type than it was written as, it goes through its JSON, as it would through Redis.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::value::{
    codec::{Codec, EncodeKept},
    share::{Kept, ValueShare},
};

/// The outcome of a body.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Value(SharedValue),
    /// The body returned `None`.
    Nothing,
    /// The body failed; a copy of the error, or its texts.
    Failed(Kept),
}

/// What the first of those who got the same bytes made of them, for the others.
pub(crate) type Decoded = OnceLock<Kept>;

/// A value that many can have.
#[derive(Debug, Clone)]
pub(crate) enum SharedValue {
    Kept { value: Kept, encode: EncodeKept },
    Json(Bytes),
}

impl SharedValue {
    /// Keeps `value` itself; `None` if its type cannot be shared.
    pub(crate) fn kept<V>(value: &V, share: &ValueShare<V>, codec: &Codec<V>) -> Option<Self> {
        Some(Self::Kept {
            value: share.keep(value)?,
            encode: codec.encode_kept(),
        })
    }

    /// Puts a value for one caller into an empty place, which stays empty if the value is not a `V`.
    pub(crate) fn put<V>(&self, share: &ValueShare<V>, codec: &Codec<V>, place: &mut Option<V>) {
        match self {
            Self::Kept { value, encode } => {
                share.put(&**value, place);
                if place.is_none()
                    && let Some(json) = encode(&**value)
                {
                    drop(codec.decode_into(&json, place));
                }
            }
            Self::Json(json) => drop(codec.decode_into(json, place)),
        }
    }
}
