//! Redis: three keys, and the commands that the protocol sends.
//!
//! The one rule: **a command is executed whole, at one instant, whoever sent it and whether or not
//! the sender still lives**; only the deletes of INVALIDATE, which are a pipeline, and the two commands
//! that ACQUIRE may be sent as are executed one by one.

use crate::setup::{Rule, Setup};

/// What tells one send of a command from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Nonce(pub(crate) u8);

/// A set of changes. Of a value: those that it takes into account. Of a caller: those that were
/// confirmed before it came, so that what it sees must take them into account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Changes(pub(crate) u8);

impl Changes {
    #[must_use]
    pub(crate) fn with(self, change: u8) -> Self {
        Self(self.0 | 1 << change)
    }

    pub(crate) fn contains(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Value {
    pub(crate) knows: Changes,
    /// Past its ttl.
    pub(crate) old: bool,
}

/// K, T and L.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Redis {
    pub(crate) value: Option<Value>,
    pub(crate) token: Option<Nonce>,
    pub(crate) lock: Option<Lock>,
}

/// What L holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lock {
    /// Its holder's body came to nothing.
    Failed,
    Held(Nonce),
}

/// A wish to be the only one who computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Wish {
    /// The same for each send: one whose answer is lost may have taken the lock.
    pub(crate) holder: Nonce,
    /// Who waited for a body that came to nothing waits for no other.
    pub(crate) waited: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Command {
    Get,
    Acquire {
        wish: Option<Wish>,
        nonce: Nonce,
    },
    /// ACQUIRE as SET T NX, which says whose T it is, then GET K.
    Take {
        nonce: Nonce,
        /// What the first of the two was answered, once it is executed.
        first: Option<First>,
    },
    Store {
        knows: Changes,
        token: Nonce,
        /// The lock, if it was taken.
        lock: Option<Nonce>,
    },
    Release {
        /// Nobody else had the token when it was asked for.
        mine: bool,
        token: Nonce,
        lock: Option<Nonce>,
    },
    /// The first step of `put`: T = nonce.
    Seize {
        nonce: Nonce,
    },
    /// Its second step.
    Put {
        knows: Changes,
        token: Nonce,
    },
    /// A `put` in one step; only where a rule is left out.
    Set {
        knows: Changes,
    },
    Invalidate {
        /// How many of its deletes have been executed.
        done: u8,
    },
}

/// The answer to the first of two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum First {
    /// Of SET T NX: whose T it is.
    Token { own: bool, nonce: Nonce },
    /// Of GET K; only where a rule is left out.
    Look(Option<Value>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Nothing,
    Value(Value),
    Token {
        own: bool,
        locked: bool,
        nonce: Nonce,
    },
    /// Somebody else has the lock.
    Locked(Nonce),
    /// Whether the token stood.
    Stood(bool),
    Done,
}

impl Command {
    /// Whether what is left of it changes nothing.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Get
                | Self::Take {
                    first: Some(First::Token { .. }),
                    ..
                }
        )
    }

    /// Whether it may still set this token, if it is executed.
    pub(crate) fn sets(&self, token: Nonce) -> bool {
        match *self {
            Self::Acquire { nonce, .. } | Self::Take { nonce, .. } | Self::Seize { nonce } => {
                nonce == token && !self.only_reads()
            }
            _ => false,
        }
    }
}

impl Redis {
    /// Executes `command`, or the next part of it; `None`: there is more of it to come.
    pub(crate) fn execute(&mut self, setup: &Setup, command: &mut Command) -> Option<Answer> {
        Some(match *command {
            Command::Get => match self.value {
                Some(value) => Answer::Value(value),
                None => Answer::Nothing,
            },
            Command::Acquire { nonce, wish } => self.acquire(setup, nonce, wish),
            Command::Take {
                nonce,
                ref mut first,
            } => {
                let Some(first) = *first else {
                    *first = Some(if setup.keeps(Rule::TokenBeforeLook) {
                        let (own, nonce) = self.share_or_set(nonce);
                        First::Token { own, nonce }
                    } else {
                        First::Look(self.value)
                    });
                    return None;
                };
                let (value, (own, nonce)) = match first {
                    First::Token { own, nonce } => (self.value, (own, nonce)),
                    First::Look(value) => (value, self.share_or_set(nonce)),
                };
                let locked = false;
                match value {
                    // The token stays behind, and nobody has it.
                    Some(value) => Answer::Value(value),
                    None => Answer::Token { own, locked, nonce },
                }
            }
            Command::Store { token, knows, lock } => {
                let stands = self.token == Some(token);
                if stands {
                    self.set(knows);
                }
                self.end(stands, lock);
                Answer::Stood(stands)
            }
            Command::Release { token, mine, lock } => {
                let stands = self.token == Some(token);
                if stands && mine {
                    self.token = None;
                }
                if self.is_held(lock) {
                    self.lock = Some(Lock::Failed);
                }
                Answer::Stood(stands)
            }
            Command::Seize { nonce } => {
                self.token = Some(nonce);
                Answer::Done
            }
            Command::Put { token, knows } => {
                if self.token == Some(token) {
                    self.set(knows);
                } else {
                    self.value = None;
                }
                self.token = None;
                self.lock = None;
                Answer::Done
            }
            Command::Set { knows } => {
                self.set(knows);
                self.token = None;
                self.lock = None;
                Answer::Done
            }
            Command::Invalidate { ref mut done } => {
                let order: &[Delete] = if setup.keeps(Rule::TokenFirst) {
                    &[Delete::Token, Delete::Lock, Delete::Value]
                } else {
                    &[Delete::Value, Delete::Token, Delete::Lock]
                };
                match order[usize::from(*done)] {
                    Delete::Token => self.token = None,
                    Delete::Lock => self.lock = None,
                    Delete::Value => self.value = None,
                }
                *done += 1;
                // A lock that nobody ever takes is no step of its own.
                if order.get(usize::from(*done)) == Some(&Delete::Lock) && !setup.uses_lock() {
                    *done += 1;
                }
                if usize::from(*done) < order.len() {
                    return None;
                }
                Answer::Done
            }
        })
    }

    /// STORE on a server without room: the SET is refused, the rest happens.
    pub(crate) fn store_without_room(&mut self, token: Nonce, lock: Option<Nonce>) -> Answer {
        let stands = self.token == Some(token);
        self.end(stands, lock);
        Answer::Stood(stands)
    }

    /// STORE ends the token if it stood, and the lock that was taken with it.
    fn end(&mut self, stands: bool, lock: Option<Nonce>) {
        if stands {
            self.token = None;
        }
        if lock.is_some() && (stands || self.is_held(lock)) {
            self.lock = None;
        }
    }

    pub(crate) fn is_held(&self, by: Option<Nonce>) -> bool {
        by.is_some_and(|holder| self.lock == Some(Lock::Held(holder)))
    }

    /// Looks at K again, else takes L if it is wanted, then shares or sets T.
    ///
    /// An old value is what the caller has seen already, or would look past.
    fn acquire(&mut self, setup: &Setup, nonce: Nonce, wish: Option<Wish>) -> Answer {
        if let Some(value) = self.value
            && !value.old
        {
            return Answer::Value(value);
        }
        let mut locked = false;
        if let Some(wish) = wish {
            match self.lock {
                Some(Lock::Held(holder)) if holder != wish.holder => {
                    if setup.keeps(Rule::LoserWaits) {
                        return Answer::Locked(holder);
                    }
                }
                Some(Lock::Failed) if wish.waited => {}
                _ => {
                    self.lock = Some(Lock::Held(wish.holder));
                    locked = true;
                }
            }
        }
        let (own, nonce) = self.share_or_set(nonce);
        Answer::Token { own, locked, nonce }
    }

    /// T, and whether it was set just now.
    fn share_or_set(&mut self, nonce: Nonce) -> (bool, Nonce) {
        let own = self.token.is_none();
        (own, *self.token.get_or_insert(nonce))
    }

    fn set(&mut self, knows: Changes) {
        self.value = Some(Value { knows, old: false });
    }
}

#[derive(PartialEq)]
enum Delete {
    Token,
    Lock,
    Value,
}
