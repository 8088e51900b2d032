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
//! The [`Held`] of a hit stands in the frame that decodes the value, and is gone before the call waits again. A call that goes
//! beyond a hit has one on the heap, and so has a call whose value is large.

use std::{any::Any, sync::Arc, time::Duration};

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

    /// The place of the value, which is an `Option` of its type, for those who know it: [`value_in`].
    fn place(&mut self) -> &mut dyn Any;

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

/// The place of the value in the slot of a call that returns `R`.
pub(super) fn value_in<R: 'static>(slot: &mut dyn Slot) -> &mut Option<R> {
    let place = slot.place().downcast_mut();
    place.expect("invariant: the slot of a call is one for its values")
}

/// Forgets the type of what is held. It is made where a type is known to be `Send`, so that no function on the way says
/// so again: each would add a message to that of a type which is not.
pub(crate) struct AsSlot<R> {
    lent: for<'a, 'b> fn(&'a mut Held<'b, R>) -> &'a mut dyn Slot,
    kept: for<'b> fn(Box<Held<'b, R>>) -> Box<dyn Slot + 'b>,
}

impl<R: Send + 'static> AsSlot<R> {
    pub(crate) const fn new() -> Self {
        Self {
            lent: |held| held,
            kept: |held| held,
        }
    }
}

// A derive would ask for `R: Clone`.
impl<R> Clone for AsSlot<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for AsSlot<R> {}

/// What is said about the values of a slot.
enum RulesOf<'a, R> {
    Lent(&'a AnyRules<R>),
    Kept(Arc<AnyRules<R>>),
}

impl<R> RulesOf<'_, R> {
    fn get(&self) -> &AnyRules<R> {
        match self {
            Self::Lent(rules) => *rules,
            Self::Kept(rules) => &**rules,
        }
    }
}

/// The [`Rules`] of values of type `R`, whatever they are made of.
pub(crate) type AnyRules<R> = dyn Rules<R> + Send + Sync;

/// The one [`Slot`].
pub(crate) struct Held<'a, R> {
    rules: RulesOf<'a, R>,
    /// Default: the attribute's.
    ttl: Option<Duration>,
    as_slot: AsSlot<R>,
    value: Option<R>,
    /// An older one, on the heap, because most calls have none.
    aside: Option<Box<R>>,
}

impl<'a, R> Held<'a, R> {
    pub(crate) fn lent(rules: &'a AnyRules<R>, ttl: Option<Duration>, as_slot: AsSlot<R>) -> Self {
        Self::by(RulesOf::Lent(rules), ttl, as_slot)
    }

    pub(crate) fn kept(rules: Arc<AnyRules<R>>, ttl: Option<Duration>, as_slot: AsSlot<R>) -> Self {
        Self::by(RulesOf::Kept(rules), ttl, as_slot)
    }

    fn by(rules: RulesOf<'a, R>, ttl: Option<Duration>, as_slot: AsSlot<R>) -> Self {
        Self {
            rules,
            ttl,
            as_slot,
            value: None,
            aside: None,
        }
    }

    /// This slot, with its type forgotten.
    pub(crate) fn slot(&mut self) -> &mut dyn Slot {
        (self.as_slot.lent)(self)
    }

    /// Takes the value out, if there is one.
    #[inline]
    pub(crate) fn take_value(&mut self) -> Option<R> {
        self.value.take()
    }

    fn value(&self) -> &R {
        self.value.as_ref().expect(ANSWERED)
    }
}

impl<R: 'static> Held<'_, R> {
    /// The slot, with what is in it, on the heap.
    ///
    /// Never inlined, so that it is on no stack while a call waits.
    #[inline(never)]
    pub(super) fn keep(self) -> Box<dyn Slot> {
        let Self {
            rules,
            ttl,
            as_slot,
            value,
            aside,
        } = self;
        let rules = match rules {
            RulesOf::Lent(rules) => rules.kept(),
            RulesOf::Kept(rules) => rules,
        };
        (as_slot.kept)(Box::new(Held {
            rules: RulesOf::Kept(rules),
            ttl,
            as_slot,
            value,
            aside,
        }))
    }
}

pub(super) const ANSWERED: &str =
    "invariant: a call that says that it was answered put the answer into its slot";

impl<R> Outgoing for Held<'_, R> {
    fn freshness(&self) -> &Freshness {
        self.rules.get().freshness()
    }

    fn lifetime(&self, draw: f64) -> Result<Option<Lifespan>, Error> {
        self.rules.get().lifetime(self.value(), self.ttl, draw)
    }

    fn encode(&self, stamp: Option<&Stamp>, most: usize) -> Result<Bytes, CodecError> {
        self.rules.get().encode(self.value(), stamp, most)
    }

    fn share(&self, json: Option<&Bytes>, most: usize) -> Result<Answer, CodecError> {
        self.rules.get().share(self.value(), json, most)
    }

    fn through_json(&self, most: usize) -> Result<(Answer, Option<&'static str>), CodecError> {
        self.rules.get().through_json(self.value(), most)
    }
}

impl<R: Send + 'static> Slot for Held<'_, R> {
    fn decode(&mut self, stored: &Stored<'_>, decoded: Option<&Decoded>) -> Result<(), Error> {
        clear(&mut self.value);
        let Self { rules, value, .. } = self;
        rules.get().decode(stored, decoded, value)
    }

    fn reads(&self, stored: &Stored<'_>) -> Result<(), Error> {
        self.rules.get().decode(stored, None, &mut empty())
    }

    fn take(&mut self, shared: Option<&SharedValue>) -> bool {
        clear(&mut self.value);
        self.rules.get().take(shared, &mut self.value);
        self.value.is_some()
    }

    fn clear(&mut self) {
        clear(&mut self.value);
    }

    fn place(&mut self) -> &mut dyn Any {
        &mut self.value
    }

    fn share_kept(&self) -> Option<Answer> {
        self.rules.get().share_kept(self.value())
    }

    fn set_aside(&mut self) {
        self.aside = self.value.take().map(Box::new);
    }

    fn fall_back(&mut self) {
        self.value = self.aside.take().map(|value| *value);
    }
}

/// A value that its owner lends to be stored.
pub(crate) struct Lent<'a, R> {
    pub(crate) rules: &'a AnyRules<R>,
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
