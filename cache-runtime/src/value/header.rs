//! The bytes that are stored, before any type is looked at.
//!
//! The one rule: **a value is plain JSON wherever that says it all**; else a header comes first, which no JSON text begins
//! with.
//!
//! | stored bytes | are |
//! |---|---|
//! | any JSON text | the value, exactly as `serde_json` writes it; also by any other program |
//! | `c1`, version `01`, flags, length (u16, little endian), fields of that length, JSON | what the flags say |
//! | anything else | unreadable: a miss, to be overwritten |
//!
//! | flag | says | its fields, in the order of the flags |
//! |---|---|---|
//! | 1 | `None`, kept because of `none_ttl`; the JSON is `null` | |
//! | 2 | a stamp: a reader must know when the value was stored to use it | stored at (u64, ms since 1970 by the server's clock), fresh for (u64, ms), the body took (u32, ms), all little endian |
//!
//! The byte `c1` begins no UTF-8 text. A reader refuses a version or a flag that it does not know, and skips fields that it
//! does not know. So a later release adds a flag for what older ones must not ignore, and a field for what they may.

use std::{ops::Range, time::Duration};

use bytes::Bytes;

use super::error::CodecError;
use crate::base::clock::milliseconds;

const HEADER: u8 = 0xC1;
const VERSION: u8 = 1;
const FLAG_NONE: u8 = 1;
const FLAG_STAMP: u8 = 2;
/// How many bytes stand before the fields: the byte, the version, the flags and the length.
const START: usize = 5;
/// How many bytes the fields of a stamp have.
const STAMP: usize = 20;

/// The place of the time of storing in stamped bytes, which the server fills in.
pub(crate) const STORED_AT: Range<usize> = START..START + 8;

/// When a value was stored, and what else its reader needs to judge its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// In milliseconds since 1970, by the clock of the server.
    pub(crate) stored_at: u64,
    pub(crate) fresh_for: Duration,
    /// How long the body took.
    pub(crate) took: Duration,
}

/// The bytes before the JSON: none where the JSON says it all.
pub(crate) fn header(none: bool, stamp: Option<&Stamp>) -> Vec<u8> {
    if !none && stamp.is_none() {
        return Vec::new();
    }
    let flags = if none { FLAG_NONE } else { 0 } | if stamp.is_some() { FLAG_STAMP } else { 0 };
    let mut header = Vec::with_capacity(128);
    let fields: u16 = if stamp.is_some() { STAMP as u16 } else { 0 };
    header.extend([HEADER, VERSION, flags]);
    header.extend(fields.to_le_bytes());
    if let Some(stamp) = stamp {
        let took = u32::try_from(stamp.took.as_millis()).unwrap_or(u32::MAX);
        header.extend(stamp.stored_at.to_le_bytes());
        header.extend(milliseconds(stamp.fresh_for).to_le_bytes());
        header.extend(took.to_le_bytes());
    }
    header
}

/// The bytes stored for `None`.
pub(crate) fn encode_none(stamp: Option<&Stamp>) -> Vec<u8> {
    let mut bytes = header(true, stamp);
    bytes.extend(b"null");
    bytes
}

/// The JSON in bytes that this process wrote.
pub(crate) fn payload_of(bytes: &Bytes) -> Bytes {
    let header = Stored::parse(bytes).map_or(0, |stored| stored.header_len(bytes));
    bytes.slice(header..)
}

/// Stored bytes, split at the end of their header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored<'a> {
    /// The bytes after the header, which should be the JSON of a value.
    pub(crate) payload: &'a [u8],
    /// Whether the bytes stand for a body's `None`. Their payload is `null` then.
    pub(crate) none: bool,
    pub(crate) stamp: Option<Stamp>,
}

impl<'a> Stored<'a> {
    /// Reads the header, if there is one.
    ///
    /// # Errors
    ///
    /// [`CodecError::Unreadable`] if there is a header that this release cannot read.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let Some((&HEADER, rest)) = bytes.split_first() else {
            return Ok(Self {
                payload: bytes,
                none: false,
                stamp: None,
            });
        };
        let [VERSION, flags @ 1..=3, low, high, rest @ ..] = rest else {
            return Err(CodecError::Unreadable);
        };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (fields, payload) = rest
            .split_at_checked(length)
            .ok_or(CodecError::Unreadable)?;
        let none = flags & FLAG_NONE != 0;
        if none && payload != b"null" {
            return Err(CodecError::Unreadable);
        }
        let stamp = match flags & FLAG_STAMP {
            0 => None,
            _ => Some(Stamp::parse(fields).ok_or(CodecError::Unreadable)?),
        };
        Ok(Self {
            payload,
            none,
            stamp,
        })
    }

    /// How many bytes stand before the payload.
    pub(crate) fn header_len(&self, bytes: &[u8]) -> usize {
        bytes.len() - self.payload.len()
    }
}

impl Stamp {
    fn parse(fields: &[u8]) -> Option<Self> {
        let (stored_at, rest) = fields.split_first_chunk()?;
        let (fresh_for, rest) = rest.split_first_chunk()?;
        let took = rest.first_chunk()?;
        Some(Self {
            stored_at: u64::from_le_bytes(*stored_at),
            fresh_for: Duration::from_millis(u64::from_le_bytes(*fresh_for)),
            took: Duration::from_millis(u32::from_le_bytes(*took).into()),
        })
    }
}
