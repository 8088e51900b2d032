//! What can happen to the calls of a function.
//!
//! The one rule: **an event says what happened, and not what is to be done about it**: each reader knows that for
//! itself. It borrows its facts and is read at once, so that an event in which nobody is interested costs nothing.

use std::time::Duration;

use crate::error::Error;

/// Something that happened, with its facts. No fact is a key, or a part of one.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A call was answered with a fresh value of the cache.
    Hit(Served),
    /// A call was answered with a value of the cache past its ttl.
    Stale(Served),
    /// A call found nothing that could be its answer, and a body was run for it, which has ended.
    Miss,
    /// As a miss, but the body, or its error, is another call's.
    Coalesced,
    /// A call goes round the cache, because it has none, has no key, or was told to.
    Bypass,
    /// A call has waited this long for another call's body, and goes on waiting.
    Waiting(Duration),
    /// A call has waited for another call's body as long as it may, and runs its own beside that.
    Overtook,
    /// A call would wait for the body that it stands in, and runs another instead.
    OwnKey,
    /// A body begins.
    BodyBegan { in_background: bool },
    /// A body has ended.
    BodyEnded { took: Duration, end: BodyEnd },
    /// A body in the background ran longer than it may, and is dropped.
    GivenUp { limit: Duration },
    /// A body does not run in the background, because an argument's `Clone` panicked.
    NotCloned,
    /// What a body returned was stored, and is fresh for this long.
    Stored { fresh_for: Duration },
    /// What a body returned was not stored.
    Refused(Refusal<'a>),
    /// A value was, or is to be, stored that does not come back as it is; why.
    Lossy(&'static str),
    /// A value is stored that cannot be read back.
    Unreadable(&'a Error),
    /// Nothing can be stored, because a read alone took this long of the timeout.
    Distant { took: Duration, timeout: Duration },
    /// The cache failed, and the call goes on.
    Error(&'a Error),
    /// An entry was taken away.
    Invalidated,
    /// An entry could not be taken away. Its caller is told, or has left that to the log.
    NotInvalidated { error: &'a Error, is_callers: bool },
    /// A call has ended or was given up, and has waited this long for the store.
    Left { in_store: Duration },
}

/// A value of the cache that was the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    pub(crate) tier: Tier,
    /// How old it is, and its ttl; `None` if nothing says so.
    pub(crate) age_of_ttl: Option<(Duration, Duration)>,
    /// How much longer it is there, if somebody asked.
    pub(crate) left: Option<Duration>,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// With a value, or with an error of its own.
    Finished,
    /// It was dropped before, or panicked.
    Dropped,
}

/// Why a value was not stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal<'a> {
    /// The right to store was taken away while the body ran.
    Revoked,
    /// No JSON says it, or nothing says how long it lives.
    Unsaid(&'a Error),
    /// It has more JSON than may be stored.
    TooLarge(&'a Error),
}

/// A store that values are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// The in-process store.
    Process,
    /// Redis.
    Redis,
}
