//! What must hold in every state that can be reached, and what must be possible.
//!
//! The one rule: **a property looks at one state**, and what it needs of the past is kept in the
//! state for it alone.
//!
//! That nobody waits for ever is asked so, too: in no state does somebody wait while nothing can
//! happen that happens by itself. It says as much as "every caller is answered in the end", because
//! no state is ever reached twice; a test looks for circles.

use stateright::{Model as _, Property as Checked};

use crate::{
    model::{Protocol, State},
    redis::{Answer, Command},
    setup::Setup,
    world::{Flight, Stage, World},
};

/// What is asked of every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// A call that begins after a change was confirmed sees no value, and no `Err`, whose body began
    /// before that change was called; of `put_with`, before its future was done.
    NothingTooOld,
    /// A process runs one body at a time, but for those of flights that a change has detached.
    OneBodyAtATime,
    /// Under the lock, or where there is only one process, one body is run in all, if nothing goes
    /// wrong, nothing is changed and nobody loses patience.
    OneBodyAnywhere,
    /// Whoever waits, waits for something that happens by itself.
    NobodyWaitsForEver,
    /// Whoever comes while there is a value that answers it, which stays, waits for no body, and for nobody
    /// else: its own read, be it GET or ACQUIRE, answers it.
    WarmKeysKeepNobody,
    /// While a fresh value is there, nobody who computes has the right to store another, if nothing goes
    /// wrong and nothing is changed.
    NobodyStoresAgain,
    /// Never (to be refuted): a late caller waits for the proof.
    NoLateCaller,
    /// Never (to be refuted): a value is there, and a token that nobody has.
    NoTokenLeft,
    /// Never (to be refuted): STORE is refused.
    NoRefusal,
    /// Never (to be refuted): somebody waits for another process's lock.
    NoLockHeld,
    /// Never (to be refuted): somebody waits with an old value in hand.
    NoOldValue,
    /// Never (to be refuted): everybody has been answered, and a confirmed value is stored.
    NoGoodEnd,
}

impl Property {
    /// All that must hold.
    pub const ALL: &'static [Self] = &[
        Self::NothingTooOld,
        Self::OneBodyAtATime,
        Self::OneBodyAnywhere,
        Self::NobodyWaitsForEver,
        Self::WarmKeysKeepNobody,
        Self::NobodyStoresAgain,
    ];

    /// What it says, in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NothingTooOld => "nobody sees a value from before a confirmed change",
            Self::OneBodyAtATime => "a process runs one body at a time",
            Self::OneBodyAnywhere => "one body is run in all",
            Self::NobodyWaitsForEver => "nobody waits for ever",
            Self::WarmKeysKeepNobody => "a key that has a value keeps nobody waiting",
            Self::NobodyStoresAgain => "nobody may store where a fresh value is",
            Self::NoLateCaller => "no late caller waits for the proof",
            Self::NoTokenLeft => "no token is left where a value is",
            Self::NoRefusal => "no STORE is refused",
            Self::NoLockHeld => "nobody waits for another process's lock",
            Self::NoOldValue => "nobody waits with an old value in hand",
            Self::NoGoodEnd => "there is no good end",
        }
    }

    pub(crate) fn checked(self) -> Checked<Protocol> {
        let words = self.words();
        match self {
            Self::NothingTooOld => {
                Checked::always(words, |_: &Protocol, State(world)| !world.saw_too_old)
            }
            Self::OneBodyAtATime => Checked::always(words, |_: &Protocol, State(world)| {
                world.one_body_at_a_time()
            }),
            Self::OneBodyAnywhere => Checked::always(words, |model: &Protocol, State(world)| {
                world.only_bodies < 2 || world.is_excused(&model.setup)
            }),
            Self::NobodyWaitsForEver => Checked::always(words, nobody_is_stuck),
            Self::WarmKeysKeepNobody => Checked::always(words, |_: &Protocol, State(world)| {
                !world.some_flight(|it| {
                    let reads = matches!(it.stage, Stage::Acquire(_));
                    let leads = it.lead.as_ref().is_some_and(|lead| lead.warm && !reads);
                    leads || it.waiters.iter().any(|waiter| waiter.caller.warm)
                })
            }),
            Self::NobodyStoresAgain => Checked::always(words, |model: &Protocol, State(world)| {
                let fresh = world.redis.value.is_some_and(|value| !value.old);
                !fresh || !world.somebody_may_store() || world.is_excused(&model.setup)
            }),
            Self::NoLateCaller => Checked::always(words, |_: &Protocol, State(world)| {
                !world.some_flight(|it| {
                    matches!(it.stage, Stage::Store { .. }) && !it.waiters.is_empty()
                })
            }),
            Self::NoTokenLeft => Checked::always(words, |_: &Protocol, State(world)| {
                world.redis.value.is_none() || world.redis.token.is_none() || !world.is_over()
            }),
            Self::NoRefusal => Checked::always(words, |_: &Protocol, State(world)| {
                !world.some_flight(|it| {
                    let call = it.stage.call();
                    call.is_some_and(|call| call.answer == Some(Answer::Stood(false)))
                })
            }),
            Self::NoLockHeld => Checked::always(words, |_: &Protocol, State(world)| {
                !world.some_flight(|it| matches!(it.stage, Stage::Locked(_)))
            }),
            Self::NoOldValue => Checked::always(words, |_: &Protocol, State(world)| {
                !world.some_flight(|it| {
                    let mut waiters = it.waiters.iter();
                    waiters.any(|waiter| waiter.caller.old.is_some())
                })
            }),
            Self::NoGoodEnd => Checked::always(words, |model: &Protocol, State(world)| {
                let all = world.confirmed == world.passed
                    && usize::from(world.changes_begun) == model.setup.changes.len();
                let stored = world.redis.value;
                !(world.is_over()
                    && all
                    && stored.is_some_and(|value| value.knows.contains(world.confirmed)))
            }),
        }
    }
}

fn nobody_is_stuck(model: &Protocol, state: &State) -> bool {
    if !state.0.somebody_waits() || state.0.is_over() || state.0.saw_too_old {
        return true;
    }
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    actions.into_iter().any(|action| action.is_progress())
}

impl World {
    /// No caller is there, or comes, and nothing is computed.
    pub(crate) fn is_over(&self) -> bool {
        self.callers_to_come == 0
            && self.processes.iter().all(|process| {
                process.reads.is_empty() && process.queued.is_empty() && process.flights.is_empty()
            })
    }

    fn somebody_waits(&self) -> bool {
        self.somebody_flies()
            || self.processes.iter().any(|process| {
                !process.reads.is_empty()
                    || !process.queued.is_empty()
                    || !process.changes.is_empty()
            })
    }

    fn somebody_flies(&self) -> bool {
        self.some_flight(|it| it.lead.is_some() || !it.waiters.is_empty())
    }

    fn some_flight(&self, is: impl Fn(&Flight) -> bool) -> bool {
        let mut flights = self.processes.iter().flat_map(|process| &process.flights);
        flights.any(is)
    }

    fn somebody_may_store(&self) -> bool {
        self.some_flight(|it| {
            let token = match &it.stage {
                Stage::Body { token, .. } => token.as_ref().map(|token| token.nonce),
                Stage::Store { call, .. } => match call.command {
                    Command::Store { token, .. } if call.answer.is_none() => Some(token),
                    _ => None,
                },
                Stage::Handed | Stage::Acquire(_) | Stage::Locked(_) => None,
            };
            token.is_some() && token == self.redis.token
        })
    }

    fn one_body_at_a_time(&self) -> bool {
        self.processes.iter().all(|process| {
            let runs = |it: &&Flight| !it.detached && matches!(it.stage, Stage::Body { .. });
            process.flights.iter().filter(runs).count() <= 1
        })
    }

    fn is_excused(&self, setup: &Setup) -> bool {
        self.faults_left < setup.faults || self.changes_begun > 0 || self.lost_patience
    }
}
