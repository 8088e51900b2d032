//! What comes of reading a value.
//!
//! The one rule: **callers who get the same bytes decode them once**: the first one leaves what it made of them for the
//! others.

use std::sync::Arc;

use bytes::Bytes;

use crate::{error::Error, value::answer::Decoded};

/// The bytes under a key, if there are any.
pub(crate) type FetchResult = Result<Option<Fetched>, Error>;

/// The bytes of a value.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    /// What the first caller that decoded these bytes made of them; `None` where no other caller gets them.
    pub(crate) decoded: Option<Arc<Decoded>>,
}

impl Fetched {
    /// Bytes that no other caller gets.
    pub(crate) fn alone(bytes: Bytes) -> Self {
        Self {
            bytes,
            decoded: None,
        }
    }

    /// Bytes that several callers get.
    pub(super) fn shared(bytes: Bytes) -> Self {
        Self {
            bytes,
            decoded: Some(Arc::default()),
        }
    }
}
