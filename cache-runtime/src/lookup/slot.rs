//! The value of a call, in the hands of code that does not know its type.
//!
//! The one rule: **control flow knows no user types**: what comes before a body and what comes after it sees a value
//! only as a [`Slot`], so that it is compiled once, and not once for each function.
//!
//! | trait | is | implemented by |
//! |---|---|---|
//! | [`Outgoing`] | a value that is there: how long it lives, its bytes, what others can have of it | [`Held`], [`Lent`] |
//! | [`Slot`] | a place for a value: it is decoded or taken into it, set aside, fallen back on | [`Held`] |
//!
//! The [`Values`] of a [`Held`] belong to the future of the call, so that a value is written where its caller takes it from:
//! no box, no `dyn Any`, and no copy in the frames between.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    error::Error,
    value::{
        answer::{Answer, Decoded, SharedValue},
        error::CodecError,
        freshness::{Freshness, Lifespan},
        header::{Stamp, Stored},
        place::{clear, empty},
        policy::Rules,
    },
};

/// A value on its way to others. All but `freshness` panics where there is none.
pub(crate) trait Outgoing {
    /// For how long, and how, an entry may be answered.
    fn freshness(&self) -> &Freshness;

    /// How long it is kept; as [`Rules::lifetime`], or as [`Rules::lifetime_of_put`] for a value that is put.
    fn lifetime(&self, draw: f64) -> Result<Option<Lifespan>, Error>;

    /// As [`Rules::encode`].
    fn encode(&self, stamp: Option<&Stamp>, most: usize) -> Result<Bytes, CodecError>;

    /// As [`Rules::share`].
    fn share(&self, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError>;

    /// As [`Rules::through_json`].
    fn through_json(&self, most: usize) -> Result<(Answer, Option<&'static str>), CodecError>;
}

/// The place for the value of a call, and for an older one that serves where the body fails.
pub(crate) trait Slot: Outgoing + Send {
    /// Puts what stored bytes stand for into it, in the place of what was there; as [`Rules::decode`].
    fn decode(&mut self, stored: &Stored<'_>, decoded: Option<&Decoded>) -> Result<(), Error>;

    /// Whether stored bytes can be read as a value of this type, which is dropped.
    fn reads(&self, stored: &Stored<'_>) -> Result<(), Error>;

    /// Puts a shared value (`None`: a body's `None`) into it; `false` if that is of another type, and the slot is empty
    /// then.
    fn take(&mut self, shared: Option<&SharedValue>) -> bool;

    /// Drops the value.
    fn clear(&mut self);

    /// As [`Rules::share_kept`].
    fn share_kept(&self) -> Option<Answer>;

    /// Keeps the value as the older one.
    fn set_aside(&mut self);

    /// Makes the older one the value.
    fn fall_back(&mut self);
}

/// Puts what another call's body returned into the slot; `false` if it failed, or is another type's.
pub(super) fn take(slot: &mut dyn Slot, answer: &Answer) -> bool {
    match answer {
        Answer::Value(value) => slot.take(Some(value)),
        Answer::Nothing => slot.take(None),
        Answer::Failed(_) => false,
    }
}

/// Forgets the type of what is held. It is made where a type is known to be `Send`, so that no function on the way says
/// so again: each would add a message to that of a type which is not.
pub(crate) type AsSlot<R> = for<'a, 'b> fn(&'a mut Held<'b, R>) -> &'a mut dyn Slot;

/// Where the value of a call stands, and an older one.
pub(crate) struct Values<R> {
    value: Option<R>,
    /// On the heap, because most calls have none, and each has the room for it otherwise.
    aside: Option<Box<R>>,
}

impl<R> Values<R> {
    pub(crate) const fn empty() -> Self {
        Self {
            value: None,
            aside: None,
        }
    }

    /// Puts what a body returned into it.
    #[inline]
    pub(super) fn put(&mut self, value: R) {
        self.value = Some(value);
    }

    /// Takes the value out, if there is one.
    #[inline]
    pub(crate) fn take_value(&mut self) -> Option<R> {
        self.value.take()
    }

    /// Takes the answer out.
    #[inline]
    pub(super) fn take_answer(&mut self) -> R {
        self.take_value().expect(ANSWERED)
    }

    /// Where the value stands.
    pub(super) fn value(&mut self) -> &mut Option<R> {
        &mut self.value
    }

    /// Takes all of it out, so that it can stand elsewhere.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::empty())
    }
}

/// The one [`Slot`].
pub(crate) struct Held<'a, R> {
    rules: &'a (dyn Rules<R> + Send + Sync),
    /// Default: the attribute's.
    ttl: Option<Duration>,
    as_slot: AsSlot<R>,
    place: &'a mut Values<R>,
}

impl<'a, R> Held<'a, R> {
    pub(crate) fn new(
        rules: &'a (dyn Rules<R> + Send + Sync),
        ttl: Option<Duration>,
        as_slot: AsSlot<R>,
        place: &'a mut Values<R>,
    ) -> Self {
        Self {
            rules,
            ttl,
            as_slot,
            place,
        }
    }

    /// This slot, with its type forgotten.
    pub(crate) fn slot(&mut self) -> &mut dyn Slot {
        (self.as_slot)(self)
    }

    fn value(&self) -> &R {
        self.place.value.as_ref().expect(ANSWERED)
    }
}

pub(super) const ANSWERED: &str =
    "invariant: a call that says that it was answered put the answer into its slot";

impl<R> Outgoing for Held<'_, R> {
    fn freshness(&self) -> &Freshness {
        self.rules.freshness()
    }

    fn lifetime(&self, draw: f64) -> Result<Option<Lifespan>, Error> {
        self.rules.lifetime(self.value(), self.ttl, draw)
    }

    fn encode(&self, stamp: Option<&Stamp>, most: usize) -> Result<Bytes, CodecError> {
        self.rules.encode(self.value(), stamp, most)
    }

    fn share(&self, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError> {
        self.rules.share(self.value(), json, most)
    }

    fn through_json(&self, most: usize) -> Result<(Answer, Option<&'static str>), CodecError> {
        self.rules.through_json(self.value(), most)
    }
}

impl<R: Send> Slot for Held<'_, R> {
    fn decode(&mut self, stored: &Stored<'_>, decoded: Option<&Decoded>) -> Result<(), Error> {
        clear(&mut self.place.value);
        self.rules.decode(stored, decoded, &mut self.place.value)
    }

    fn reads(&self, stored: &Stored<'_>) -> Result<(), Error> {
        self.rules.decode(stored, None, &mut empty())
    }

    fn take(&mut self, shared: Option<&SharedValue>) -> bool {
        clear(&mut self.place.value);
        self.rules.take(shared, &mut self.place.value);
        self.place.value.is_some()
    }

    fn clear(&mut self) {
        clear(&mut self.place.value);
    }

    fn share_kept(&self) -> Option<Answer> {
        self.rules.share_kept(self.value())
    }

    fn set_aside(&mut self) {
        self.place.aside = self.place.value.take().map(Box::new);
    }

    fn fall_back(&mut self) {
        self.place.value = self.place.aside.take().map(|value| *value);
    }
}

/// A value that its owner lends to be stored.
pub(crate) struct Lent<'a, R> {
    pub(crate) rules: &'a (dyn Rules<R> + Send + Sync),
    /// Default: the attribute's.
    pub(crate) ttl: Option<Duration>,
    pub(crate) value: &'a R,
}

impl<R> Outgoing for Lent<'_, R> {
    fn freshness(&self) -> &Freshness {
        self.rules.freshness()
    }

    fn lifetime(&self, draw: f64) -> Result<Option<Lifespan>, Error> {
        self.rules.lifetime_of_put(self.value, self.ttl, draw)
    }

    fn encode(&self, stamp: Option<&Stamp>, most: usize) -> Result<Bytes, CodecError> {
        self.rules.encode(self.value, stamp, most)
    }

    fn share(&self, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError> {
        self.rules.share(self.value, json, most)
    }

    fn through_json(&self, most: usize) -> Result<(Answer, Option<&'static str>), CodecError> {
        self.rules.through_json(self.value, most)
    }
}
