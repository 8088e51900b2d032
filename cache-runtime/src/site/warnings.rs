//! What the log is told about one function, and how often.
//!
//! The one rule: **each reason for a line has one field here, whose type says how often it is written**: a [`Seldom`]
//! once a minute, so that trouble that lasts stays in sight; a [`FirstTime`] once in the process, because the
//! line is about the program's text, which stays as it is.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::Site;
use crate::{base::clock::Seldom, error::Error};

/// One field for each reason.
pub(super) struct Warnings {
    /// Calls run without the cache, because they have no key.
    keyless: FirstTime,
    /// One `key` serves values of several types.
    mixed: FirstTime,
    /// Values change on their way through JSON.
    lossy: FirstTime,
    /// An option's expression gives zero.
    senseless: FirstTime,
    /// A body asks for its own key.
    circular: FirstTime,
    /// A value is not stored, because no JSON says it.
    unsaid: Seldom,
    /// A value is not stored, because it is too large. Apart from `unsaid`, because other values of the
    /// function may be small.
    too_large: Seldom,
    /// Redis refuses to store values.
    refusing: Seldom,
    /// A value is stored, and cannot be read back.
    unread: Seldom,
    /// An invalidation failed.
    not_invalidated: Seldom,
    /// Redis is too far away for the timeout.
    distant: Seldom,
    /// Calls wait long for another call's body.
    waiting: Seldom,
}

const NOT_STORED: &str = "a value cannot be stored, so each call runs the body";

/// Lets something be said once in the process.
struct FirstTime(AtomicBool);

impl FirstTime {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Whether to say it; `true` for one caller.
    fn is_due(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

impl Warnings {
    pub(super) const fn new() -> Self {
        Self {
            keyless: FirstTime::new(),
            mixed: FirstTime::new(),
            lossy: FirstTime::new(),
            senseless: FirstTime::new(),
            circular: FirstTime::new(),
            unsaid: Seldom::new(),
            too_large: Seldom::new(),
            refusing: Seldom::new(),
            unread: Seldom::new(),
            not_invalidated: Seldom::new(),
            distant: Seldom::new(),
            waiting: Seldom::new(),
        }
    }
}

impl Site {
    /// Says once that calls have no key.
    pub(super) fn report_no_key(&self, cause: &dyn tracing::Value) {
        if self.warnings.keyless.is_due() {
            tracing::error!(function = %self.place(), cause, "calls run without the cache");
        }
    }

    /// Says once that values of two types have the same `key`.
    pub(super) fn report_mixed_types(&self, one: &'static str, other: &'static str) {
        if self.warnings.mixed.is_due() {
            tracing::error!(
                function = %self.place(),
                one,
                other,
                "values of two types have the same `key`; use `key_args(…)`, which adds the types",
            );
        }
    }

    /// Says once that Redis would give back another value than the function returned.
    pub(crate) fn warn_of_loss(&self, cause: &'static str) {
        if self.warnings.lossy.is_due() {
            tracing::warn!(
                function = %self.place(),
                cause,
                "values do not survive their own JSON; redis would not give back what was returned",
            );
        }
    }

    /// Says once that an option's expression gives zero.
    pub(crate) fn report_zero(&self, option: &'static str) {
        if self.warnings.senseless.is_due() {
            tracing::error!(
                function = %self.place(),
                "`{option}` is zero, so it is as if it were not there; use more, or remove it",
            );
        }
    }

    /// Says once that a body asks for its own key.
    pub(crate) fn warn_of_own_key(&self) {
        if self.warnings.circular.is_due() {
            tracing::warn!(
                function = %self.place(),
                "a body asks for its own key; so that it does not wait for itself, the inner call runs its body too",
            );
        }
    }

    /// Says that no JSON can say a value that the function returned.
    pub(crate) fn warn_unsaid(&self, error: &Error) {
        self.warn(&self.warnings.unsaid, error, NOT_STORED);
    }

    /// Says that a value that the function returned is too large.
    pub(crate) fn warn_too_large(&self, error: &Error) {
        self.warn(&self.warnings.too_large, error, NOT_STORED);
    }

    /// Says that Redis refuses a command that stores values, and what to type.
    pub(crate) fn warn_refused(&self, error: &Error, remedy: &str) {
        let line = format_args!(
            "redis refuses what it takes to store a value, so each call runs the body; {remedy}"
        );
        self.warn(&self.warnings.refusing, error, line);
    }

    /// Says that values of the function are stored in vain.
    pub(crate) fn warn_unread(&self, error: &Error) {
        self.warn(
            &self.warnings.unread,
            error,
            "a value is stored, but its `Deserialize` does not take what its `Serialize` writes, so each call runs the body; \
             mend one of them",
        );
    }

    /// Says that an invalidation failed: once a minute at most in a warning, and at the level debug in between.
    pub(crate) fn warn_not_invalidated(&self, error: &Error) {
        const FAILED: &str =
            "an invalidation failed, so other processes may read the old value until it expires";
        let (function, cause) = (self.place(), error.told());
        if self.warnings.not_invalidated.is_due() {
            match error.remedy() {
                None => tracing::warn!(%function, cause, "{FAILED}"),
                Some(remedy) => tracing::warn!(%function, cause, "{FAILED}; {remedy}"),
            }
        } else {
            tracing::debug!(%function, cause, "{FAILED}");
        }
    }

    /// Writes a line whose cause is an error, once a minute at most.
    fn warn(&self, seldom: &Seldom, error: &Error, line: impl fmt::Display) {
        if seldom.is_due() {
            tracing::warn!(function = %self.place(), cause = error.told(), "{line}");
        }
    }

    /// Says, once a minute at most, that nothing can be stored, because reads alone took this long.
    pub(crate) fn warn_of_distance(&self, took: Duration, timeout: Duration) {
        if self.warnings.distant.is_due() {
            // A read, the right to store, and the store.
            let enough = (took * 3).as_millis().next_multiple_of(10);
            tracing::warn!(
                function = %self.place(),
                ?timeout,
                ?took,
                "redis is too far away for this timeout: after a read there is no time to ask for the right to store, \
                 so nothing is stored; set `REDIS_TIMEOUT={enough}ms`, or the function's own `timeout`",
            );
        }
    }

    /// Says, once a minute at most, that a call waits for another call's body, and has for this long.
    pub(crate) fn warn_of_wait(&self, waited: Duration) {
        if self.warnings.waiting.is_due() {
            tracing::warn!(
                function = %self.place(),
                ?waited,
                "a call waits for another's body; its source hangs, or its future is kept and not polled",
            );
        }
    }
}
