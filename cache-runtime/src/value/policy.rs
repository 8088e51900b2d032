//! What an attribute says about values: how they are written, shared, and how long they live.
//!
//! The one rule: **only a policy knows how a function's return value is made of a stored one**; the read path asks it by its
//! [`Rules`], which take time and chance as values.

mod lifetimes;
mod values;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    error::Error,
    value::{
        answer::{Answer, Decoded, SharedValue},
        error::CodecError,
        freshness::{Freshness, Lifespan},
        header::{Stamp, Stored, encode_none, header},
        place::empty,
    },
};

pub(crate) use self::{
    lifetimes::{Lifetimes, Ttl},
    values::{Kind, Values},
};

/// What an attribute says about values of type `V`, in a function that returns `R`: `V` or
/// `Option<V>`.
pub(crate) struct Policy<V: 'static, R: 'static> {
    pub(crate) values: Values<V, R>,
    pub(crate) lifetimes: Lifetimes<V>,
}

// Derives would ask for `V: Clone`.
impl<V, R> Clone for Policy<V, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, R> Copy for Policy<V, R> {}

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
        &self.lifetimes.freshness
    }

    fn stores_none(&self) -> bool {
        self.lifetimes.none_ttl.is_some()
    }

    fn lifetime(
        &self,
        returned: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error> {
        let value = self.values.value_of(returned);
        self.lifetimes.of_returned(value, ttl, draw)
    }

    fn lifetime_of_put(
        &self,
        put: &R,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error> {
        self.lifetimes.of_put(self.values.value_of(put), ttl, draw)
    }

    fn encode(
        &self,
        returned: &R,
        stamp: Option<&Stamp>,
        most: usize,
    ) -> Result<Bytes, CodecError> {
        match self.values.value_of(returned) {
            Some(value) => {
                let header = header(false, stamp);
                let codec = &self.values.kind.codec;
                Ok(codec.encode_after(header, value, most)?.into())
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
        self.values.decode(stored, decoded, place)
    }

    fn share(&self, returned: &R, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError> {
        let Some(value) = self.values.value_of(returned) else {
            return Ok(Answer::Nothing);
        };
        if let Some(kept) = self.values.kind.keep(value) {
            return Ok(Answer::Value(kept));
        }
        let json = match json {
            Some(json) => json.clone(),
            None => self.values.kind.codec.encode(value, most)?.into(),
        };
        Ok(Answer::Value(SharedValue::Json(json)))
    }

    fn share_kept(&self, returned: &R) -> Option<Answer> {
        match self.values.value_of(returned) {
            None => Some(Answer::Nothing),
            Some(value) => self.values.kind.keep(value).map(Answer::Value),
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
        let loss = match self.values.equal(returned, decoded) {
            Some(true) => None,
            Some(false) => Some("by `==`, what is read from the JSON is another value"),
            None => (again != bytes).then_some("what is read from the JSON has other JSON"),
        };
        Ok((self.share(decoded, Some(&again), most)?, loss))
    }

    fn take(&self, shared: Option<&SharedValue>, place: &mut Option<R>) {
        self.values.take(shared, place);
    }

    fn kept(&self) -> Arc<dyn Rules<R> + Send + Sync> {
        Arc::new(*self)
    }
}

#[cfg(test)]
mod tests;
