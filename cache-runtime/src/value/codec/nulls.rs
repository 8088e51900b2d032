//! What the `null`s in a value's JSON stand for.
//!
//! The one rule: **a value is as good as its JSON only if each `null` reads back as what it stands for.** JSON has one
//! `null`, and `serde_json` writes it for all of these:
//!
//! | in the value | reads back as |
//! |---|---|
//! | `None`, `()`, a unit struct | the same |
//! | NaN, an infinity | an error, in an `Option` `None`; unless the type has a `Deserialize` of its own |
//! | `Some` of what is written as `null` | `None`, with the same exception |
//!
//! The last two are counted and not located, because a map has another order when it comes back.

use serde::{
    Serialize,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant, Serializer,
    },
};

/// How many `null`s stand for something that JSON cannot say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Nulls {
    nan: u64,
    infinity: u64,
    minus_infinity: u64,
    /// Each `Some` round another one counts.
    some: u64,
}

impl Nulls {
    /// Counts the `null`s of a value.
    ///
    /// # Errors
    ///
    /// If the value's `Serialize` fails.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let mut nulls = Self::default();
        value.serialize(&mut nulls)?;
        Ok(nulls)
    }

    /// Whether there are any, so that the value may not be what its JSON says.
    pub(super) fn are_ambiguous(&self) -> bool {
        *self != Self::default()
    }

    /// Counts a float, and says whether it is written as `null`.
    fn float(&mut self, value: f64) -> bool {
        let count = if value.is_nan() {
            &mut self.nan
        } else if value == f64::INFINITY {
            &mut self.infinity
        } else if value == f64::NEG_INFINITY {
            &mut self.minus_infinity
        } else {
            return false;
        };
        *count += 1;
        true
    }
}

/// Whether a value is written as a `null` and nothing else.
type IsNull = bool;

macro_rules! no_null {
    ($($method:ident($type:ty))*) => {$(
        fn $method(self, _: $type) -> Result<IsNull, Self::Error> {
            Ok(false)
        }
    )*};
}

impl<'a> Serializer for &'a mut Nulls {
    type Ok = IsNull;
    type Error = serde_json::Error;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Elements<'a>;
    type SerializeStructVariant = Elements<'a>;

    no_null! {
        serialize_bool(bool)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
    }

    fn serialize_f32(self, value: f32) -> Result<IsNull, Self::Error> {
        Ok(self.float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<IsNull, Self::Error> {
        Ok(self.float(value))
    }

    fn collect_str<T: ?Sized>(self, _: &T) -> Result<IsNull, Self::Error> {
        Ok(false)
    }

    fn serialize_none(self) -> Result<IsNull, Self::Error> {
        Ok(true)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<IsNull, Self::Error> {
        let is_null = value.serialize(&mut *self)?;
        self.some += u64::from(is_null);
        Ok(is_null)
    }

    fn serialize_unit(self) -> Result<IsNull, Self::Error> {
        Ok(true)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<IsNull, Self::Error> {
        Ok(true)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<IsNull, Self::Error> {
        Ok(false)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<IsNull, Self::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<IsNull, Self::Error> {
        // In an object, whose key is the variant.
        value.serialize(self).map(|_| false)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, Self::Error> {
        Ok(Elements(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Elements<'a>, Self::Error> {
        Ok(Elements(self))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Elements<'a>, Self::Error> {
        Ok(Elements(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Elements<'a>, Self::Error> {
        Ok(Elements(self))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'a>, Self::Error> {
        Ok(Elements(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Elements<'a>, Self::Error> {
        Ok(Elements(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Elements<'a>, Self::Error> {
        Ok(Elements(self))
    }
}

/// The parts of a value that has several.
pub(super) struct Elements<'a>(&'a mut Nulls);

impl Elements<'_> {
    fn element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        value.serialize(&mut *self.0).map(drop)
    }
}

macro_rules! elements {
    ($($trait:ident: $method:ident($($name:ty)?);)*) => {$(
        impl $trait for Elements<'_> {
            type Ok = IsNull;
            type Error = serde_json::Error;

            fn $method<T: ?Sized + Serialize>(
                &mut self,
                $(_: $name,)?
                value: &T,
            ) -> Result<(), Self::Error> {
                self.element(value)
            }

            fn end(self) -> Result<IsNull, Self::Error> {
                Ok(false)
            }
        }
    )*};
}

elements! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}

impl SerializeMap for Elements<'_> {
    type Ok = IsNull;
    type Error = serde_json::Error;

    /// A key is a string in JSON, or an error, and so never a `null`.
    fn serialize_key<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Self::Error> {
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Self::Error> {
        self.element(value)
    }

    fn end(self) -> Result<IsNull, Self::Error> {
        Ok(false)
    }
}
