//! What is stored: plain JSON wherever that says it all, else a header that no JSON text begins with.
//!
//! | stored bytes | are |
//! |---|---|
//! | any JSON text | the value, exactly as `serde_json` writes it; also by any other program |
//! | `c1 01 01`, length (u16, little endian), fields of that length, `null` | `None`, kept because of `none_ttl` |
//! | anything else | unreadable: a miss, to be overwritten |
//!
//! After the byte `c1`, which begins no UTF-8 text, come the header's version and its flags. A reader refuses a version or a
//! flag that it does not know, and skips fields that it does not know: what a later release may not have ignored is a flag.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::probe::Cacheable;

const HEADER: u8 = 0xC1;
const VERSION: u8 = 1;
const FLAG_NONE: u8 = 1;

/// How values of one type become bytes and come back.
pub struct Codec<V> {
    encode: fn(&V) -> Result<Vec<u8>, serde_json::Error>,
    decode: fn(&[u8]) -> Result<V, serde_json::Error>,
    encode_kept: EncodeKept,
}

/// Encodes a value whose type was forgotten; `None` if that fails.
pub(crate) type EncodeKept = fn(&(dyn Any + Send + Sync)) -> Option<Vec<u8>>;

// Derives would ask for `V: Clone` and so on, but a codec holds no value.
impl<V> Clone for Codec<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Codec<V> {}

impl<V> fmt::Debug for Codec<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec(json)")
    }
}

/// Why bytes could not be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// serde or the type refused.
    #[error("not this type's JSON")]
    Json(#[source] serde_json::Error),
    /// The type's own code panicked.
    #[error("the value's `Serialize` or `Deserialize` panicked")]
    Panicked,
    /// No form that this release knows.
    #[error("not written by this release, nor JSON")]
    Unreadable,
}

impl<V: Cacheable> Codec<V> {
    /// Plain JSON.
    pub fn json() -> Self {
        Self {
            encode: |value| serde_json::to_vec(value),
            decode: |payload| serde_json::from_slice(payload),
            encode_kept: |value| {
                let value = value.downcast_ref::<V>()?;
                caught(|| serde_json::to_vec(value)).ok()
            },
        }
    }
}

impl<V> Codec<V> {
    /// The payload for a value.
    ///
    /// # Errors
    ///
    /// If the value's `Serialize` fails or panics.
    pub(crate) fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        caught(|| (self.encode)(value))
    }

    /// The function that encodes a `V` for somebody who does not know its type.
    pub(crate) fn encode_kept(&self) -> EncodeKept {
        self.encode_kept
    }

    /// The value of a payload.
    ///
    /// # Errors
    ///
    /// If the payload is not the JSON of a `V`, or the type's `Deserialize` fails or panics.
    pub(crate) fn decode(&self, payload: &[u8]) -> Result<V, CodecError> {
        caught(|| (self.decode)(payload))
    }

    /// The value, or the stored `None`, of bytes stored under a function that returns an `Option`.
    ///
    /// A plain `null` is a value where `V` takes it for one, else another program's `None`.
    ///
    /// # Errors
    ///
    /// If the bytes are neither.
    pub(crate) fn decode_optional(&self, bytes: &[u8]) -> Result<Option<V>, CodecError> {
        let payload = match Stored::parse(bytes)? {
            Stored::None => return Ok(None),
            Stored::Value(payload) => payload,
        };
        match self.decode(payload) {
            Ok(value) => Ok(Some(value)),
            Err(CodecError::Json(_)) if payload.trim_ascii() == b"null" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// User code runs in here; its panic must reach nobody.
fn caught<T>(run: impl FnOnce() -> Result<T, serde_json::Error>) -> Result<T, CodecError> {
    // What a panic leaves half done is dropped with the closure.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(CodecError::Json),
        Err(_) => Err(CodecError::Panicked),
    }
}

/// The bytes stored for `None`.
pub(crate) fn encode_none() -> Vec<u8> {
    [&[HEADER, VERSION, FLAG_NONE, 0, 0], b"null".as_slice()].concat()
}

/// What stored bytes turn out to be, before any type is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// The JSON of a value, presumably.
    Value(&'a [u8]),
    /// A stored `None`.
    None,
}

impl<'a> Stored<'a> {
    /// Reads the header, if there is one.
    ///
    /// # Errors
    ///
    /// If there is one that this release cannot read.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let Some((&HEADER, rest)) = bytes.split_first() else {
            return Ok(Self::Value(bytes));
        };
        match rest {
            [VERSION, FLAG_NONE, low, high, rest @ ..] => {
                let fields = usize::from(u16::from_le_bytes([*low, *high]));
                match rest.get(fields..) {
                    Some(b"null") => Ok(Self::None),
                    _ => Err(CodecError::Unreadable),
                }
            }
            _ => Err(CodecError::Unreadable),
        }
    }
}

#[cfg(test)]
mod tests;
