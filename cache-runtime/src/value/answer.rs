//! The outcome of a body, as the callers of one flight and the in-process store share it.
//!
//! The one rule: **a value is cloned where its type allows it, else decoded from its JSON**. A value that is read as
//! another type than it was written as goes through its JSON, as it would through Redis.

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

/// The value that the first of several readers decoded from bytes which all of them got, for the others to clone.
pub(crate) type Decoded = OnceLock<Kept>;

/// A value that many callers can have: a clone and the way to its JSON, or its JSON.
#[derive(Debug, Clone)]
pub(crate) enum SharedValue {
    Kept { value: Kept, encode: EncodeKept },
    Json(Bytes),
}

impl SharedValue {
    /// Keeps a clone of `value`; `None` if its type cannot be shared.
    pub(crate) fn kept<V>(value: &V, share: &ValueShare<V>, codec: &Codec<V>) -> Option<Self> {
        Some(Self::Kept {
            value: share.keep(value)?,
            encode: codec.encode_kept(),
        })
    }

    /// Puts a value for one caller into an empty place, which stays empty if the value is not a `V`.
    #[inline]
    pub(crate) fn put<V>(&self, share: &ValueShare<V>, codec: &Codec<V>, place: &mut Option<V>) {
        match self {
            Self::Kept { value, encode } => {
                share.put(&**value, place);
                // The value is of another type, or its `Clone` panicked.
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
