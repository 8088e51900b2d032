//! What an attribute says about values: how they are written, shared, and how long they live.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    error::Error,
    value::{
        answer::{Answer, Decoded, SharedValue},
        codec::Codec,
        error::{CodecError, not_decoded},
        freshness::{Freshness, Lifetime},
        header::{Stamp, Stored, encode_none, header},
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
    /// The empty place for a `V` in an empty one for an `R`, so that no value is moved from the one into the other.
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

    /// How long to store what a body returned; `None`: not at all. `ttl`: in the place of the
    /// attribute's. `draw`: a number in (0, 1], for the jitter. An error if a closure of the attribute panics.
    fn lifetime(
        &self,
        returned: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifetime>, Error>;

    /// How long to store what somebody puts, whatever the attribute thinks of such values; otherwise as
    /// [`lifetime`](Self::lifetime).
    fn lifetime_of_put(
        &self,
        put: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifetime>, Error>;

    /// The bytes to store, with a stamp if they must have one. `most`: so many bytes of JSON.
    fn encode(&self, returned: &R, stamp: Option<&Stamp>, most: usize)
    -> Result<Bytes, CodecError>;

    /// Puts what stored bytes stand for into an empty place, which stays empty where that fails. `decoded`: where others get
    /// the same bytes, what came of them so far.
    fn decode(
        &self,
        stored: &Stored<'_>,
        decoded: Option<&Decoded>,
        place: &mut Option<R>,
    ) -> Result<(), Error>;

    /// What can be handed to many callers; `json` as [`encode`](Self::encode) gave it without a stamp, if it did.
    /// `most`: so many bytes of JSON are made for it.
    fn share(&self, returned: &R, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError>;

    /// The same without JSON; `None` where that is what it takes.
    fn share_kept(&self, returned: &R) -> Option<Answer>;

    /// What `returned` would be if it came out of Redis, and how it shows that something was lost on the way, if it does.
    fn through_json(
        &self,
        returned: &R,
        most: usize,
    ) -> Result<(Answer, Option<&'static str>), CodecError>;

    /// Puts what a shared value (`None`: a body's `None`) is for this function's callers into an empty place, which stays
    /// empty if that is of another type.
    fn take(&self, shared: Option<&SharedValue>, place: &mut Option<R>);

    /// The same rules, for a run that its caller does not wait for.
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
    ) -> Result<Option<Lifetime>, Error> {
        let lifetime = &mut || match (self.shape.value)(returned) {
            None => self.none_ttl.map(|ttl| self.freshness.shorten(ttl, draw)),
            Some(value) if self.cache_if.is_some_and(|wanted| !wanted(value)) => None,
            Some(value) => {
                Some(ttl.unwrap_or_else(|| self.freshness.shorten(self.ttl.of(value), draw)))
            }
        };
        self.freshness.judged(lifetime)
    }

    fn lifetime_of_put(
        &self,
        put: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifetime>, Error> {
        let of_attribute = || {
            let ttl = match ((self.shape.value)(put), &self.ttl) {
                (Some(value), ttl) => Some(ttl.of(value)),
                (None, Ttl::For(ttl)) => Some(self.none_ttl.unwrap_or(*ttl)),
                (None, Ttl::By(_)) => self.none_ttl,
            };
            ttl.map(|ttl| self.freshness.shorten(ttl, draw))
        };
        self.freshness.judged(&mut || ttl.or_else(of_attribute))
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

impl<V, R> Policy<V, R> {
    /// Puts a clone of what another caller decoded into an empty place, else what is stored, and keeps a clone of that for
    /// the others.
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
            // Whoever was first is as good.
            drop(decoded.set(kept));
        }
        Ok(())
    }

    /// Puts a body's `None`, read as a `V` that is an `Option` itself, into an empty place: that of `Cache::entry`.
    fn decode_nothing(&self, place: &mut Option<R>) -> Result<(), Error> {
        let of_value = (self.shape.place)(place);
        let done = self.codec.decode_into(b"null", of_value);
        done.map_err(not_decoded)
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

#[cfg(test)]
mod tests;
