//! How a function's return value is made of a stored one.
//!
//! The one rule: **what is known of a type is one constant**, so that a call has a pointer to it.

use std::fmt;

use crate::{
    error::Error,
    value::{
        answer::{Decoded, SharedValue},
        codec::Codec,
        error::{CodecError, not_decoded},
        header::Stored,
        place::clear,
        share::ValueShare,
    },
};

/// How values of type `V` are written and shared.
pub struct Kind<V> {
    pub(super) codec: Codec<V>,
    share: ValueShare<V>,
}

impl<V> Kind<V> {
    /// Values that are written and shared like this.
    pub const fn new(codec: Codec<V>, share: ValueShare<V>) -> Self {
        Self { codec, share }
    }

    /// What is kept of a value for others; `None` if its type cannot be shared.
    pub(super) fn keep(&self, value: &V) -> Option<SharedValue> {
        SharedValue::kept(value, &self.share, &self.codec)
    }
}

impl<V> fmt::Debug for Kind<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codec, share } = self;
        f.debug_struct("Kind")
            .field("codec", codec)
            .field("share", share)
            .finish()
    }
}

/// How an `R` is made of values of type `V`, which are written and shared.
pub(crate) struct Values<V: 'static, R: 'static> {
    pub(super) kind: &'static Kind<V>,
    shape: &'static Shape<V, R>,
}

impl<V, R> Clone for Values<V, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, R> Copy for Values<V, R> {}

/// How `R` is made of a `V`.
struct Shape<V, R> {
    value: fn(&R) -> Option<&V>,
    /// Makes an empty place for an `R` an empty place for its `V`, so that no value is moved from one into the other.
    place: fn(&mut Option<R>) -> &mut Option<V>,
}

impl<V> Values<V, V> {
    pub(crate) const fn of(kind: &'static Kind<V>) -> Self {
        let shape = const {
            &Shape::<V, V> {
                value: |value| Some(value),
                place: |place| place,
            }
        };
        Self { kind, shape }
    }

    /// The same for a function that returns `Option<V>`.
    pub(crate) const fn optional(self) -> Values<V, Option<V>> {
        let Self { kind, shape: _ } = self;
        let shape = const {
            &Shape::<V, Option<V>> {
                value: Option::as_ref,
                place: |place| place.insert(None),
            }
        };
        Values { kind, shape }
    }
}

impl<V, R> Values<V, R> {
    pub(super) fn value_of<'a>(&self, returned: &'a R) -> Option<&'a V> {
        (self.shape.value)(returned)
    }

    /// As [`Codec::equal`]; `None` also where one of the two has no value.
    pub(super) fn equal(&self, returned: &R, back: &R) -> Option<bool> {
        let (value, back) = (self.value_of(returned)?, self.value_of(back)?);
        self.kind.codec.equal(value, back)
    }

    /// As [`Rules::take`](super::Rules::take).
    #[inline(always)]
    pub(crate) fn take(&self, shared: Option<&SharedValue>, place: &mut Option<R>) {
        let Self { kind, shape } = self;
        let of_value = (shape.place)(place);
        match shared {
            Some(value) => {
                value.put(&kind.share, &kind.codec, of_value);
                if of_value.is_none() {
                    clear(place);
                }
            }
            None if place.is_none() => drop(self.decode_nothing(place)),
            None => {}
        }
    }

    /// As [`Rules::decode`](super::Rules::decode).
    pub(super) fn decode(
        &self,
        stored: &Stored<'_>,
        decoded: Option<&Decoded>,
        place: &mut Option<R>,
    ) -> Result<(), Error> {
        let of_value = (self.shape.place)(place);
        let done = match decoded {
            Some(decoded) => self.decode_once(stored, decoded, of_value),
            None => self.kind.codec.decode_optional_into(stored, of_value),
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

    /// Puts a clone of the value that another reader decoded into an empty place. The first reader decodes it, and keeps a
    /// clone for the others.
    fn decode_once(
        &self,
        stored: &Stored<'_>,
        decoded: &Decoded,
        place: &mut Option<V>,
    ) -> Result<(), CodecError> {
        if let Some(kept) = decoded.get() {
            self.kind.share.put(&**kept, place);
            if place.is_some() {
                return Ok(());
            }
        }
        self.kind.codec.decode_optional_into(stored, place)?;
        if let Some(value) = place
            && let Some(kept) = self.kind.share.keep(value)
        {
            // Another reader may have been first, and its value is as good.
            drop(decoded.set(kept));
        }
        Ok(())
    }

    /// Decodes a body's `None` as a `V` that is an `Option` itself, as it may be for an entry of `Cache::entry`.
    fn decode_nothing(&self, place: &mut Option<R>) -> Result<(), Error> {
        let of_value = (self.shape.place)(place);
        let done = self.kind.codec.decode_into(b"null", of_value);
        done.map_err(not_decoded)
    }
}
