//! The place that a value's JSON is written to.
//!
//! The one rule: **a sink takes no byte more than it may**, so that a value which is too large is not encoded to its end.

use std::{
    cell::Cell,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::value::error::CodecError;

/// Bytes that end in a value's JSON.
pub(super) struct Sink {
    bytes: Vec<u8>,
    /// Where the JSON begins.
    start: usize,
    /// How many bytes the JSON may have.
    most: usize,
    /// Whether the JSON would have had more bytes.
    is_full: bool,
}

impl Sink {
    /// A sink that appends `most` bytes to `bytes` at most.
    pub(super) fn after(bytes: Vec<u8>, most: usize) -> Self {
        Self {
            start: bytes.len(),
            bytes,
            most,
            is_full: false,
        }
    }

    /// Writes the JSON of `value`, as compactly as `serde_json` does, and says whether there is a `null` in it.
    pub(super) fn write_json(&mut self, value: &impl Serialize) -> Result<bool, CodecError> {
        let has_null = Cell::new(false);
        let format = NotingNull(&has_null);
        let mut serializer = serde_json::Serializer::with_formatter(&mut *self, format);
        let written = value.serialize(&mut serializer);
        // Looked at first, because a `Serialize` may have swallowed the error.
        if self.is_full {
            return Err(CodecError::TooLarge { most: self.most });
        }
        written.map_err(CodecError::Json)?;
        Ok(has_null.get())
    }

    pub(super) fn json(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    #[inline]
    fn has_room_for(&mut self, more: usize) -> bool {
        let left = self.most - (self.bytes.len() - self.start);
        self.is_full |= more > left;
        !self.is_full
    }
}

impl Write for Sink {
    #[inline]
    fn write_all(&mut self, json: &[u8]) -> io::Result<()> {
        if !self.has_room_for(json.len()) {
            // Nobody reads this error, because `is_full` says why.
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.bytes.extend_from_slice(json);
        Ok(())
    }

    #[inline]
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        self.write_all(json).map(|()| json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The compact form, as a [`Formatter`] has it by default, with a note of each `null`.
struct NotingNull<'a>(&'a Cell<bool>);

impl Formatter for NotingNull<'_> {
    fn write_null<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.set(true);
        writer.write_all(b"null")
    }
}
