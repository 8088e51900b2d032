//! Why a value cannot be stored, or stored bytes cannot be read.
//!
//! The one rule: **an error says what the user can do about it at once**, and otherwise tells its cause as its source.

use crate::error::{Error, ErrorKind};

/// Why a value has no bytes, or bytes are no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// serde, or the type's own code, refused.
    #[error("the value's `Serialize` or `Deserialize` failed")]
    Json(#[source] serde_json::Error),
    /// The type's own code panicked.
    #[error("the value's `Serialize` or `Deserialize` panicked")]
    Panicked,
    /// The bytes are of no form that this release knows.
    #[error("not written by this release, nor JSON")]
    Unreadable,
    /// The value's JSON reads back as another value, or as none.
    #[error(
        "the value's JSON says `null` for a NaN, an infinity or a `Some` of nothing, and would read back as something else, so it is not stored; give it a `#[serde(with = \"…\")]` that JSON can say"
    )]
    Lost,
    /// The value's JSON has more bytes than are stored.
    #[error(
        "the value has more than {most} bytes of JSON, so it is not stored; raise `max_value` (`REDIS_MAX_VALUE`), or store less"
    )]
    TooLarge {
        /// How many bytes are stored at most.
        most: usize,
    },
    /// The JSON that was just written is no value of its type.
    #[error("the value's JSON is not read back as one")]
    Unread(#[source] Error),
}

/// The error of a value that is not stored.
pub(crate) fn not_encoded(error: CodecError) -> Error {
    match error {
        // Their text is the error's own, because it says what to do.
        CodecError::Lost | CodecError::TooLarge { .. } => {
            Error::new(ErrorKind::Encode, error.to_string())
        }
        error => Error::with_source(ErrorKind::Encode, "the value cannot be stored", error),
    }
}

/// The error of stored bytes that are no value of the type that is asked for.
pub(crate) fn not_decoded(error: CodecError) -> Error {
    Error::with_source(
        ErrorKind::Decode,
        "what is stored is no value of this type",
        error,
    )
}
