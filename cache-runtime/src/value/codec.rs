//! What is stored: plain JSON wherever that says it all, else a header that no JSON text begins with.
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
//! does not know: what a later release may not have ignored is a flag.
//!
//! A value is written only where it comes back: not where its JSON says [`null` for something else](nulls), and not
//! where it is [too large](sink).

mod nulls;
mod sink;

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::de::{Read, SliceRead, StrRead};

use self::{nulls::Nulls, sink::Sink};
use crate::{
    base::clock::milliseconds,
    error::Error,
    value::share::{clear, panics},
};

const HEADER: u8 = 0xC1;
const VERSION: u8 = 1;
const FLAG_NONE: u8 = 1;
const FLAG_STAMP: u8 = 2;
/// Before the fields: the byte, the version, the flags and the length.
const START: usize = 5;
/// The fields of a stamp.
const STAMP: usize = 20;

/// Where in stamped bytes the time of storing stands, which the server fills in.
pub(crate) const STORED_AT: Range<usize> = START..START + 8;

/// When a value was stored, and what its reader needs to judge its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// In milliseconds since 1970, by the clock of the server.
    pub(crate) stored_at: u64,
    pub(crate) fresh_for: Duration,
    /// How long the body took.
    pub(crate) took: Duration,
}

/// A type that the cache can store: serde's, sendable, and without borrows.
///
/// Nobody implements it: every type that is `Serialize + DeserializeOwned + Send + 'static` has it. Name it to bound a
/// generic cached function:
///
#[cfg_attr(feature = "macros", doc = "```")]
#[cfg_attr(not(feature = "macros"), doc = "```ignore")]
/// use cache_runtime::{Cacheable, redis_cached};
///
/// #[redis_cached(ttl = 60)]
/// async fn first<T: Cacheable + Default>(id: u64) -> T {
///     let _ = id;
///     T::default()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(first::<String>(1).await, "");
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cached; derive `serde::Serialize` and `serde::Deserialize` for it",
    label = "is stored as JSON",
    note = "a cached value is `Serialize + DeserializeOwned + Send + 'static`, and so is all that it holds; of an array of more than 32, return a `Vec`, or a type of your own with a field `#[serde(with = \"serde_big_array::BigArray\")]`"
)]
pub trait Cacheable: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<V: Serialize + DeserializeOwned + Send + 'static> Cacheable for V {}

/// How values of one type become bytes and come back.
pub struct Codec<V> {
    /// Appends to what is given, so many bytes at most.
    encode: fn(&V, Vec<u8>, usize) -> Encoded,
    /// Into an empty place, which stays empty where it fails.
    decode: fn(&[u8], &mut Option<V>) -> Result<(), CodecError>,
    encode_kept: EncodeKept,
    /// The `==` of the type, if it was found. Only debug builds compare values, so that no call of another one copies it.
    #[cfg(debug_assertions)]
    equal: Option<fn(&V, &V) -> bool>,
}

type Encoded = Result<Vec<u8>, CodecError>;

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
    #[error("the value's `Serialize` or `Deserialize` failed")]
    Json(#[source] serde_json::Error),
    /// The type's own code panicked.
    #[error("the value's `Serialize` or `Deserialize` panicked")]
    Panicked,
    /// No form that this release knows.
    #[error("not written by this release, nor JSON")]
    Unreadable,
    /// The value's JSON reads back as another value, or as none.
    #[error(
        "the value's JSON says `null` for a NaN, an infinity or a `Some` of nothing, and would read back as something else, so it is not stored; give it a `#[serde(with = \"…\")]` that JSON can say"
    )]
    Lost,
    /// The value's JSON has more bytes than are stored.
    #[error(
        "the value has more than {most} bytes of JSON, so it is not stored; raise `max_value` (`REDIS_MAX_VALUE`), or store less"
    )]
    TooLarge {
        /// So many bytes are stored at most.
        most: usize,
    },
    /// What was just written is no value of its type.
    #[error("the value's JSON is not read back as one")]
    Unread(#[source] Error),
}

impl<V: Cacheable> Codec<V> {
    /// Plain JSON.
    pub fn json() -> Self {
        Self {
            encode,
            decode,
            encode_kept: |value| {
                let value = value.downcast_ref::<V>()?;
                caught(&mut || encode(value, Vec::new(), usize::MAX)).ok()
            },
            #[cfg(debug_assertions)]
            equal: None,
        }
    }

    /// Plain JSON of a type that has `==`.
    pub fn json_and_eq() -> Self
    where
        V: PartialEq,
    {
        let codec = Self::json();
        #[cfg(debug_assertions)]
        let codec = Self {
            equal: Some(V::eq),
            ..codec
        };
        codec
    }
}

fn encode<V: Cacheable>(value: &V, bytes: Vec<u8>, most: usize) -> Encoded {
    let mut sink = Sink::after(bytes, most);
    if sink.write_json(value)? {
        let (nulls, json) = (Nulls::of(value).map_err(CodecError::Json)?, sink.json());
        let may_be_lost = nulls.are_ambiguous() || json == b"null";
        if may_be_lost && !come_back::<V>(&nulls, json) {
            return Err(CodecError::Lost);
        }
    }
    Ok(sink.into_bytes())
}

/// Whether each `null` reads back as what it stands for: a type may have a way of its own to read one.
///
/// Kept out of the function that encodes, which needs no room for a second value.
#[inline(never)]
fn come_back<V: Cacheable>(nulls: &Nulls, json: &[u8]) -> bool {
    let mut value = None::<V>;
    let same = |value: &V| Nulls::of(value).is_ok_and(|back| back == *nulls);
    decode(json, &mut value).is_ok() && value.as_ref().is_some_and(same)
}

fn decode<V: Cacheable>(payload: &[u8], place: &mut Option<V>) -> Result<(), CodecError> {
    let done = match std::str::from_utf8(payload) {
        // Checked as a whole, which takes less than string by string.
        Ok(json) => decode_from(StrRead::new(json), place),
        Err(_) => decode_from(SliceRead::new(payload), place),
    };
    done.map_err(|error| {
        clear(place);
        CodecError::Json(error)
    })
}

/// As `serde_json::from_str`, whose value would be moved on its way to its place. There may be one where it fails.
fn decode_from<'a, V: Cacheable>(
    json: impl Read<'a>,
    place: &mut Option<V>,
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::new(json);
    V::deserialize(&mut json).map(|value| *place = Some(value))?;
    json.end()
}

impl<V> Codec<V> {
    /// The payload for a value, of so many bytes at most.
    ///
    /// # Errors
    ///
    /// If the value's `Serialize` fails or panics, if the payload would be longer, or if it would read back as another
    /// value.
    pub(crate) fn encode(&self, value: &V, most: usize) -> Encoded {
        self.encode_after(Vec::with_capacity(128), value, most)
    }

    /// The payload for a value, after a header.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub(crate) fn encode_after(&self, header: Vec<u8>, value: &V, most: usize) -> Encoded {
        let mut header = header;
        caught(&mut || (self.encode)(value, std::mem::take(&mut header), most))
    }

    /// The function that encodes a `V` for somebody who does not know its type.
    pub(crate) fn encode_kept(&self) -> EncodeKept {
        self.encode_kept
    }

    /// Puts the value of a payload into an empty place, which stays empty where that fails.
    ///
    /// # Errors
    ///
    /// If the payload is not the JSON of a `V`, or the type's `Deserialize` fails or panics.
    pub(crate) fn decode_into(
        &self,
        payload: &[u8],
        place: &mut Option<V>,
    ) -> Result<(), CodecError> {
        let mut done = Err(CodecError::Panicked);
        panics(&mut || done = (self.decode)(payload, place));
        done
    }

    /// The same, for a look at the value alone.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn decode(&self, payload: &[u8]) -> Result<V, CodecError> {
        let mut value = None;
        self.decode_into(payload, &mut value)?;
        Ok(value.expect("invariant: what is decoded is there"))
    }

    /// Whether `==` says that `back` is `value`; `None` where it says nothing: the type has none that was found, a value is
    /// not even equal to itself (a NaN is not), or the type's own code panics. In a release build always `None`.
    pub(crate) fn equal(&self, value: &V, back: &V) -> Option<bool> {
        #[cfg(debug_assertions)]
        if let Some(equal) = self.equal {
            let mut compared = None;
            panics(&mut || compared = equal(value, value).then(|| equal(value, back)));
            return compared;
        }
        let _ = (value, back);
        None
    }

    /// Puts the value that was stored under a function that returns an `Option` into an empty place, which stays empty if a
    /// `None` was.
    ///
    /// A plain `null` is a value where `V` takes it for one, else another program's `None`.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub(crate) fn decode_optional_into(
        &self,
        stored: &Stored<'_>,
        place: &mut Option<V>,
    ) -> Result<(), CodecError> {
        if stored.none {
            return Ok(());
        }
        match self.decode_into(stored.payload, place) {
            Err(CodecError::Json(_)) if stored.payload.trim_ascii() == b"null" => Ok(()),
            decoded => decoded,
        }
    }

    /// The same, for a look at the value alone.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn decode_optional(&self, stored: &Stored<'_>) -> Result<Option<V>, CodecError> {
        let mut value = None;
        self.decode_optional_into(stored, &mut value)?;
        Ok(value)
    }
}

/// User code runs in here; its panic must reach nobody.
fn caught(encode: &mut dyn FnMut() -> Encoded) -> Encoded {
    let mut encoded = Err(CodecError::Panicked);
    panics(&mut || encoded = encode());
    encoded
}

/// What stands before the JSON: nothing where the value says it all.
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

/// The JSON in bytes that this release wrote.
pub(crate) fn payload_of(bytes: &Bytes) -> Bytes {
    let header = Stored::parse(bytes).map_or(0, |stored| stored.header_len(bytes));
    bytes.slice(header..)
}

/// What stored bytes turn out to be, before any type is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored<'a> {
    /// The JSON of a value, presumably.
    pub(crate) payload: &'a [u8],
    /// A body's `None`, whose payload is `null`.
    pub(crate) none: bool,
    pub(crate) stamp: Option<Stamp>,
}

impl<'a> Stored<'a> {
    /// Reads the header, if there is one.
    ///
    /// # Errors
    ///
    /// If there is one that this release cannot read.
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

#[cfg(test)]
mod tests;
