//! Everything that is true at one instant.
//!
//! The one rule: **two worlds that differ only in names are one**: in who is called process 1, in
//! what a nonce reads, in what callers are called. Only [`World::canonical`] knows that; everything
//! else uses the names.

use arrayvec::ArrayVec;

use crate::{
    redis::{Answer, Changes, Command, First, Lock, Nonce, Redis, Value, Wish},
    setup::{AtFirst, Setup, Store},
};

pub(crate) const PROCESSES: usize = 3;
pub(crate) const CALLERS: usize = 4;
const READS: usize = CALLERS;
const FLIGHTS: usize = 4;
const CHANGES: usize = 3;
const LATE: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct World {
    /// In-process, only its value is used.
    pub(crate) redis: Redis,
    /// Commands on their way whose senders have gone, or have sent them again.
    pub(crate) late: ArrayVec<Command, LATE>,
    pub(crate) processes: ArrayVec<Process, PROCESSES>,
    pub(crate) callers_to_come: u8,
    pub(crate) faults_left: u8,
    pub(crate) changes_begun: u8,
    /// What a body that begins now takes into account.
    pub(crate) passed: Changes,
    /// What whoever comes now must not be kept from seeing.
    pub(crate) confirmed: Changes,
    /// Somebody saw a value that does not take into account what was confirmed before.
    pub(crate) saw_too_old: bool,
    /// One that waited for another process has lost patience.
    pub(crate) lost_patience: bool,
    /// Bodies begun that should have been the only one, up to 2.
    pub(crate) only_bodies: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Process {
    pub(crate) alive: bool,
    /// GETs under way.
    pub(crate) reads: ArrayVec<Read, READS>,
    /// Those who came after these were sent.
    pub(crate) queued: ArrayVec<Caller, CALLERS>,
    pub(crate) flights: ArrayVec<Flight, FLIGHTS>,
    pub(crate) changes: ArrayVec<Writer, CHANGES>,
    pub(crate) name: u8,
}

/// One call of the annotated function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller {
    /// What was confirmed before it came.
    pub(crate) needs: Changes,
    /// The old value that its own GET brought.
    pub(crate) old: Option<Changes>,
    /// One of its operations timed out: it makes no other.
    pub(crate) spent: bool,
    /// It came while there was a value that would have answered it, and that stays.
    pub(crate) warm: bool,
    pub(crate) name: u8,
}

/// A command that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Call {
    /// `None`: not executed yet.
    pub(crate) answer: Option<Answer>,
    /// Once only.
    pub(crate) sent_again: bool,
    pub(crate) command: Command,
}

/// A GET, and those who share it; the first of them sent it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Read {
    pub(crate) call: Call,
    pub(crate) callers: ArrayVec<Caller, CALLERS>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Flight {
    /// New callers find it.
    pub(crate) open: bool,
    /// A change took it from them.
    pub(crate) detached: bool,
    /// Why it runs behind the call that began it.
    pub(crate) behind: Option<Behind>,
    /// The store did not answer the attempt before this one.
    pub(crate) unanswered: bool,
    /// Whose future leads it; `None`: a background run, or the caller has been answered.
    pub(crate) lead: Option<Caller>,
    pub(crate) waiters: ArrayVec<Waiter, CALLERS>,
    /// The leader's wish for the lock.
    pub(crate) wish: Option<Wish>,
    /// The leader's old value; only where the rule is left out that keeps it to itself.
    pub(crate) shared_old: Option<Changes>,
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Behind {
    /// The value is old; the call was answered.
    Refresh,
    /// The call waits among the others, but not for ever.
    SoftTimeout,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Waiter {
    /// It joined before the latest ACQUIRE was sent or the latest body began, whichever came last:
    /// all that its `n` is ever compared for.
    pub(crate) early: bool,
    pub(crate) caller: Caller,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    /// A waiter has the lead in its hands, and has not gone on yet.
    Handed,
    /// In-process: the second look.
    Acquire(Call),
    /// The lock is held elsewhere, by this one.
    Locked(Nonce),
    Body {
        token: Option<Token>,
        knows: Changes,
    },
    /// STORE or RELEASE. In-process only where a rule is left out.
    Store {
        failed: bool,
        knows: Changes,
        call: Call,
    },
}

/// The right to store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    pub(crate) own: bool,
    pub(crate) nonce: Nonce,
    /// The lock that was taken with it.
    pub(crate) lock: Option<Nonce>,
}

/// A call of `invalidate`, `put` or `put_with`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Writer {
    /// Its place in the order in which they begin.
    pub(crate) change: u8,
    pub(crate) step: WriterStep,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WriterStep {
    /// Asks for a token of its own; `knows`: of a future that has run already.
    Seize { knows: Option<Changes>, call: Call },
    /// The future of `put_with`.
    Future {
        knows: Changes,
        token: Option<Nonce>,
    },
    /// PUT or INVALIDATE.
    Last(Call),
}

/// Whose command it is: positions in the lists of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Read(usize, usize),
    Flight(usize, usize),
    Writer(usize, usize),
}

impl World {
    pub(crate) fn at_first(setup: &Setup, at_first: AtFirst) -> Self {
        let value = |old| Value {
            knows: Changes::default(),
            old,
        };
        Self {
            redis: Redis {
                value: match at_first {
                    AtFirst::Nothing => None,
                    AtFirst::Fresh => Some(value(false)),
                    AtFirst::Old => Some(value(true)),
                },
                ..Redis::default()
            },
            late: ArrayVec::new(),
            processes: (0..setup.processes).map(Process::new).collect(),
            callers_to_come: setup.callers,
            faults_left: setup.faults,
            changes_begun: 0,
            passed: Changes::default(),
            confirmed: Changes::default(),
            saw_too_old: false,
            lost_patience: false,
            only_bodies: 0,
        }
    }

    pub(crate) fn call(&self, place: Place) -> Option<&Call> {
        match place {
            Place::Read(process, read) => Some(&self.processes[process].reads[read].call),
            Place::Flight(process, flight) => self.processes[process].flights[flight].stage.call(),
            Place::Writer(process, writer) => self.processes[process].changes[writer].step.call(),
        }
    }

    pub(crate) fn call_mut(&mut self, place: Place) -> &mut Call {
        let call = match place {
            Place::Read(process, read) => Some(&mut self.processes[process].reads[read].call),
            Place::Flight(process, flight) => {
                self.processes[process].flights[flight].stage.call_mut()
            }
            Place::Writer(process, writer) => {
                self.processes[process].changes[writer].step.call_mut()
            }
        };
        call.expect("only a place that has sent a command is asked for it")
    }

    /// Every place that waits for an answer, or could.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.processes.iter().enumerate().flat_map(|(p, process)| {
            let reads = (0..process.reads.len()).map(move |read| Place::Read(p, read));
            let flights = (0..process.flights.len()).map(move |flight| Place::Flight(p, flight));
            let writers = (0..process.changes.len()).map(move |writer| Place::Writer(p, writer));
            reads.chain(flights).chain(writers)
        })
    }

    /// A call that nobody waits for any more: what was sent may still be executed.
    pub(crate) fn give_up(&mut self, call: &Call) {
        if call.answer.is_none() && !call.command.only_reads() {
            let mut command = call.command.clone();
            self.put_side_by_side(&mut command);
            self.late.push(command);
        }
    }

    /// A plain `put` is not ordered with what is called before it is over: so a `put` in one step
    /// takes that into account, like one in two.
    pub(crate) fn put_side_by_side(&self, command: &mut Command) {
        if let Command::Set { knows } = command {
            *knows = self.passed;
        }
    }

    /// Somebody is handed a value, or an `Err`.
    pub(crate) fn sees(&mut self, caller: &Caller, knows: Changes) {
        if !knows.contains(caller.needs) {
            self.saw_too_old = true;
        }
    }

    /// Whether the lock's holder lives and renews it, or will as soon as it has its answer.
    pub(crate) fn lock_is_renewed(&self) -> bool {
        let mut flights = self.processes.iter().flat_map(|process| &process.flights);
        flights.any(|flight| {
            let holder = match &flight.stage {
                Stage::Handed | Stage::Locked(_) => None,
                Stage::Acquire(_) => flight.wish.map(|wish| wish.holder),
                Stage::Body { token, .. } => token.as_ref().and_then(|token| token.lock),
                Stage::Store { call, .. } => match call.command {
                    Command::Store { lock, .. } | Command::Release { lock, .. } => lock,
                    _ => None,
                },
            };
            self.redis.is_held(holder)
        })
    }

    /// A nonce that nothing in the world remembers.
    pub(crate) fn fresh_nonce(&mut self) -> Nonce {
        let mut used = 0_u32;
        self.for_each_nonce(&mut |nonce| used |= 1 << nonce.0);
        Nonce(used.trailing_ones() as u8)
    }

    /// Forgets late commands that can do nothing, whenever they are executed: those that only read, and
    /// those that compare with a token which is gone, and which no command that was not executed yet
    /// would bring back.
    pub(crate) fn forget_void(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let may_do_something = |command: &&Command| match **command {
            Command::Store { token, .. } | Command::Release { token, .. } => {
                self.redis.token == Some(token) || self.is_asked_for(token)
            }
            _ => !command.only_reads(),
        };
        self.late = self.late.iter().filter(may_do_something).cloned().collect();
    }

    /// Whether a command that was not executed yet would set this token.
    fn is_asked_for(&self, token: Nonce) -> bool {
        self.late.iter().any(|command| command.sets(token))
            || self.places().any(|place| {
                self.call(place)
                    .is_some_and(|call| call.answer.is_none() && call.command.sets(token))
            })
    }

    /// The same world under the names that all its likes have.
    pub(crate) fn canonical(&self) -> Self {
        let mut world = self.clone();
        for process in &mut world.processes {
            process.name = 0;
            let waiting = process.flights.iter_mut().flat_map(|flight| {
                let waiters = flight.waiters.iter_mut().map(|waiter| &mut waiter.caller);
                flight.lead.iter_mut().chain(waiters)
            });
            let reading = process.reads.iter_mut().flat_map(|read| &mut read.callers);
            for caller in reading.chain(&mut process.queued).chain(waiting) {
                caller.name = 0;
            }
            process.reads.sort_unstable();
            process.flights.sort_unstable();
            process.changes.sort_unstable();
        }
        world.processes.sort_unstable();
        world.late.sort_unstable();
        let mut names = [u8::MAX; 32];
        let mut next = 0;
        world.for_each_nonce(&mut |nonce| {
            let name = &mut names[usize::from(nonce.0)];
            if *name == u8::MAX {
                *name = next;
                next += 1;
            }
            nonce.0 = *name;
        });
        world
    }

    fn for_each_nonce(&mut self, visit: &mut impl FnMut(&mut Nonce)) {
        self.redis.token.iter_mut().for_each(&mut *visit);
        if let Some(Lock::Held(holder)) = &mut self.redis.lock {
            visit(holder);
        }
        for command in &mut self.late {
            command.for_each_nonce(visit);
        }
        for process in &mut self.processes {
            for flight in &mut process.flights {
                if let Some(wish) = &mut flight.wish {
                    visit(&mut wish.holder);
                }
                match &mut flight.stage {
                    Stage::Handed | Stage::Body { token: None, .. } => {}
                    Stage::Acquire(call) | Stage::Store { call, .. } => call.for_each_nonce(visit),
                    Stage::Locked(holder) => visit(holder),
                    Stage::Body {
                        token: Some(token), ..
                    } => {
                        visit(&mut token.nonce);
                        token.lock.iter_mut().for_each(&mut *visit);
                    }
                }
            }
            for writer in &mut process.changes {
                match &mut writer.step {
                    WriterStep::Seize { call, .. } | WriterStep::Last(call) => {
                        call.for_each_nonce(visit);
                    }
                    WriterStep::Future { token, .. } => token.iter_mut().for_each(&mut *visit),
                }
            }
        }
    }
}

impl Process {
    fn new(name: u8) -> Self {
        Self {
            alive: true,
            reads: ArrayVec::new(),
            queued: ArrayVec::new(),
            flights: ArrayVec::new(),
            changes: ArrayVec::new(),
            name,
        }
    }

    /// The flight that new callers find.
    pub(crate) fn open_flight(&self) -> Option<usize> {
        self.flights.iter().position(|flight| flight.open)
    }
}

impl Call {
    pub(crate) fn new(command: Command) -> Self {
        Self {
            answer: None,
            sent_again: false,
            command,
        }
    }

    fn for_each_nonce(&mut self, visit: &mut impl FnMut(&mut Nonce)) {
        self.command.for_each_nonce(visit);
        if let Some(Answer::Token { nonce, .. } | Answer::Locked(nonce)) = &mut self.answer {
            visit(nonce);
        }
    }
}

impl Command {
    fn for_each_nonce(&mut self, visit: &mut impl FnMut(&mut Nonce)) {
        match self {
            Self::Get | Self::Set { .. } | Self::Invalidate { .. } => {}
            Self::Acquire { nonce, wish } => {
                visit(nonce);
                if let Some(wish) = wish {
                    visit(&mut wish.holder);
                }
            }
            Self::Take { nonce, first } => {
                visit(nonce);
                if let Some(First::Token { nonce, .. }) = first {
                    visit(nonce);
                }
            }
            Self::Seize { nonce } => visit(nonce),
            Self::Put { token, .. } => visit(token),
            Self::Store { token, lock, .. } | Self::Release { token, lock, .. } => {
                visit(token);
                lock.iter_mut().for_each(visit);
            }
        }
    }
}

impl Stage {
    pub(crate) fn call(&self) -> Option<&Call> {
        match self {
            Self::Acquire(call) | Self::Store { call, .. } => Some(call),
            Self::Handed | Self::Locked(_) | Self::Body { .. } => None,
        }
    }

    fn call_mut(&mut self) -> Option<&mut Call> {
        match self {
            Self::Acquire(call) | Self::Store { call, .. } => Some(call),
            Self::Handed | Self::Locked(_) | Self::Body { .. } => None,
        }
    }
}

impl WriterStep {
    fn call(&self) -> Option<&Call> {
        match self {
            Self::Seize { call, .. } | Self::Last(call) => Some(call),
            Self::Future { .. } => None,
        }
    }

    fn call_mut(&mut self) -> Option<&mut Call> {
        match self {
            Self::Seize { call, .. } | Self::Last(call) => Some(call),
            Self::Future { .. } => None,
        }
    }
}

pub(crate) fn is_redis(setup: &Setup) -> bool {
    setup.store == Store::Redis
}
