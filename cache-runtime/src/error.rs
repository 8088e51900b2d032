//! The one error type.
//!
//! The one rule: **`Display` says what went wrong in one lower-case line, `source()` says why where there is
//! a deeper cause, and neither repeats the other.** No error holds a password or a connection string.

mod reason;
pub(crate) mod shared;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, error::Error as StdError, fmt, io, sync::Arc};

type BoxedSource = Box<dyn StdError + Send + Sync>;

/// What went wrong, in the words of the operation that failed.
///
/// An annotated function never returns it: the cache's errors are counted, and the body runs.
/// It comes from [`get_cache`](crate::get_cache), from the operations of
/// [`Cache`](crate::Cache) and [`Entry`](crate::Entry), and from the builder.
/// Cloning is cheap.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<BoxedSource>,
}

/// The kinds of [`Error`], which are also the labels that errors are counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing, cannot be read or contradicts another.
    Config,
    /// No connection could be made: the host is unknown or unreachable, or TLS failed.
    Connect,
    /// The connection broke while an answer was awaited, so what became of the command is unknown.
    Disconnected,
    /// Redis refused the user, the password, or a command that the user has no right to.
    Auth,
    /// Redis did not answer within the timeout.
    Timeout,
    /// Redis was not asked, because it has not been answering; or it is busy with itself (`LOADING`).
    Unavailable,
    /// Redis answered with an error, or with something that does not answer the command.
    Server,
    /// The value could not be encoded.
    Encode,
    /// The stored bytes are not a value of this type.
    Decode,
    /// The arguments could not be written as a key.
    Key,
    /// The call was made outside a tokio runtime.
    NoRuntime,
    /// No Entra ID token could be had.
    Identity,
}

impl ErrorKind {
    /// Every kind, each at its [`index`](Self::index).
    pub(crate) const ALL: [Self; 12] = [
        Self::Config,
        Self::Connect,
        Self::Disconnected,
        Self::Auth,
        Self::Timeout,
        Self::Unavailable,
        Self::Server,
        Self::Encode,
        Self::Decode,
        Self::Key,
        Self::NoRuntime,
        Self::Identity,
    ];

    /// The place of this kind in [`ALL`](Self::ALL), for an array of counters.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The kind as a label: one lower-case word or two.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Connect => "connect",
            Self::Disconnected => "disconnected",
            Self::Auth => "auth",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Server => "server",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Key => "key",
            Self::NoRuntime => "no runtime",
            Self::Identity => "identity",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether Redis did not answer in time, so that what became of the command is unknown.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether Redis could not be reached: no connection, a connection that broke, or one that is
    /// not tried at present. A timeout is not meant; see [`is_timeout`](Self::is_timeout).
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Connect | ErrorKind::Disconnected | ErrorKind::Unavailable
        )
    }

    /// Whether Redis refused the user, the password, or the user's right to a command.
    pub fn is_auth(&self) -> bool {
        self.kind() == ErrorKind::Auth
    }

    /// Whether a setting is at fault, so that trying again is of no use.
    pub fn is_config(&self) -> bool {
        self.kind() == ErrorKind::Config
    }

    /// The texts of the sources, the nearest first, for a log line.
    pub(crate) fn cause(&self) -> Option<String> {
        let mut said = Vec::new();
        let mut kind = self.kind();
        let mut next = self.source();
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<Self>() {
                kind = error.kind();
            }
            said.push(match error.downcast_ref::<serde_json::Error>() {
                // The text of an error about stored bytes is cut, because it quotes them. One about a value that was not
                // stored is the type's own text.
                Some(error) if kind != ErrorKind::Encode => reason::reason(error),
                _ => error.to_string(),
            });
            next = error.source();
        }
        (!said.is_empty()).then(|| said.join(": "))
    }

    /// The text of the error and of its sources, for a log line that has a cause.
    pub(crate) fn told(&self) -> String {
        match self.cause() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    /// What to do, if Redis refuses to store anything until somebody does it.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        const RIGHTS: &str = "give the user its rights with `ACL SETUSER USER ~PREFIX:* +get +set +del +pexpire +pttl +evalsha +eval +ping +time`";
        const ROOM: &str = "raise `maxmemory`, or let old values go with `CONFIG SET maxmemory-policy allkeys-lru`";
        if !matches!(self.kind(), ErrorKind::Auth | ErrorKind::Server) {
            return None;
        }
        let text = &*self.0.message;
        if tells_of_a_right(text) {
            return Some(RIGHTS);
        }
        if text == NO_ROOM {
            return Some(ROOM);
        }
        match self.code()? {
            "NOPERM" => Some(RIGHTS),
            "OOM" => Some(ROOM),
            "READONLY" => {
                Some("name the primary in `REDIS_URL` or `REDIS_HOST`; this is a replica")
            }
            "MISCONF" => Some(
                "mend what keeps redis from saving, or type `CONFIG SET stop-writes-on-bgsave-error no`",
            ),
            "NOREPLICAS" => {
                Some("bring the replicas back, or type `CONFIG SET min-replicas-to-write 0`")
            }
            "ERR" if text.contains("unknown command") => {
                Some("use a server that knows `EVALSHA` and `EVAL`, under these names")
            }
            _ => None,
        }
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            source: None,
        }))
    }

    /// An error whose cause `source` tells; `message` must not repeat it.
    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        source: impl Into<BoxedSource>,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            source: Some(source.into()),
        }))
    }

    /// A setting that is missing, unreadable or contradictory. `message` must hold no secret.
    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The error of a value that Redis did not take, though the right to store it stood.
    pub(crate) fn no_room() -> Self {
        Self::new(ErrorKind::Server, NO_ROOM)
    }

    /// The error of a Redis that has no room.
    #[cfg(feature = "testing")]
    pub(crate) fn out_of_memory() -> Self {
        let text = "OOM command not allowed when used memory > 'maxmemory'.";
        Self::new(ErrorKind::Server, format!("{ANSWERED}{text}"))
    }

    /// The error that redis-rs reported for a command on a connection that was set up already.
    ///
    /// Only its text is kept, so that its type stays out of the public interface.
    pub(crate) fn from_redis(error: &redis::RedisError) -> Self {
        let kind = match kind_of(error) {
            // A reply that ends in the middle is a broken connection, whatever the parser calls it.
            ErrorKind::Server if error.is_unrecoverable_error() => ErrorKind::Disconnected,
            kind => kind,
        };
        let text = redis_text(error);
        match kind {
            ErrorKind::Disconnected => {
                Self::new(kind, format!("the connection to redis broke: {text}"))
            }
            _ => Self::new(kind, format!("{ANSWERED}{text}")),
        }
    }

    /// The first word of what the server answered, if it answered with an error.
    pub(crate) fn code(&self) -> Option<&str> {
        self.0.message.strip_prefix(ANSWERED)?.split(' ').next()
    }

    /// The error of a socket that could not be opened, or that broke.
    pub(crate) fn from_io(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        error: io::Error,
    ) -> Self {
        Self::with_source(kind, message, error)
    }
}

/// The message where a script could not write the value.
const NO_ROOM: &str = "redis did not take the value";

/// The text before the server's own.
const ANSWERED: &str = "redis answered with an error: ";

/// The kind of an error that redis-rs reported.
pub(crate) fn kind_of(error: &redis::RedisError) -> ErrorKind {
    use redis::{ErrorKind as Redis, ServerErrorKind};
    match error.kind() {
        Redis::AuthenticationFailed | Redis::Server(ServerErrorKind::NoPerm) => ErrorKind::Auth,
        Redis::Io => ErrorKind::Disconnected,
        Redis::RESP3NotSupported => ErrorKind::Connect,
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => ErrorKind::Auth,
            Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN") => ErrorKind::Unavailable,
            _ if error.detail().is_some_and(tells_of_a_right) => ErrorKind::Auth,
            _ => ErrorKind::Server,
        },
    }
}

/// Whether the text of an error without the code `NOPERM` says that the user lacks a right. Redis gives no such code for a
/// command within a script, which versions of it word differently, and redis-rs takes it from the `SELECT` of a login.
fn tells_of_a_right(text: &str) -> bool {
    [
        "ACL failure in script",
        "The user executing the script can't",
        "has no permissions to run the",
    ]
    .iter()
    .any(|refused| text.contains(refused))
}

/// The server's text (`CODE text`), else that of redis-rs. The arguments that a server quotes of a command which it does not
/// know are cut off, because a key or a password may be among them.
pub(crate) fn redis_text(error: &redis::RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => {
            let detail = detail.split(", with args").next().unwrap_or_default();
            format!("{code} {detail}")
        }
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            message,
            source,
        } = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", kind).field("message", message);
        if let Some(source) = source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
