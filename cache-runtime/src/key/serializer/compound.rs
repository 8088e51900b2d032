//! What holds several values: lists as they come, maps in the order of their keys.

use serde::ser::{self, Serialize};

use super::{Place, Written, descend};
use crate::key::{KeyError, escape};

/// How a list ends, which tells tuples and structs without members apart, and a tuple of one from a variant's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
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
    pub(super) end: End,
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        if self.len > 0 {
            self.out.push(',');
        }
        self.len += 1;
        value.serialize(descend(self.out, Place::Brackets, self.depth)?)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Written {
        if self.len > 0 {
            self.out.push(',');
        }
        self.len += 1;
        escape::push(name, escape::in_brackets, self.out);
        self.out.push('=');
        value.serialize(descend(self.out, Place::Brackets, self.depth)?)
    }

    fn close(self) -> Written {
        self.out.push_str(match (self.end, self.len) {
            (End::Sequence, _) => "]",
            (End::Tuple, 0 | 1) => ",)",
            (End::Struct, 0) => "=)",
            (End::Tuple | End::Struct, _) => ")",
        });
        Ok(())
    }
}

impl ser::SerializeSeq for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.element(value)
    }
    fn end(self) -> Written {
        self.close()
    }
}

impl ser::SerializeTuple for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.element(value)
    }
    fn end(self) -> Written {
        self.close()
    }
}

impl ser::SerializeTupleStruct for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.element(value)
    }
    fn end(self) -> Written {
        self.close()
    }
}

impl ser::SerializeTupleVariant for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.element(value)
    }
    fn end(self) -> Written {
        self.close()
    }
}

impl ser::SerializeStruct for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Written {
        self.field(name, value)
    }
    fn end(self) -> Written {
        self.close()
    }
}

impl ser::SerializeStructVariant for List<'_> {
    type Ok = ();
    type Error = KeyError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Written {
        self.field(name, value)
    }
    fn end(self) -> Written {
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

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        let mut text = String::new();
        key.serialize(descend(&mut text, Place::Brackets, self.depth)?)?;
        self.key = Some(text);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let key = self
            .key
            .take()
            .ok_or_else(|| ser::Error::custom("a map's value came before its key"))?;
        let mut text = String::new();
        value.serialize(descend(&mut text, Place::Brackets, self.depth)?)?;
        self.entries.push((key, text));
        Ok(())
    }

    fn end(mut self) -> Written {
        // Stable: among entries of one key the order says which a decoder would keep.
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
