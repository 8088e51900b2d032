//! For how long, and how, an entry may be answered.
//!
//! The one rule: **a judgement has no effects**; nothing here waits, reads a clock, draws a number or touches a store.
//!
//! # What the age of an entry means
//!
//! `ttl` is the ttl that the entry was stored with, after [`jitter`](Freshness::shorten). The windows are those of the
//! reader's own attribute, and both begin where the ttl ends. The first row that holds counts. *Backs off*: the key's last
//! refresh failed a moment ago, or another process computes the key. *Movable*: the body can run without its caller.
//!
//! | | age | option | backs off | movable | answered | started |
//! |---|---|---|---|---|---|---|
//! | 1 | no stamp: another program's, or `ttl` alone | any | any | any | the value | nothing |
//! | 2 | < ttl | `refresh_ahead`, its moment has come | no | yes | the value | a background run |
//! | 3 | < ttl | any | any | any | the value | nothing |
//! | 4 | < ttl + `stale_while_revalidate` | that | yes | any | the stale value | nothing |
//! | 5 | < ttl + `stale_while_revalidate` | that | no | yes | the stale value | a background run |
//! | 6 | < ttl + `stale_if_error` | that | yes | any | the stale value | nothing |
//! | 7 | < ttl + `stale_if_error` | that, `soft_timeout` | no | yes | the body's value; the stale one if it fails or takes longer | a background run |
//! | 8 | < ttl + `stale_if_error` | that | no | any | the body's value; the stale one if it fails | a run of the caller's |
//! | 9 | later | any | any | any | the body's outcome | a run of the caller's |
//!
//! Within the window of `stale_while_revalidate`, a body that is not movable (an entry's
//! [`get_or_compute`](crate::Entry::get_or_compute), or a call outside of a runtime) falls through to rows 7 to 9.
//!
//! The moment of `refresh_ahead` comes at an age of the given fraction of the ttl. With XFetch it comes where
//! `took × -ln(draw) ≥ ttl - age`, and never before half the ttl; `took` is the time that the body took, and `draw` a
//! random number in (0, 1], drawn once per call (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
//! Prevention, VLDB 2015).

use std::time::Duration;

use super::header::Stamp;

/// The longest that a value is stored, because the clock of Redis overflows beyond it.
const LONGEST_TTL: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// For how long, and how, an entry may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Freshness {
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) refresh_ahead: Option<RefreshAhead>,
    pub(crate) soft_timeout: Option<Duration>,
    /// The largest share of a ttl that is taken off it.
    pub(crate) jitter: f64,
    /// Every process on the same Redis shares one body run.
    pub(crate) cluster: bool,
}

/// When a background run begins before the ttl ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RefreshAhead {
    /// When this share of the ttl has passed.
    Fraction(f64),
    /// At random, the likelier the longer the body takes and the nearer the end is.
    XFetch,
}

impl RefreshAhead {
    /// Whether a fresh entry is [`Judgement::RefreshAhead`] under some circumstances, XFetch's draw among them.
    pub(crate) fn may_have_come(self, entry: Aged) -> bool {
        self.has_come(entry, &|| 0.0)
    }

    fn has_come(self, entry: Aged, draw: &dyn Fn() -> f64) -> bool {
        match self {
            Self::Fraction(share) => entry.age >= entry.fresh_for.mul_f64(share),
            Self::XFetch => {
                let left = entry.fresh_for.saturating_sub(entry.age);
                entry.age >= entry.fresh_for / 2
                    && entry.took.as_secs_f64() * -draw().ln() >= left.as_secs_f64()
            }
        }
    }
}

/// How old an entry is when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aged {
    pub(crate) age: Duration,
    pub(crate) fresh_for: Duration,
    /// How long its body took.
    pub(crate) took: Duration,
}

/// How far a stamp may be ahead of the reader's clock and still count as new, because clocks differ; a tenth of the ttl if
/// that is more.
const SLACK: Duration = Duration::from_secs(1);

impl Aged {
    /// Whether the ttl has not ended.
    pub(crate) fn is_fresh(&self) -> bool {
        self.age < self.fresh_for
    }
}

impl Stamp {
    /// How old an entry with this stamp is when the server's clock shows `now`, in milliseconds since 1970.
    ///
    /// A stamp that is ahead of `now` by [`SLACK`] at most counts as new. One that is further ahead was written by another
    /// clock, or before the clock was set back, so its age is unknown. The ttl then counts as just ended, so that a window
    /// may still answer with the entry, and the next store writes a stamp of this clock.
    pub(crate) fn aged(&self, now: u64) -> Aged {
        let age = now.checked_sub(self.stored_at).map(Duration::from_millis);
        Aged {
            age: age.unwrap_or_else(|| {
                let ahead = Duration::from_millis(self.stored_at - now);
                if ahead <= SLACK.max(self.fresh_for / 10) {
                    Duration::ZERO
                } else {
                    self.fresh_for
                }
            }),
            fresh_for: self.fresh_for,
            took: self.took,
        }
    }
}

/// How long a value that is stored now lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifespan {
    pub(crate) fresh_for: Duration,
    /// The ttl, and the windows in which the value may still be answered.
    pub(crate) kept_for: Duration,
}

/// What to do with an entry; the rows of the [module's](self) table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Rows 1 and 3.
    Fresh,
    /// Row 2.
    RefreshAhead,
    /// Rows 4 and 6.
    StaleInBackoff,
    /// Row 5.
    StaleWhileRevalidate,
    /// Row 7, with the soft timeout.
    StaleAfter(Duration),
    /// Row 8.
    StaleIfError,
    /// Row 9.
    Expired,
}

/// What a judgement needs beside an entry's age. Each is asked only where a row depends on it.
pub(crate) struct Circumstances<'a> {
    /// The key's last refresh failed a moment ago, or another process computes the key.
    pub(crate) backs_off: &'a dyn Fn() -> bool,
    /// The body can run without its caller.
    pub(crate) movable: &'a dyn Fn() -> bool,
    /// A random number in (0, 1].
    pub(crate) draw: &'a dyn Fn() -> f64,
}

impl Freshness {
    /// Judges an entry by the table of this module.
    pub(crate) fn judge(&self, entry: Option<Aged>, now: &Circumstances<'_>) -> Judgement {
        let Some(entry) = entry else {
            return Judgement::Fresh;
        };
        let Some(past) = entry.age.checked_sub(entry.fresh_for) else {
            let ahead = self.is_ahead(entry, now.draw) && !(now.backs_off)() && (now.movable)();
            return if ahead {
                Judgement::RefreshAhead
            } else {
                Judgement::Fresh
            };
        };
        let revalidate = past < self.stale_while_revalidate;
        let on_error = past < self.stale_if_error;
        if !revalidate && !on_error {
            return Judgement::Expired;
        }
        if (now.backs_off)() {
            return Judgement::StaleInBackoff;
        }
        match self.soft_timeout {
            _ if revalidate && (now.movable)() => Judgement::StaleWhileRevalidate,
            Some(limit) if on_error && (now.movable)() => Judgement::StaleAfter(limit),
            _ if on_error => Judgement::StaleIfError,
            _ => Judgement::Expired,
        }
    }

    /// Whether the moment of `refresh_ahead` has come.
    fn is_ahead(&self, entry: Aged, draw: &dyn Fn() -> f64) -> bool {
        let ahead = self.refresh_ahead;
        ahead.is_some_and(|when| when.has_come(entry, draw))
    }

    /// Whether an entry is an answer without a body that its caller waits for: rows 1 to 5.
    pub(crate) fn answers(&self, entry: Option<Aged>) -> bool {
        entry
            .and_then(|entry| entry.age.checked_sub(entry.fresh_for))
            .is_none_or(|past| past < self.stale_while_revalidate)
    }

    /// Whether an entry must say when it was stored.
    pub(crate) fn needs_stamp(&self) -> bool {
        self.keeps_stale() || self.refresh_ahead.is_some()
    }

    /// Whether an entry may be answered when its ttl has ended.
    pub(crate) fn keeps_stale(&self) -> bool {
        !self.window().is_zero()
    }

    /// How long after its ttl an entry may be answered.
    fn window(&self) -> Duration {
        self.stale_while_revalidate.max(self.stale_if_error)
    }

    /// The ttl less its jitter; `draw` is in (0, 1].
    pub(super) fn shorten(&self, ttl: Duration, draw: f64) -> Duration {
        if self.jitter > 0.0 {
            // A product of `f64` may be more than its factor, and more than a `Duration` holds.
            let ttl = ttl.min(LONGEST_TTL);
            ttl.mul_f64(1.0 - self.jitter * draw).min(ttl)
        } else {
            ttl
        }
    }

    /// The lifetime of a value with this ttl; `None` for a ttl of zero. Any other ttl is one millisecond at least, because
    /// Redis counts no less.
    pub(super) fn lifetime(&self, ttl: Duration) -> Option<Lifespan> {
        let fresh_for = ttl.clamp(Duration::from_millis(1), LONGEST_TTL);
        let kept_for = fresh_for.saturating_add(self.window()).min(LONGEST_TTL);
        (!ttl.is_zero()).then_some(Lifespan {
            fresh_for,
            kept_for,
        })
    }
}

#[cfg(test)]
mod tests;
