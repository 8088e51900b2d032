//! `invalidate`, `put` and `put_with`.
//!
//! The one rule: **a change takes the right to store from all who compute, before it changes
//! anything else, and is confirmed only when Redis has answered its last step.**
//!
//! | change | steps | takes the old away from |
//! |---|---|---|
//! | `invalidate` | detach; INVALIDATE | all that began before it was called |
//! | `put` | detach; a token; PUT | the same |
//! | `put_with` | detach; a token; the future; PUT | all that began before the future was done |
//!
//! In-process each is one step, but for the future of `put_with`, during which T is the mark that
//! nobody else has changed anything.
//!
//! What is put takes into account what had passed when its token was answered: a plain `put` does not
//! order writers that run side by side.

use crate::{
    redis::{Changes, Command},
    setup::{Change, Rule, Setup},
    world::{Call, World, Writer, WriterStep, is_redis},
};

impl World {
    pub(crate) fn begin_change(&mut self, setup: &Setup, process: usize) {
        let change = self.changes_begun;
        self.changes_begun += 1;
        let kind = setup.changes[usize::from(change)];
        if kind != Change::PutWith {
            self.passed = self.passed.with(change);
        }
        self.detach(setup, process);
        let step = if is_redis(setup) {
            match kind {
                Change::Invalidate => WriterStep::last(Command::Invalidate { done: 0 }),
                Change::PutWith if !setup.keeps(Rule::TokenBeforeWrite) => WriterStep::Future {
                    knows: self.passed,
                    token: None,
                },
                Change::Put if !setup.keeps(Rule::TwoSteps) => {
                    WriterStep::last(Command::Set { knows: self.passed })
                }
                Change::Put | Change::PutWith => self.seize(None),
            }
        } else {
            let mut command = match kind {
                Change::Invalidate => Command::Invalidate { done: 0 },
                Change::Put => Command::Set { knows: self.passed },
                Change::PutWith => {
                    let token = setup
                        .keeps(Rule::TokenBeforeWrite)
                        .then(|| self.fresh_nonce());
                    self.redis.token = token;
                    let knows = self.passed;
                    let step = WriterStep::Future { knows, token };
                    self.processes[process]
                        .changes
                        .push(Writer { change, step });
                    return;
                }
            };
            if setup.keeps(Rule::OneLock) {
                while self.redis.execute(setup, &mut command).is_none() {}
                self.confirmed = self.confirmed.with(change);
                return;
            }
            WriterStep::last(command)
        };
        let writer = Writer { change, step };
        self.processes[process].changes.push(writer);
    }

    pub(crate) fn writer_answered(&mut self, setup: &Setup, process: usize, writer: usize) {
        let Writer { change, step } = self.processes[process].changes.remove(writer);
        let next = match step {
            WriterStep::Last(_) => {
                self.confirmed = self.confirmed.with(change);
                return;
            }
            WriterStep::Seize { knows, call } => {
                let Command::Seize { nonce: token } = call.command else {
                    unreachable!("this step sends SEIZE");
                };
                match (setup.changes[usize::from(change)], knows) {
                    (Change::PutWith, None) => WriterStep::Future {
                        knows: self.passed,
                        token: Some(token),
                    },
                    (_, knows) => WriterStep::last(Command::Put {
                        knows: knows.unwrap_or(self.passed),
                        token,
                    }),
                }
            }
            WriterStep::Future { .. } => unreachable!("a future is not answered by Redis"),
        };
        let step = next;
        let writer = Writer { change, step };
        self.processes[process].changes.push(writer);
    }

    /// The source is written, and what was written is brought.
    pub(crate) fn future_done(&mut self, setup: &Setup, process: usize, writer: usize) {
        let Writer { change, step } = self.processes[process].changes.remove(writer);
        let WriterStep::Future { knows, token } = step else {
            unreachable!("only a future can be done");
        };
        self.passed = self.passed.with(change);
        let knows = knows.with(change);
        if !is_redis(setup) {
            self.detach(setup, process);
            let mut command = match token {
                Some(token) => Command::Put { knows, token },
                None => Command::Set { knows },
            };
            self.redis.execute(setup, &mut command);
            self.confirmed = self.confirmed.with(change);
            return;
        }
        let step = match token {
            Some(token) => WriterStep::last(Command::Put { knows, token }),
            None => self.seize(Some(knows)),
        };
        let writer = Writer { change, step };
        self.processes[process].changes.push(writer);
    }

    fn detach(&mut self, setup: &Setup, process: usize) {
        if setup.keeps(Rule::Detach)
            && let Some(open) = self.processes[process].open_flight()
        {
            let flight = &mut self.processes[process].flights[open];
            flight.open = false;
            flight.detached = true;
        }
    }

    fn seize(&mut self, knows: Option<Changes>) -> WriterStep {
        let nonce = self.fresh_nonce();
        let call = Call::new(Command::Seize { nonce });
        WriterStep::Seize { knows, call }
    }
}

impl WriterStep {
    fn last(command: Command) -> Self {
        Self::Last(Call::new(command))
    }
}
