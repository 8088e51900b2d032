//! What an attribute says about values: how they are written, shared, and how long they may be answered.
//!
//! The one rule: **it only judges**; nothing here waits, reads a clock, draws a number or touches a store.
//!
//! # What the age of an entry means
//!
//! `ttl` is what the entry was stored with, after [`jitter`](Freshness::shorten); the windows are the reader's own attribute's,
//! and both begin where the ttl ends. Of the rows that hold, the first counts. *At rest*: the key's last refresh
//! failed, or another process is at it, a moment ago. *Movable*: the body can run without its caller.
//!
//! | | age | option | at rest | movable | answered | started |
//! |---|---|---|---|---|---|---|
//! | 1 | no stamp: another program's, or `ttl` alone | any | any | any | the value | nothing |
//! | 2 | < ttl | `refresh_ahead`, its moment has come | no | yes | the value | a background run |
//! | 3 | < ttl | any | any | any | the value | nothing |
//! | 4 | < ttl + `stale_while_revalidate` | that | yes | any | the stale value | nothing |
//! | 5 | < ttl + `stale_while_revalidate` | that | no | yes | the stale value | a background run |
//! | 6 | < ttl + `stale_if_error` | that | yes | any | the stale value | nothing |
//! | 7 | < ttl + `stale_if_error` | that, `soft_timeout` | no | yes | the body's value; the stale one if it fails or takes longer | a run that goes on behind |
//! | 8 | < ttl + `stale_if_error` | that | no | any | the body's value; the stale one if it fails | a run of the caller's |
//! | 9 | later | any | any | any | the body's outcome | a run of the caller's |
//!
//! Within the window of `stale_while_revalidate`, a body that is not movable (an entry's
//! [`get_or_compute`](crate::Entry::get_or_compute), or a call outside of a runtime) falls through to rows 7 to 9.
//!
//! The moment of `refresh_ahead` is an age of the given fraction of the ttl; or by XFetch, where
//! `took × -ln(draw) ≥ ttl - age`, with `took` the time that the body took and `draw` in (0, 1] once per call, and never
//! before half the ttl (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind},
    value::{
        answer::{Answer, Decoded, SharedValue},
        codec::{Codec, CodecError, Stamp, Stored, encode_none, header},
        share::{ValueShare, clear, empty, panics},
    },
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

/// For how long, and how, an entry may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Freshness {
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) refresh_ahead: Option<RefreshAhead>,
    pub(crate) soft_timeout: Option<Duration>,
    /// The largest share of a ttl that is taken off it.
    pub(crate) jitter: f64,
    /// Every process on the same Redis shares one body run.
    pub(crate) cluster: bool,
}

/// When a background run begins before the ttl ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RefreshAhead {
    /// When this share of the ttl has passed.
    Fraction(f64),
    /// At random, the likelier the longer the body takes and the nearer the end is.
    XFetch,
}

/// An entry, as old as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aged {
    pub(crate) age: Duration,
    pub(crate) fresh_for: Duration,
    pub(crate) took: Duration,
}

/// A stamp that is ahead of the reader's clock by no more than this, or than a tenth of the ttl, counts as new:
/// clocks differ.
const SLACK: Duration = Duration::from_secs(1);

impl Aged {
    /// Whether the ttl has not ended.
    pub(crate) fn is_fresh(&self) -> bool {
        self.age < self.fresh_for
    }
}

impl Stamp {
    /// An entry with this stamp, when the server's clock shows `now`.
    ///
    /// A stamp of the future is of now, unless another clock wrote it: one that was ahead of this one by more than
    /// [`SLACK`], or that was set back since. How old the entry is nobody knows then, so its ttl is taken to have just
    /// ended: a window may still answer with it, and whoever stores next writes a stamp of this clock.
    pub(crate) fn aged(&self, now: u64) -> Aged {
        let age = now.checked_sub(self.stored_at).map(Duration::from_millis);
        Aged {
            age: age.unwrap_or_else(|| {
                let ahead = Duration::from_millis(self.stored_at - now);
                if ahead <= SLACK.max(self.fresh_for / 10) {
                    Duration::ZERO
                } else {
                    self.fresh_for
                }
            }),
            fresh_for: self.fresh_for,
            took: self.took,
        }
    }
}

/// How long what is stored now lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) fresh_for: Duration,
    /// With the windows in which it may still be answered.
    pub(crate) kept_for: Duration,
}

/// What to do with an entry; the rows of the [module's](self) table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Rows 1 and 3.
    Fresh,
    /// Row 2.
    RefreshAhead,
    /// Rows 4 and 6.
    StaleAtRest,
    /// Row 5.
    StaleWhileRevalidate,
    /// Row 7; the soft timeout.
    StaleAfter(Duration),
    /// Row 8.
    StaleIfError,
    /// Row 9.
    Expired,
}

/// What an entry's age alone does not say; asked only where it matters.
pub(crate) struct Circumstances<'a> {
    /// The key's last refresh failed, or somebody else is at it, a moment ago.
    pub(crate) at_rest: &'a dyn Fn() -> bool,
    /// The body can run without its caller.
    pub(crate) movable: &'a dyn Fn() -> bool,
    /// A random number in (0, 1].
    pub(crate) draw: &'a dyn Fn() -> f64,
}

impl Freshness {
    /// Judges an entry by the table of this module.
    pub(crate) fn judge(&self, entry: Option<Aged>, now: &Circumstances<'_>) -> Judgement {
        let Some(entry) = entry else {
            return Judgement::Fresh;
        };
        let Some(past) = entry.age.checked_sub(entry.fresh_for) else {
            let ahead = self.is_ahead(entry, now.draw) && !(now.at_rest)() && (now.movable)();
            return if ahead {
                Judgement::RefreshAhead
            } else {
                Judgement::Fresh
            };
        };
        let revalidate = past < self.stale_while_revalidate;
        let on_error = past < self.stale_if_error;
        if !revalidate && !on_error {
            return Judgement::Expired;
        }
        if (now.at_rest)() {
            return Judgement::StaleAtRest;
        }
        match self.soft_timeout {
            _ if revalidate && (now.movable)() => Judgement::StaleWhileRevalidate,
            Some(limit) if on_error && (now.movable)() => Judgement::StaleAfter(limit),
            _ if on_error => Judgement::StaleIfError,
            _ => Judgement::Expired,
        }
    }

    fn is_ahead(&self, entry: Aged, draw: &dyn Fn() -> f64) -> bool {
        match self.refresh_ahead {
            None => false,
            Some(RefreshAhead::Fraction(share)) => entry.age >= entry.fresh_for.mul_f64(share),
            Some(RefreshAhead::XFetch) => {
                let left = entry.fresh_for.saturating_sub(entry.age);
                entry.age >= entry.fresh_for / 2
                    && entry.took.as_secs_f64() * -draw().ln() >= left.as_secs_f64()
            }
        }
    }

    /// Whether an entry is an answer that no body need be asked about: rows 1 to 5.
    pub(crate) fn answers(&self, entry: Option<Aged>) -> bool {
        entry
            .and_then(|entry| entry.age.checked_sub(entry.fresh_for))
            .is_none_or(|past| past < self.stale_while_revalidate)
    }

    /// Whether an entry must say when it was stored.
    pub(crate) fn needs_stamp(&self) -> bool {
        self.keeps_stale() || self.refresh_ahead.is_some()
    }

    /// Whether an entry may be answered when its ttl has ended.
    pub(crate) fn keeps_stale(&self) -> bool {
        !self.window().is_zero()
    }

    fn window(&self) -> Duration {
        self.stale_while_revalidate.max(self.stale_if_error)
    }

    /// The ttl less its jitter; `draw` is in (0, 1].
    fn shorten(&self, ttl: Duration, draw: f64) -> Duration {
        if self.jitter > 0.0 {
            // A product of `f64` may be more than its factor, and more than a `Duration` holds.
            let ttl = ttl.min(LONGEST_TTL);
            ttl.mul_f64(1.0 - self.jitter * draw).min(ttl)
        } else {
            ttl
        }
    }

    /// The lifetime by closures of an attribute: what they panic about is whether to store, not what to return.
    fn judged(&self, ttl: &mut dyn FnMut() -> Option<Duration>) -> Result<Option<Lifetime>, Error> {
        let mut judged = None;
        if panics(&mut || judged = ttl()) {
            return Err(Error::new(
                ErrorKind::Encode,
                "the attribute's `ttl` or `cache_if` panicked",
            ));
        }
        Ok(judged.and_then(|ttl| self.lifetime(ttl)))
    }

    /// A ttl of nothing stores nothing; Redis cannot count less than a millisecond.
    fn lifetime(&self, ttl: Duration) -> Option<Lifetime> {
        let fresh_for = ttl.clamp(Duration::from_millis(1), LONGEST_TTL);
        let kept_for = fresh_for.saturating_add(self.window()).min(LONGEST_TTL);
        (!ttl.is_zero()).then_some(Lifetime {
            fresh_for,
            kept_for,
        })
    }
}

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

pub(crate) fn not_encoded(error: CodecError) -> Error {
    match error {
        // Said at once, for they say what to do.
        CodecError::Lost | CodecError::TooLarge { .. } => {
            Error::new(ErrorKind::Encode, error.to_string())
        }
        error => Error::with_source(ErrorKind::Encode, "the value cannot be stored", error),
    }
}

pub(crate) fn not_decoded(error: CodecError) -> Error {
    Error::with_source(
        ErrorKind::Decode,
        "what is stored is no value of this type",
        error,
    )
}

#[cfg(test)]
mod tests;
