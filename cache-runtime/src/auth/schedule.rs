//! When to ask for a token.
//!
//! The one rule: **a token is asked for before the one in hand runs out, for ever, and never twice
//! within a second.** Pure: every function takes the time, and the random number where it uses one.
//!
//! | what | the next ask |
//! |---|---|
//! | no token was had yet | now |
//! | a token | when `min(margin, life / 2)` of its life is left, up to a tenth of that later |
//! | no answer, no token, one that is expired on arrival, or the same one while it is due | after a pause of 2 s doubled up to 30 s, of which the draw takes up to half off; up to 1.5 s, and at least 1 s, while no token is in hand, unless somebody has to mend it: a wrong secret, nobody logged in |
//! | `Retry-After` | not before it, whatever else says so; up to five minutes are believed |
//! | the server refuses a token that has some age | now |
//! | the server refuses a token that just came | once it has some age, unless a new connection is accepted with it before |
//! | the server refuses one token after the other | after pauses like those above, up to 30 s, until one is accepted |
//!
//! What is left of a token's life is counted on two clocks, and the one that says less is believed:
//! the wall clock, which goes on while the machine sleeps, and the steady one, which nobody sets.
//! Pauses run on the steady clock alone.

use std::time::{Duration, Instant, SystemTime};

/// The least time between an answer and the next ask.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause while a token is in hand.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause without one: the provider's return is to be noticed within two seconds.
const LONGEST_PAUSE_WITHOUT: Duration = Duration::from_millis(1500);
/// As much of a `Retry-After` as is believed: a day of it would be a mistake, not a wish.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The clocks are looked at again after this long, because nobody says when one was set.
const LOOK: Duration = Duration::from_secs(30);
/// From this age on, or a tenth of its life if that is less, a token may be what is wrong.
const SOME_AGE: Duration = Duration::from_secs(10);

/// Both clocks at one moment: the wall clock jumps, the other one stops while a machine sleeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: SystemTime,
    pub(crate) steady: Instant,
}

impl Now {
    /// This very moment.
    pub(crate) fn read() -> Self {
        Self {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextAsk {
    /// Ask for a token.
    Now,
    /// Look again after this long, which is never zero and at most 30 s.
    Wait(Duration),
}

/// The life of one token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    received: Now,
    expires: SystemTime,
    /// What was left of it when it came; zero if it came expired.
    length: Duration,
    margin: Duration,
}

impl Life {
    fn new(now: Now, expires: SystemTime, margin: Duration) -> Self {
        let length = expires.duration_since(now.wall).unwrap_or_default();
        Self {
            received: now,
            expires,
            length,
            margin: margin.min(length / 2),
        }
    }

    /// How long ago the token came, by the clock that nobody sets.
    pub(crate) fn age(&self, now: Now) -> Duration {
        now.steady.saturating_duration_since(self.received.steady)
    }

    /// How long the token is good for, by the clock that says less; zero once it has expired.
    pub(crate) fn left(&self, now: Now) -> Duration {
        let by_wall = self.expires.duration_since(now.wall).unwrap_or_default();
        by_wall.min(self.length.saturating_sub(self.age(now)))
    }

    /// How long connections may take to move to the next token: three fifths of the margin are to
    /// be left then, 180 s of 300 s.
    pub(crate) fn move_within(&self, now: Now) -> Duration {
        self.left(now).saturating_sub(self.margin / 5 * 3)
    }
}

/// The token in use.
#[derive(Debug)]
struct HeldToken {
    life: Life,
    /// How much of its life is left when the next token is asked for.
    lead: Duration,
    /// The age at which it is replaced, if the server refused it.
    refused: Option<Duration>,
    /// Whether the server accepted it.
    accepted: bool,
}

impl HeldToken {
    fn is_expired(&self, now: Now) -> bool {
        self.life.left(now).is_zero()
    }

    /// How long until the next token is wanted. A refused token is replaced at the age that the refusal set, and not at
    /// the margin: so if the provider gives it again, the pauses between refusals count.
    fn wanted_in(&self, now: Now) -> Duration {
        let left = self.life.left(now);
        match self.refused {
            Some(age) => left.min(age.saturating_sub(self.life.age(now))),
            None => left.saturating_sub(self.lead),
        }
    }

    /// Whether it has not expired, nor been refused.
    fn is_good(&self, now: Now) -> bool {
        self.refused.is_none() && !self.is_expired(now)
    }

    /// Whether connections can be made with it. If the server accepted a token that came expired, this machine's clock is
    /// wrong, which is no reason to hurry for ever.
    fn serves(&self, now: Now) -> bool {
        self.is_good(now) || (self.accepted && self.life.length.is_zero())
    }
}

/// When one identity's token is asked for.
#[derive(Debug)]
pub(crate) struct Schedule {
    margin: Duration,
    token: Option<HeldToken>,
    /// When the latest answer came, whatever it was.
    answered: Option<Instant>,
    /// Answers in a row that did not help.
    failures: u32,
    /// The random number that was drawn for the latest failure, and its `Retry-After`.
    draw: f64,
    retry_after: Duration,
    /// Whether the latest failure stays until somebody mends it.
    is_lasting: bool,
    /// Refusals in a row by the server. They are counted apart from the failures, because a provider that answers may
    /// give tokens that the server refuses.
    refusals: u32,
}

impl Schedule {
    /// `margin` is how long before its end a token is replaced, or half its life if that is less.
    pub(crate) fn new(margin: Duration) -> Self {
        Self {
            margin,
            token: None,
            answered: None,
            failures: 0,
            draw: 0.0,
            retry_after: Duration::ZERO,
            is_lasting: false,
            refusals: 0,
        }
    }

    /// What to do at this moment.
    pub(crate) fn next(&self, now: Now) -> NextAsk {
        let wanted_in = match &self.token {
            Some(token) => token.wanted_in(now),
            None => Duration::ZERO,
        };
        let wait = wanted_in.max(self.allowed_in(now));
        if wait.is_zero() {
            return NextAsk::Now;
        }
        // The clocks are read again when the token ends, because the shorter pauses count from then on.
        let end = self.life().map(|life| life.left(now));
        let end = end.filter(|left| !left.is_zero()).unwrap_or(LOOK);
        NextAsk::Wait(wait.min(end).min(LOOK))
    }

    /// A token came, which is the present one if `again`. `draw` is in `[0, 1)`.
    ///
    /// `true` if it, or another life of it, takes the place of what there was. A token that came expired
    /// does so too if nothing better is there, because the server judges, and this machine's clock may be
    /// wrong.
    #[must_use]
    pub(crate) fn granted(
        &mut self,
        now: Now,
        expires: SystemTime,
        again: bool,
        draw: f64,
    ) -> bool {
        let life = Life::new(now, expires, self.margin);
        if again && self.is_unchanged(now, life) {
            self.unchanged(now, draw);
            return false;
        }
        if life.length.is_zero() {
            self.failed(now, None, draw);
            if self.token.as_ref().is_some_and(|token| token.is_good(now)) {
                return false;
            }
        } else {
            self.helped(now);
        }
        self.token = Some(HeldToken {
            life,
            // The draw makes it later, never earlier, because a credential that keeps its token hands out the same one
            // until the margin begins.
            lead: life.margin - (life.margin / 10).mul_f64(draw),
            refused: None,
            accepted: false,
        });
        true
    }

    /// No token came. `retry_after` is what the provider asks for; `draw` is in `[0, 1)`.
    pub(crate) fn failed(&mut self, now: Now, retry_after: Option<Duration>, draw: f64) {
        self.answered = Some(now.steady);
        self.failures = self.failures.saturating_add(1);
        self.draw = draw;
        self.retry_after = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        self.is_lasting = false;
    }

    /// The latest failure stays until somebody mends it, so nothing is gained by haste: a provider slows down
    /// clients that go on asking with a wrong secret.
    pub(crate) fn will_last(&mut self) {
        self.is_lasting = true;
    }

    /// The server refused the present token; any number of callers may say so. `draw` is in `[0, 1)`.
    ///
    /// `true` if the next is asked for because of that, now or after the pause that a failure left
    /// behind. `false` if the token just came: then the connection should be made anew, and unless the token is
    /// [`accepted`](Self::accepted) there, the next token is asked for.
    pub(crate) fn refused(&mut self, now: Now, draw: f64) -> bool {
        let Some(token) = &mut self.token else {
            return true;
        };
        token.accepted = false;
        // The refusal of an expired token is no surprise, and no reason to ask less often.
        if token.refused.is_none() && !token.is_expired(now) {
            let some_age = SOME_AGE.min(token.life.length / 10);
            let pause = match self.refusals {
                0 => some_age,
                before => some_age.max(pause(before, LONGEST_PAUSE, draw)),
            };
            token.refused = Some(pause);
            self.refusals = self.refusals.saturating_add(1);
        }
        token.wanted_in(now).is_zero()
    }

    /// The server accepted the present token.
    pub(crate) fn accepted(&mut self) {
        self.refusals = 0;
        if let Some(token) = &mut self.token {
            token.refused = None;
            token.accepted = true;
        }
    }

    /// Whether a token is there that has not expired by either clock's account.
    pub(crate) fn is_valid(&self, now: Now) -> bool {
        (self.token.as_ref()).is_some_and(|token| !token.is_expired(now))
    }

    /// The life of the present token.
    pub(crate) fn life(&self) -> Option<Life> {
        self.token.as_ref().map(|token| token.life)
    }

    /// Whether the token that came again is of no more use than before. It is of more use if a wrong clock had called it
    /// expired: the provider still hands it out, so its life is judged anew.
    fn is_unchanged(&self, now: Now, life: Life) -> bool {
        (self.token.as_ref()).is_some_and(|token| {
            token.refused.is_some() || !token.is_expired(now) || life.length.is_zero()
        })
    }

    /// The present token came again, of no more use than before.
    fn unchanged(&mut self, now: Now, draw: f64) {
        let Some(token) = &mut self.token else {
            return;
        };
        if token.refused.is_some() && !token.is_expired(now) {
            // The provider offers what the server refuses, which counts as another refusal.
            self.refusals = self.refusals.saturating_add(1);
            let pause = pause(self.refusals, LONGEST_PAUSE, draw);
            token.refused = Some(token.life.age(now).saturating_add(pause));
        }
        if token.wanted_in(now).is_zero() {
            self.failed(now, None, draw);
        } else {
            self.helped(now);
        }
    }

    fn helped(&mut self, now: Now) {
        self.answered = Some(now.steady);
        self.failures = 0;
    }

    /// How long the latest answer forbids to ask again.
    fn allowed_in(&self, now: Now) -> Duration {
        let Some(answered) = self.answered else {
            return Duration::ZERO;
        };
        let pause = match self.failures {
            0 => LEAST_PAUSE,
            failures => {
                let longest = match &self.token {
                    Some(token) if token.serves(now) => LONGEST_PAUSE,
                    _ if self.is_lasting => LONGEST_PAUSE,
                    _ => LONGEST_PAUSE_WITHOUT,
                };
                pause(failures, longest, self.draw).max(self.retry_after)
            }
        };
        pause.saturating_sub(now.steady.saturating_duration_since(answered))
    }
}

/// The pause after this many failures, or refusals, in a row: the draw says where between half of it and the whole.
fn pause(count: u32, longest: Duration, draw: f64) -> Duration {
    // Five doublings of a second are past the longest pause.
    let whole = (LEAST_PAUSE * 2_u32.pow(count.min(5))).min(longest);
    let least = (whole / 2).max(LEAST_PAUSE);
    least + (whole - least).mul_f64(draw)
}

#[cfg(test)]
mod tests;
