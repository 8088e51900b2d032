//! A value on its way into a store.
//!
//! The one rule: **a value is prepared by the store that takes it**, before anything is changed: a value that cannot be
//! kept changes nothing.

use bytes::Bytes;

use super::{memory::Incoming, redis::lease::Written};
use crate::value::{answer::Answer, header::payload_of};

/// A value in the form in which the store keeps it.
#[derive(Debug)]
pub(crate) struct Prepared(Form);

#[derive(Debug)]
enum Form {
    Shared {
        /// What others can have of the value.
        shared: Answer,
        incoming: Incoming,
    },
    Written(Written),
}

const PREPARED: &str = "invariant: a value is prepared by the store that takes it";

impl Prepared {
    pub(super) fn kept_shared(shared: Answer, incoming: Incoming) -> Self {
        Self(Form::Shared { shared, incoming })
    }

    pub(super) fn kept_written(written: Written) -> Self {
        Self(Form::Written(written))
    }

    /// What others can have of the value, where preparing it has shown that already.
    pub(crate) fn shared(&self) -> Option<&Answer> {
        match &self.0 {
            Form::Shared { shared, .. } => Some(shared),
            Form::Written(_) => None,
        }
    }

    /// The bytes that are going to be stored, where the store keeps bytes.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Form::Shared { .. } => None,
            Form::Written(written) => Some(&written.bytes),
        }
    }

    /// The value's JSON, where the store keeps bytes.
    pub(crate) fn json(&self) -> Option<Bytes> {
        self.bytes().map(payload_of)
    }

    pub(super) fn incoming(&self) -> &Incoming {
        match &self.0 {
            Form::Shared { incoming, .. } => Some(incoming),
            Form::Written(_) => None,
        }
        .expect(PREPARED)
    }

    pub(super) fn written(&self) -> &Written {
        match &self.0 {
            Form::Shared { .. } => None,
            Form::Written(written) => Some(written),
        }
        .expect(PREPARED)
    }
}
