//! The canonical form of a value: the grammar of the module above, one serde type at a time.
//!
//! The one rule: **a text can be read back in one way only**, in each [`Place`].

mod compound;

use std::fmt::Write as _;

use serde::ser::{self, Serialize};

use super::{KeyError, KeyFault, escape};
use compound::{Entries, List, ListEnd};

/// How deep values may nest. It bounds the stack, of which a debug build takes some kilobytes a level.
pub(super) const DEEPEST: u32 = 64;

type WriteResult = Result<(), KeyError>;

/// Where a value stands, which decides what a string has to escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// An argument of a default key: the whole text up to the next `:`.
    Argument,
    /// A piece of a template: a scalar stands bare, everything else behind a `%`.
    Template,
    /// Inside brackets.
    Brackets,
}

/// Writes one value.
#[derive(Debug)]
pub(super) struct Writer<'w> {
    out: &'w mut String,
    place: Place,
    depth: u32,
}

impl<'w> Writer<'w> {
    #[inline]
    pub(super) fn new(out: &'w mut String, place: Place) -> Self {
        Self {
            out,
            place,
            depth: 0,
        }
    }

    /// A writer for a value inside this one.
    fn below(&mut self, place: Place) -> Result<Writer<'_>, KeyError> {
        descend(self.out, place, self.depth)
    }

    /// Begins a text that is no scalar.
    fn mark(&mut self) {
        if self.place == Place::Template {
            self.out.push('%');
        }
    }

    #[inline]
    fn integer(self, number: impl itoa::Integer) -> WriteResult {
        self.out.push_str(itoa::Buffer::new().format(number));
        Ok(())
    }

    /// `.Name`, without what the variant holds.
    fn variant(&mut self, name: &str) {
        self.mark();
        self.out.push('.');
        escape::push(name, escape::in_brackets, self.out);
    }

    fn list(self, open: char, end: ListEnd) -> List<'w> {
        self.out.push(open);
        List {
            out: self.out,
            depth: self.depth,
            len: 0,
            end,
        }
    }

    fn entries(self) -> Entries<'w> {
        Entries {
            out: self.out,
            depth: self.depth,
            entries: Vec::new(),
            key: None,
        }
    }
}

/// A writer one level deeper.
///
/// # Errors
///
/// If that is too deep.
fn descend(out: &mut String, place: Place, depth: u32) -> Result<Writer<'_>, KeyError> {
    if depth == DEEPEST {
        return Err(KeyError::of(KeyFault::TooDeep));
    }
    Ok(Writer {
        out,
        place,
        depth: depth + 1,
    })
}

/// Whether an unmarked argument with this text would not read as a string.
fn reads_otherwise(text: &str) -> bool {
    matches!(text, "true" | "false" | "null")
        || text.starts_with(['~', '.', '(', '['])
        || text.starts_with("some(")
        || may_be_a_number(text)
            && text
                .strip_suffix("f32")
                .unwrap_or(text)
                .parse::<f64>()
                .is_ok()
}

/// Whether a number, `inf` or `nan` may begin as this text does. Asked first, because few strings have to be parsed then.
fn may_be_a_number(text: &str) -> bool {
    let first = text.as_bytes().first();
    first.is_some_and(|first| {
        matches!(
            first,
            b'0'..=b'9' | b'+' | b'-' | b'.' | b'i' | b'I' | b'n' | b'N'
        )
    })
}

impl<'w> ser::Serializer for Writer<'w> {
    type Ok = ();
    type Error = KeyError;
    type SerializeSeq = List<'w>;
    type SerializeTuple = List<'w>;
    type SerializeTupleStruct = List<'w>;
    type SerializeTupleVariant = List<'w>;
    type SerializeMap = Entries<'w>;
    type SerializeStruct = List<'w>;
    type SerializeStructVariant = List<'w>;

    fn serialize_bool(self, v: bool) -> WriteResult {
        self.out.push_str(if v { "true" } else { "false" });
        Ok(())
    }
    #[inline]
    fn serialize_i8(self, v: i8) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_i16(self, v: i16) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_i32(self, v: i32) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_i64(self, v: i64) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_i128(self, v: i128) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_u8(self, v: u8) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_u16(self, v: u16) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_u32(self, v: u32) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_u64(self, v: u64) -> WriteResult {
        self.integer(v)
    }
    #[inline]
    fn serialize_u128(self, v: u128) -> WriteResult {
        self.integer(v)
    }

    /// The shortest decimals that are this `f32`, with a suffix where they are another `f64`.
    fn serialize_f32(self, v: f32) -> WriteResult {
        let text = format!("{v:?}");
        self.out.push_str(&text);
        let same = v.is_nan() || text.parse() == Ok(f64::from(v));
        if !same && self.place != Place::Template {
            self.out.push_str("f32");
        }
        Ok(())
    }

    /// A float always has a `.` or an `e`, so that no integer reads the same. Zero has its sign, because `1.0 / x` tells one
    /// from the other; NaN has neither sign nor payload, because arithmetic promises nothing of them.
    fn serialize_f64(self, v: f64) -> WriteResult {
        // Writing to a `String` never fails.
        let _ = write!(self.out, "{v:?}");
        Ok(())
    }

    fn serialize_char(self, v: char) -> WriteResult {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> WriteResult {
        if v.is_empty() {
            self.out.push_str("%_");
            return Ok(());
        }
        if self.place != Place::Template && reads_otherwise(v) {
            self.out.push('~');
        }
        let special = match self.place {
            Place::Argument | Place::Template => escape::always,
            Place::Brackets => escape::in_brackets,
        };
        escape::push(v, special, self.out);
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> WriteResult {
        self.out.push_str("%x");
        for byte in v {
            escape::hex(*byte, b"0123456789abcdef", self.out);
        }
        Ok(())
    }

    fn serialize_none(mut self) -> WriteResult {
        self.mark();
        self.out.push_str("null");
        Ok(())
    }

    /// A `Some` is written as its content, unless that is `None`, or a `Some` that was written as `some(…)`.
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> WriteResult {
        let start = self.out.len();
        let place = self.place;
        value.serialize(self.below(place)?)?;
        let mark = usize::from(place == Place::Template);
        let content = &self.out[start..];
        // The text is no string's, because strings are marked outside of templates and have their `%` escaped inside them.
        let said = content.get(mark..).unwrap_or_default();
        if (mark == 0 || content.starts_with('%')) && (said == "null" || said.starts_with("some("))
        {
            self.out.insert_str(start + mark, "some(");
            self.out.push(')');
        }
        Ok(())
    }

    fn serialize_unit(mut self) -> WriteResult {
        self.mark();
        self.out.push_str("()");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> WriteResult {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> WriteResult {
        if self.place == Place::Template {
            return self.serialize_str(variant);
        }
        self.variant(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        _name: &'static str,
        value: &T,
    ) -> WriteResult {
        let place = self.place;
        value.serialize(self.below(place)?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> WriteResult {
        self.variant(variant);
        self.out.push('(');
        value.serialize(self.below(Place::Brackets)?)?;
        self.out.push(')');
        Ok(())
    }

    fn serialize_seq(mut self, _len: Option<usize>) -> Result<List<'w>, KeyError> {
        self.mark();
        Ok(self.list('[', ListEnd::Sequence))
    }

    fn serialize_tuple(mut self, _len: usize) -> Result<List<'w>, KeyError> {
        self.mark();
        Ok(self.list('(', ListEnd::Tuple))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<List<'w>, KeyError> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List<'w>, KeyError> {
        self.variant(variant);
        Ok(self.list('(', ListEnd::Tuple))
    }

    fn serialize_map(mut self, _len: Option<usize>) -> Result<Entries<'w>, KeyError> {
        self.mark();
        Ok(self.entries())
    }

    fn serialize_struct(mut self, _name: &'static str, _len: usize) -> Result<List<'w>, KeyError> {
        self.mark();
        Ok(self.list('(', ListEnd::Struct))
    }

    fn serialize_struct_variant(
        mut self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List<'w>, KeyError> {
        self.variant(variant);
        Ok(self.list('(', ListEnd::Struct))
    }
}
