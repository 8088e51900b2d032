//! What an attribute says about values: how they are written, shared, and how long they live.
//!
//! The one rule: **only a policy knows how a function's return value is made of a stored one**; the read path asks it by its
//! [`Rules`], which take time and chance as values.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind},
    value::{
        answer::{Answer, Decoded, SharedValue},
        codec::Codec,
        error::{CodecError, not_decoded},
        freshness::{Freshness, Lifespan},
        header::{Stamp, Stored, encode_none, header},
        panics::panics,
        place::{clear, empty},
        share::ValueShare,
    },
};

/// What an attribute says about values of type `V`, in a function that returns `R`: `V` or
/// `Option<V>`.
pub(crate) struct Policy<V, R> {
    pub(crate) codec: Codec<V>,
    pub(crate) share: ValueShare<V>,
    pub(crate) ttl: Ttl<V>,
    pub(crate) cache_if: Option<fn(&V) -> bool>,
    pub(crate) none_ttl: Option<Duration>,
    pub(crate) freshness: Freshness,
    shape: Shape<V, R>,
}

// A derive would ask for `V: Clone`.
impl<V, R> Clone for Policy<V, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, R> Copy for Policy<V, R> {}

/// How long a value is fresh.
pub(crate) enum Ttl<V> {
    For(Duration),
    By(fn(&V) -> Duration),
}

/// How `R` is made of a `V`.
struct Shape<V, R> {
    value: fn(&R) -> Option<&V>,
    /// Makes an empty place for an `R` an empty place for its `V`, so that no value is moved from one into the other.
    place: fn(&mut Option<R>) -> &mut Option<V>,
}

impl<V, R> Clone for Shape<V, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, R> Copy for Shape<V, R> {}

impl<V> Policy<V, V> {
    pub(crate) fn new(codec: Codec<V>, share: ValueShare<V>) -> Self {
        Self {
            codec,
            share,
            ttl: Ttl::For(Duration::ZERO),
            cache_if: None,
            none_ttl: None,
            freshness: Freshness::default(),
            shape: Shape {
                value: |value| Some(value),
                place: |place| place,
            },
        }
    }

    /// The same policy for a function that returns `Option<V>`.
    pub(crate) fn optional(self) -> Policy<V, Option<V>> {
        let Self {
            codec,
            share,
            ttl,
            cache_if,
            none_ttl,
            freshness,
            shape: _,
        } = self;
        let shape = Shape {
            value: Option::as_ref,
            place: |place| place.insert(None),
        };
        Policy {
            codec,
            share,
            ttl,
            cache_if,
            none_ttl,
            freshness,
            shape,
        }
    }
}

/// A [`Policy`] as the read path sees it: what to do with an `R`, whatever values it is made of.
pub(crate) trait Rules<R> {
    /// For how long, and how, an entry may be answered.
    fn freshness(&self) -> &Freshness;

    /// Whether a body's `None` is stored.
    fn stores_none(&self) -> bool;

    /// How long to store the value that a body returned; `None`: not at all. `ttl`: in the place of the
    /// attribute's. `draw`: a number in (0, 1], for the jitter.
    ///
    /// # Errors
    ///
    /// If a closure of the attribute panics.
    fn lifetime(
        &self,
        returned: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error>;

    /// As [`lifetime`](Self::lifetime), for a value that is put: `cache_if` is not asked.
    fn lifetime_of_put(
        &self,
        put: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error>;

    /// The bytes to store, with a stamp if they must have one. `most`: how many bytes of JSON they may have.
    fn encode(&self, returned: &R, stamp: Option<&Stamp>, most: usize)
    -> Result<Bytes, CodecError>;

    /// Puts the value of stored bytes into an empty place, which stays empty where that fails. `decoded`: the place where
    /// readers of the same bytes share the value, if there are others.
    fn decode(
        &self,
        stored: &Stored<'_>,
        decoded: Option<&Decoded>,
        place: &mut Option<R>,
    ) -> Result<(), Error>;

    /// The outcome as many callers can have it. `json`: what [`encode`](Self::encode) gave without a stamp, if it was
    /// asked. `most`: how many bytes of JSON are made at most.
    fn share(&self, returned: &R, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError>;

    /// As [`share`](Self::share), but makes no JSON; `None` where it takes JSON.
    fn share_kept(&self, returned: &R) -> Option<Answer>;

    /// The outcome as it would come out of Redis, and the sign that something was lost on the way, if something was.
    fn through_json(
        &self,
        returned: &R,
        most: usize,
    ) -> Result<(Answer, Option<&'static str>), CodecError>;

    /// Puts a shared value (`None`: a body's `None`) into an empty place, which stays empty if the value is of another
    /// type.
    fn take(&self, shared: Option<&SharedValue>, place: &mut Option<R>);

    /// A copy of these rules, for a run in the background.
    fn kept(&self) -> Arc<dyn Rules<R> + Send + Sync>;
}

impl<V: 'static, R: 'static> Rules<R> for Policy<V, R> {
    fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    fn stores_none(&self) -> bool {
        self.none_ttl.is_some()
    }

    fn lifetime(
        &self,
        returned: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error> {
        let lifetime = &mut || match (self.shape.value)(returned) {
            None => self.none_ttl.map(|ttl| self.freshness.shorten(ttl, draw)),
            Some(value) if self.cache_if.is_some_and(|wanted| !wanted(value)) => None,
            Some(value) => {
                Some(ttl.unwrap_or_else(|| self.freshness.shorten(self.ttl.of(value), draw)))
            }
        };
        lifetime_by(&self.freshness, lifetime)
    }

    fn lifetime_of_put(
        &self,
        put: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error> {
        let of_attribute = || {
            let ttl = match ((self.shape.value)(put), &self.ttl) {
                (Some(value), ttl) => Some(ttl.of(value)),
                (None, Ttl::For(ttl)) => Some(self.none_ttl.unwrap_or(*ttl)),
                (None, Ttl::By(_)) => self.none_ttl,
            };
            ttl.map(|ttl| self.freshness.shorten(ttl, draw))
        };
        lifetime_by(&self.freshness, &mut || ttl.or_else(of_attribute))
    }

    fn encode(
        &self,
        returned: &R,
        stamp: Option<&Stamp>,
        most: usize,
    ) -> Result<Bytes, CodecError> {
        match (self.shape.value)(returned) {
            Some(value) => {
                let header = header(false, stamp);
                Ok(self.codec.encode_after(header, value, most)?.into())
            }
            None => Ok(encode_none(stamp).into()),
        }
    }

    fn decode(
        &self,
        stored: &Stored<'_>,
        decoded: Option<&Decoded>,
        place: &mut Option<R>,
    ) -> Result<(), Error> {
        let of_value = (self.shape.place)(place);
        let done = match decoded {
            Some(decoded) => self.decode_once(stored, decoded, of_value),
            None => self.codec.decode_optional_into(stored, of_value),
        };
        match done {
            Ok(()) if place.is_some() => Ok(()),
            Ok(()) => self.decode_nothing(place),
            Err(error) => {
                clear(place);
                Err(not_decoded(error))
            }
        }
    }

    fn share(&self, returned: &R, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError> {
        let Some(value) = (self.shape.value)(returned) else {
            return Ok(Answer::Nothing);
        };
        if let Some(kept) = SharedValue::kept(value, &self.share, &self.codec) {
            return Ok(Answer::Value(kept));
        }
        let json = match json {
            Some(json) => json.clone(),
            None => self.codec.encode(value, most)?.into(),
        };
        Ok(Answer::Value(SharedValue::Json(json)))
    }

    fn share_kept(&self, returned: &R) -> Option<Answer> {
        match (self.shape.value)(returned) {
            None => Some(Answer::Nothing),
            Some(value) => SharedValue::kept(value, &self.share, &self.codec).map(Answer::Value),
        }
    }

    fn through_json(
        &self,
        returned: &R,
        most: usize,
    ) -> Result<(Answer, Option<&'static str>), CodecError> {
        let bytes = self.encode(returned, None, most)?;
        let mut decoded = empty();
        self.decode(&Stored::parse(&bytes)?, None, &mut decoded)
            .map_err(CodecError::Unread)?;
        let decoded = decoded.as_ref().as_ref();
        let decoded = decoded.expect("invariant: what is decoded is there");
        let again = self.encode(decoded, None, most)?;
        let value = self.shape.value;
        let equal = value(returned)
            .zip(value(decoded))
            .and_then(|(value, back)| self.codec.equal(value, back));
        let loss = match equal {
            Some(true) => None,
            Some(false) => Some("by `==`, what is read from the JSON is another value"),
            None => (again != bytes).then_some("what is read from the JSON has other JSON"),
        };
        Ok((self.share(decoded, Some(&again), most)?, loss))
    }

    fn take(&self, shared: Option<&SharedValue>, place: &mut Option<R>) {
        let of_value = (self.shape.place)(place);
        match shared {
            Some(value) => {
                value.put(&self.share, &self.codec, of_value);
                if of_value.is_none() {
                    clear(place);
                }
            }
            None if place.is_none() => drop(self.decode_nothing(place)),
            None => {}
        }
    }

    fn kept(&self) -> Arc<dyn Rules<R> + Send + Sync> {
        Arc::new(*self)
    }
}

impl<V: 'static, R: 'static> Policy<V, R> {
    /// As [`Rules::take`], with fewer steps for a value that is cloned.
    #[inline(always)]
    pub(crate) fn take_clone(&self, shared: Option<&SharedValue>, place: &mut Option<R>) {
        if let Some(SharedValue::Kept { value, .. }) = shared {
            let of_value = (self.shape.place)(place);
            self.share.put(&**value, of_value);
            if of_value.is_some() {
                return;
            }
            clear(place);
        }
        self.take(shared, place);
    }
}

impl<V, R> Policy<V, R> {
    /// Puts a clone of the value that another reader decoded into an empty place. The first reader decodes it, and keeps a
    /// clone for the others.
    fn decode_once(
        &self,
        stored: &Stored<'_>,
        decoded: &Decoded,
        place: &mut Option<V>,
    ) -> Result<(), CodecError> {
        if let Some(kept) = decoded.get() {
            self.share.put(&**kept, place);
            if place.is_some() {
                return Ok(());
            }
        }
        self.codec.decode_optional_into(stored, place)?;
        if let Some(value) = place
            && let Some(kept) = self.share.keep(value)
        {
            // Another reader may have been first, and its value is as good.
            drop(decoded.set(kept));
        }
        Ok(())
    }

    /// Decodes a body's `None` as a `V` that is an `Option` itself, as it may be for an entry of `Cache::entry`.
    fn decode_nothing(&self, place: &mut Option<R>) -> Result<(), Error> {
        let of_value = (self.shape.place)(place);
        let done = self.codec.decode_into(b"null", of_value);
        done.map_err(not_decoded)
    }
}

/// The lifetime by a ttl that closures of the attribute give.
///
/// # Errors
///
/// If a closure panics.
fn lifetime_by(
    freshness: &Freshness,
    ttl: &mut dyn FnMut() -> Option<Duration>,
) -> Result<Option<Lifespan>, Error> {
    let mut given = None;
    if panics(&mut || given = ttl()) {
        return Err(Error::new(
            ErrorKind::Encode,
            "the attribute's `ttl` or `cache_if` panicked",
        ));
    }
    Ok(given.and_then(|ttl| freshness.lifetime(ttl)))
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

#[cfg(test)]
mod tests;
