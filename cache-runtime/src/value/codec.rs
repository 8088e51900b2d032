//! How values become bytes and come back.
//!
//! The one rule: **a value is written only where it comes back**: not where its JSON says [`null` for something
//! else](nulls), and not where it is [too large](sink).

mod nulls;
mod sink;

use std::any::Any;
use std::fmt;

use serde::{
    Serialize,
    de::{DeserializeOwned, Error as _},
};

use self::{nulls::Nulls, sink::Sink};
use super::{error::CodecError, header::Stored, panics::panics, place::clear};

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
    /// Appends a value's JSON to the given bytes, so many bytes at most.
    encode: fn(&V, Vec<u8>, usize) -> Encoded,
    /// Puts the value of a payload's text into an empty place, which stays empty where that fails.
    decode: fn(&str, &mut Option<V>) -> Result<(), CodecError>,
    encode_kept: EncodeKept,
    /// The `==` of the type, if it was found. Only debug builds have it, because they alone compare values.
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

impl<V: Cacheable> Codec<V> {
    /// Plain JSON.
    #[must_use]
    pub const fn json() -> Self {
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
    #[must_use]
    pub const fn json_and_eq() -> Self
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

/// Appends a value's JSON to `bytes`, if it comes back.
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

/// Whether each `null` reads back as what it stands for, because a type may read one in a way of its own.
///
/// Never inlined, so that encoding needs no room for a second value on the stack.
#[inline(never)]
fn come_back<V: Cacheable>(nulls: &Nulls, json: &[u8]) -> bool {
    let mut value = None::<V>;
    let same = |value: &V| Nulls::of(value).is_ok_and(|back| back == *nulls);
    let decoded = text(json).and_then(|json| decode(json, &mut value));
    decoded.is_ok() && value.as_ref().is_some_and(same)
}

/// Puts the value of a text into an empty place, which stays empty where that fails.
fn decode<V: Cacheable>(json: &str, place: &mut Option<V>) -> Result<(), CodecError> {
    decode_text(json, place).map_err(|error| {
        clear(place);
        CodecError::Json(error)
    })
}

/// As `serde_json::from_str`, but the value is written where it stays. There may be a value where this fails.
fn decode_text<V: Cacheable>(json: &str, place: &mut Option<V>) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(json);
    V::deserialize(&mut json).map(|value| *place = Some(value))?;
    json.end()
}

/// The text of a payload.
///
/// It is checked as a whole, because that takes less than string by string, and because a type's `Deserialize` is compiled for
/// each kind of input that it reads.
///
/// # Errors
///
/// If it is no UTF-8, and so no JSON (RFC 8259, section 8.1).
fn text(payload: &[u8]) -> Result<&str, CodecError> {
    let text = std::str::from_utf8(payload);
    text.map_err(|error| CodecError::Json(serde_json::Error::custom(error)))
}

impl<V> Codec<V> {
    /// The payload for a value, of `most` bytes at most.
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

    /// The function that encodes a `V` whose type was forgotten.
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
        let json = text(payload)?;
        let mut done = Err(CodecError::Panicked);
        panics(&mut || done = (self.decode)(json, place));
        done
    }

    /// As [`decode_into`](Self::decode_into), for tests that look at the value alone.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn decode(&self, payload: &[u8]) -> Result<V, CodecError> {
        let mut value = None;
        self.decode_into(payload, &mut value)?;
        Ok(value.expect("invariant: what is decoded is there"))
    }

    /// Whether `back` equals `value`. `None` where `==` does not tell: none was found, `value` does not equal itself (as a
    /// NaN), or the type's own code panics; and in a release build always.
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

    /// Puts the stored value of a function that returns an `Option` into an empty place, which stays empty for a stored
    /// `None`.
    ///
    /// A plain `null` is a value where `V` takes it for one, else another program's `None`.
    ///
    /// # Errors
    ///
    /// If the payload is neither.
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

    /// As [`decode_optional_into`](Self::decode_optional_into), for tests that look at the value alone.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn decode_optional(&self, stored: &Stored<'_>) -> Result<Option<V>, CodecError> {
        let mut value = None;
        self.decode_optional_into(stored, &mut value)?;
        Ok(value)
    }
}

/// Runs an encoding. A panic of the user's code in it is an error.
fn caught(encode: &mut dyn FnMut() -> Encoded) -> Encoded {
    let mut encoded = Err(CodecError::Panicked);
    panics(&mut || encoded = encode());
    encoded
}

#[cfg(test)]
mod tests;
