//! What an attribute says about values: how they are written, shared, and how long they are fresh.
//!
//! The one rule: **it only judges**; nothing here waits, reads a clock or touches a store.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    answer::{Answer, SharedValue},
    codec::{Codec, CodecError, encode_none},
    error::{Error, ErrorKind},
    probe::ValueShare,
};

/// Beyond this Redis would overflow its clock; nothing is meant to live longer.
const LONGEST_TTL: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// What an attribute says about values of type `V`, in a function that returns `R`: `V` or
/// `Option<V>`.
pub(crate) struct Policy<V, R> {
    pub(crate) codec: Codec<V>,
    pub(crate) share: ValueShare<V>,
    pub(crate) ttl: Ttl<V>,
    pub(crate) cache_if: Option<fn(&V) -> bool>,
    pub(crate) none_ttl: Option<Duration>,
    shape: Shape<V, R>,
}

/// How long a value is fresh.
pub(crate) enum Ttl<V> {
    For(Duration),
    By(fn(&V) -> Duration),
}

/// How `R` is made of a `V`.
struct Shape<V, R> {
    value: fn(&R) -> Option<&V>,
    wrap: fn(Option<V>) -> Option<R>,
}

impl<V> Policy<V, V> {
    pub(crate) fn new(codec: Codec<V>, share: ValueShare<V>) -> Self {
        Self {
            codec,
            share,
            ttl: Ttl::For(Duration::ZERO),
            cache_if: None,
            none_ttl: None,
            shape: Shape {
                value: |value| Some(value),
                wrap: |value| value,
            },
        }
    }

    pub(crate) fn optional(self) -> Policy<V, Option<V>> {
        let Self {
            codec,
            share,
            ttl,
            cache_if,
            none_ttl,
            shape: _,
        } = self;
        let shape = Shape {
            value: Option::as_ref,
            wrap: Some,
        };
        Policy {
            codec,
            share,
            ttl,
            cache_if,
            none_ttl,
            shape,
        }
    }
}

/// A [`Policy`] as the read path sees it: what to do with an `R`, whatever values it is made of.
pub(crate) trait Rules<R> {
    /// How long to store what a body returned; `None`: not at all. `ttl`: in the place of the
    /// attribute's. An error if a closure of the attribute panics.
    fn lifetime(&self, returned: &R, ttl: Option<Duration>) -> Result<Option<Duration>, Error>;

    /// How long to store what somebody puts, whatever the attribute thinks of such values. An error
    /// as for [`lifetime`](Self::lifetime).
    fn lifetime_of_put(&self, put: &R, ttl: Option<Duration>) -> Result<Option<Duration>, Error>;

    /// The bytes to store.
    fn encode(&self, returned: &R) -> Result<Bytes, Error>;

    /// What stored bytes stand for.
    fn decode(&self, bytes: &[u8]) -> Result<R, Error>;

    /// What can be handed to many callers; `encoded` as [`encode`](Self::encode) gave it, if it did.
    fn share(&self, returned: &R, encoded: Option<&Bytes>) -> Result<Answer, Error>;

    /// What `returned` would be if it came out of Redis, and whether nothing was lost on the way.
    fn through_json(&self, returned: &R) -> Result<(Answer, bool), Error>;

    /// What a shared value (`None`: a body's `None`) is for this function's callers; `None` if it is
    /// of another type.
    fn take(&self, shared: Option<&SharedValue>) -> Option<R>;
}

impl<V, R> Rules<R> for Policy<V, R> {
    fn lifetime(&self, returned: &R, ttl: Option<Duration>) -> Result<Option<Duration>, Error> {
        let lifetime = || match (self.shape.value)(returned) {
            None => self.none_ttl,
            Some(value) if self.cache_if.is_some_and(|wanted| !wanted(value)) => None,
            Some(value) => Some(ttl.unwrap_or_else(|| self.ttl.of(value))),
        };
        Ok(judged(lifetime)?.and_then(storable))
    }

    fn lifetime_of_put(&self, put: &R, ttl: Option<Duration>) -> Result<Option<Duration>, Error> {
        let of_attribute = || match ((self.shape.value)(put), &self.ttl) {
            (Some(value), ttl) => Some(ttl.of(value)),
            (None, Ttl::For(ttl)) => Some(self.none_ttl.unwrap_or(*ttl)),
            (None, Ttl::By(_)) => self.none_ttl,
        };
        Ok(judged(|| ttl.or_else(of_attribute))?.and_then(storable))
    }

    fn encode(&self, returned: &R) -> Result<Bytes, Error> {
        match (self.shape.value)(returned) {
            Some(value) => Ok(self.codec.encode(value).map_err(not_encoded)?.into()),
            None => Ok(encode_none().into()),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<R, Error> {
        let value = self.codec.decode_optional(bytes).map_err(not_decoded)?;
        match (self.shape.wrap)(value) {
            Some(returned) => Ok(returned),
            None => self.decode_nothing(),
        }
    }

    fn share(&self, returned: &R, encoded: Option<&Bytes>) -> Result<Answer, Error> {
        let Some(value) = (self.shape.value)(returned) else {
            return Ok(Answer::Nothing);
        };
        if let Some(kept) = SharedValue::kept(value, &self.share, &self.codec) {
            return Ok(Answer::Value(kept));
        }
        let json = match encoded {
            Some(json) => json.clone(),
            None => self.codec.encode(value).map_err(not_encoded)?.into(),
        };
        Ok(Answer::Value(SharedValue::Json(json)))
    }

    fn through_json(&self, returned: &R) -> Result<(Answer, bool), Error> {
        let bytes = self.encode(returned)?;
        let decoded = self.decode(&bytes)?;
        Ok((self.share(&decoded, None)?, self.encode(&decoded)? == bytes))
    }

    fn take(&self, shared: Option<&SharedValue>) -> Option<R> {
        match shared {
            None => (self.shape.wrap)(None).or_else(|| self.decode_nothing().ok()),
            Some(value) => (self.shape.wrap)(Some(value.take(&self.share, &self.codec)?)),
        }
    }
}

impl<V, R> Policy<V, R> {
    /// A body's `None`, read as a `V` that is an `Option` itself: that of `Cache::entry`.
    fn decode_nothing(&self) -> Result<R, Error> {
        let value = self.codec.decode(b"null").map_err(not_decoded)?;
        (self.shape.wrap)(Some(value)).ok_or_else(not_an_option)
    }
}

impl<V> Ttl<V> {
    fn of(&self, value: &V) -> Duration {
        match self {
            Self::For(ttl) => *ttl,
            Self::By(ttl) => ttl(value),
        }
    }
}

// A derive would ask for `V: Clone`.
impl<V> Clone for Ttl<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Ttl<V> {}

/// Runs closures of an attribute: what they panic about is whether to store, not what to return.
fn judged<T>(judge: impl FnOnce() -> T) -> Result<T, Error> {
    // They are plain functions over a shared reference, so nothing is left half done.
    catch_unwind(AssertUnwindSafe(judge)).map_err(|_| {
        Error::new(
            ErrorKind::Encode,
            "the attribute's `ttl` or `cache_if` panicked",
        )
    })
}

/// A ttl of nothing stores nothing; Redis cannot count less than a millisecond.
fn storable(ttl: Duration) -> Option<Duration> {
    (!ttl.is_zero()).then(|| ttl.clamp(Duration::from_millis(1), LONGEST_TTL))
}

fn not_encoded(error: CodecError) -> Error {
    Error::with_source(ErrorKind::Encode, "the value cannot be stored", error)
}

fn not_decoded(error: CodecError) -> Error {
    Error::with_source(
        ErrorKind::Decode,
        "what is stored is no value of this type",
        error,
    )
}

fn not_an_option() -> Error {
    Error::new(
        ErrorKind::Decode,
        "`None` is stored here, but the function returns no `Option`",
    )
}
