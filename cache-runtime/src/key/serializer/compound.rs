//! Values that hold several others.
//!
//! The one rule: **lists are written as they come, maps in the order of their keys**, because two equal maps may give
//! their entries in two orders.

use serde::ser::{self, Serialize};

use super::{Place, WriteResult, descend};
use crate::key::{KeyError, escape};

/// How a list ends. The ends tell tuples and structs without members apart, and a tuple of one from a variant's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum ListEnd {
    Sequence,
    Tuple,
    Struct,
}

/// Elements or fields, in the order in which they come.
#[derive(Debug)]
pub(in crate::key) struct List<'w> {
    pub(super) out: &'w mut String,
    pub(super) depth: u32,
    pub(super) len: usize,
    pub(super) end: ListEnd,
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> WriteResult {
        if self.len > 0 {
            self.out.push(',');
        }
        self.len += 1;
        value.serialize(descend(self.out, Place::Brackets, self.depth)?)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> WriteResult {
        if self.len > 0 {
            self.out.push(',');
        }
        self.len += 1;
        escape::push(name, escape::in_brackets, self.out);
        self.out.push('=');
        value.serialize(descend(self.out, Place::Brackets, self.depth)?)
    }

    fn close(self) -> WriteResult {
        self.out.push_str(match (self.end, self.len) {
            (ListEnd::Sequence, _) => "]",
            (ListEnd::Tuple, 0 | 1) => ",)",
            (ListEnd::Struct, 0) => "=)",
            (ListEnd::Tuple | ListEnd::Struct, _) => ")",
        });
        Ok(())
    }
}

impl ser::SerializeSeq for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> WriteResult {
        self.element(value)
    }
    fn end(self) -> WriteResult {
        self.close()
    }
}

impl ser::SerializeTuple for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> WriteResult {
        self.element(value)
    }
    fn end(self) -> WriteResult {
        self.close()
    }
}

impl ser::SerializeTupleStruct for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> WriteResult {
        self.element(value)
    }
    fn end(self) -> WriteResult {
        self.close()
    }
}

impl ser::SerializeTupleVariant for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> WriteResult {
        self.element(value)
    }
    fn end(self) -> WriteResult {
        self.close()
    }
}

impl ser::SerializeStruct for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> WriteResult {
        self.field(name, value)
    }
    fn end(self) -> WriteResult {
        self.close()
    }
}

impl ser::SerializeStructVariant for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> WriteResult {
        self.field(name, value)
    }
    fn end(self) -> WriteResult {
        self.close()
    }
}

/// The entries of a map, held back until their order is known.
#[derive(Debug)]
pub(in crate::key) struct Entries<'w> {
    pub(super) out: &'w mut String,
    pub(super) depth: u32,
    pub(super) entries: Vec<(String, String)>,
    pub(super) key: Option<String>,
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> WriteResult {
        let mut text = String::new();
        key.serialize(descend(&mut text, Place::Brackets, self.depth)?)?;
        self.key = Some(text);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> WriteResult {
        let key = self
            .key
            .take()
            .ok_or_else(|| ser::Error::custom("a map's value came before its key"))?;
        let mut text = String::new();
        value.serialize(descend(&mut text, Place::Brackets, self.depth)?)?;
        self.entries.push((key, text));
        Ok(())
    }

    fn end(mut self) -> WriteResult {
        // A stable sort, because the order of entries with one key says which of them a decoder keeps.
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        self.out.push('[');
        for (n, (key, value)) in self.entries.iter().enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.out.push_str(key);
            self.out.push('=');
            self.out.push_str(value);
        }
        self.out
            .push_str(if self.entries.is_empty() { "=]" } else { "]" });
        Ok(())
    }
}
