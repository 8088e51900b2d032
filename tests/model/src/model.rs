//! What can happen next, as stateright asks for it.
//!
//! The one rule: **whatever can happen may happen at any time, in any order**: nothing here knows of
//! fairness or of speed. What goes wrong is counted, so that the search ends.

use std::hash::{Hash, Hasher};

use stateright::Model;

use crate::{
    properties::Property,
    redis::{Answer, Command},
    setup::{AtFirst, Lead, OldValues, Rule, Setup},
    world::{Call, Place, Stage, World, WriterStep, is_redis},
};

/// A setup, and what is asked of it.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) setup: Setup,
    pub(crate) properties: Vec<Property>,
}

/// A world, told from others by what is the same under all names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State(pub(crate) World);

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.canonical().hash(state);
    }
}

/// What can happen. Numbers are positions in lists: of processes, of a process's flights, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A caller comes to this process.
    Arrive(usize),
    /// A caller comes to this process, and leads a flight at once: its ACQUIRE is its read.
    ArriveLeading(usize),
    /// `invalidate`, `put` or `put_with` is called in this process.
    BeginChange(usize),
    /// The store executes what was sent.
    Execute(Place),
    /// The answer arrives.
    Answer(Place),
    /// A command that nobody waits for is executed.
    ExecuteLate(usize),
    /// A waiter that was handed the lead goes on.
    GoOn(usize, usize),
    BodyDone(usize, usize),
    FutureDone(usize, usize),
    /// One that waits for another process's lock is woken.
    Wake(usize, usize),
    LosePatience(usize, usize),
    /// The body takes long, and an old value is in hand.
    AnswerOld(usize, usize, usize),
    /// Nobody renewed it.
    LockExpires,
    Fault(Fault),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client gives the command up; it may still be executed, and its answer is lost.
    TimeOut(Place),
    /// The connection breaks: the command is sent again, and the first one may still be executed.
    SendAgain(Place),
    /// The future is dropped, or its body panics.
    Drop(Place),
    BodyFails(usize, usize),
    /// Redis has no room for the value.
    NoRoom(Place),
    /// The process is killed.
    Kill(usize),
    TokenExpires,
    /// Though somebody renews it: too late.
    LockExpires,
    /// The value passes its ttl.
    ValueAges,
    /// The value is gone.
    ValueExpires,
}

impl Action {
    /// Whether this happens by itself sooner or later, if nothing goes wrong any more.
    pub(crate) fn is_progress(self) -> bool {
        match self {
            Self::Execute(_)
            | Self::Answer(_)
            | Self::GoOn(..)
            | Self::BodyDone(..)
            | Self::FutureDone(..)
            | Self::Wake(..)
            | Self::LosePatience(..)
            | Self::AnswerOld(..)
            | Self::LockExpires => true,
            Self::Arrive(_)
            | Self::ArriveLeading(_)
            | Self::BeginChange(_)
            | Self::ExecuteLate(_)
            | Self::Fault(_) => false,
        }
    }
}

impl Protocol {
    fn steps(&self, world: &World, actions: &mut Vec<Action>) {
        let setup = &self.setup;
        for (p, process) in world.processes.iter().enumerate() {
            if !process.alive {
                continue;
            }
            if world.callers_to_come > 0 {
                let alone = process.open_flight().is_none() || !setup.keeps(Rule::NobodyLeads);
                let may_lead = setup.acquire_reads() && alone;
                if !may_lead || setup.lead == Lead::Either {
                    actions.push(Action::Arrive(p));
                }
                if may_lead {
                    actions.push(Action::ArriveLeading(p));
                }
            }
            if usize::from(world.changes_begun) < setup.changes.len() {
                actions.push(Action::BeginChange(p));
            }
            for (f, flight) in process.flights.iter().enumerate() {
                match flight.stage {
                    Stage::Handed => actions.push(Action::GoOn(p, f)),
                    Stage::Body { .. } => actions.push(Action::BodyDone(p, f)),
                    Stage::Locked(holder) => {
                        if !world.redis.is_held(Some(holder)) {
                            actions.push(Action::Wake(p, f));
                        }
                        if setup.impatient {
                            actions.push(Action::LosePatience(p, f));
                        }
                    }
                    Stage::Acquire(_) | Stage::Store { .. } => {}
                }
                if setup.old_values == OldValues::SoftTimeout {
                    for (w, waiter) in flight.waiters.iter().enumerate() {
                        if waiter.caller.old.or(flight.shared_old).is_some() {
                            actions.push(Action::AnswerOld(p, f, w));
                        }
                    }
                }
            }
            for (w, writer) in process.changes.iter().enumerate() {
                if matches!(writer.step, WriterStep::Future { .. }) {
                    actions.push(Action::FutureDone(p, w));
                }
            }
        }
        for place in world.places() {
            match world.call(place).map(|call| &call.answer) {
                Some(None) => actions.push(Action::Execute(place)),
                Some(Some(_)) => actions.push(Action::Answer(place)),
                None => {}
            }
        }
        actions.extend((0..world.late.len()).map(Action::ExecuteLate));
        let abandoned = world.redis.lock.is_some() && !world.lock_is_renewed();
        if abandoned && setup.keeps(Rule::LockExpires) {
            actions.push(Action::LockExpires);
        }
    }

    fn faults(&self, world: &World, actions: &mut Vec<Action>) {
        let setup = &self.setup;
        let mut push = |fault| actions.push(Action::Fault(fault));
        for place in world.places() {
            let call = world.call(place);
            if let Some(call) = call
                && is_redis(setup)
            {
                push(Fault::TimeOut(place));
                if !call.sent_again && may_be_sent_again(&call.command) {
                    push(Fault::SendAgain(place));
                }
                if call.answer.is_none() && matches!(call.command, Command::Store { .. }) {
                    push(Fault::NoRoom(place));
                }
            }
            push(Fault::Drop(place));
        }
        for (p, process) in world.processes.iter().enumerate() {
            for (f, flight) in process.flights.iter().enumerate() {
                if matches!(flight.stage, Stage::Body { .. }) {
                    push(Fault::BodyFails(p, f));
                }
            }
            if process.alive && world.processes.len() > 1 {
                push(Fault::Kill(p));
            }
        }
        if world.redis.token.is_some() {
            push(Fault::TokenExpires);
        }
        if world.redis.lock.is_some() && world.lock_is_renewed() {
            push(Fault::LockExpires);
        }
        if let Some(value) = world.redis.value {
            if !value.old && setup.old_values != OldValues::Gone {
                push(Fault::ValueAges);
            }
            push(Fault::ValueExpires);
        }
    }

    fn happen(&self, world: &mut World, action: Action) {
        let setup = &self.setup;
        match action {
            Action::Arrive(p) => world.arrive(setup, p),
            Action::ArriveLeading(p) => world.arrive_leading(setup, p),
            Action::BeginChange(p) => world.begin_change(setup, p),
            Action::Execute(place) => {
                let mut call = world.call_mut(place).clone();
                if is_redis(setup) {
                    world.put_side_by_side(&mut call.command);
                }
                call.answer = world.redis.execute(setup, &mut call.command);
                *world.call_mut(place) = call;
            }
            Action::Answer(place) => answered(setup, world, place),
            Action::ExecuteLate(i) => {
                if world.redis.execute(setup, &mut world.late[i]).is_some() {
                    world.late.remove(i);
                }
            }
            Action::GoOn(p, f) => world.begin_attempt(setup, p, f),
            Action::BodyDone(p, f) => world.body_over(setup, p, f, false),
            Action::FutureDone(p, w) => world.future_done(setup, p, w),
            Action::Wake(p, f) => world.wake(setup, p, f),
            Action::LosePatience(p, f) => world.lose_patience(setup, p, f),
            Action::AnswerOld(p, f, w) => world.waiter_answers_old(p, f, w),
            Action::LockExpires => world.redis.lock = None,
            Action::Fault(fault) => {
                world.faults_left -= 1;
                self.go_wrong(world, fault);
            }
        }
        world.forget_void();
    }

    fn go_wrong(&self, world: &mut World, fault: Fault) {
        let setup = &self.setup;
        match fault {
            Fault::TimeOut(place) => {
                let call = world.call_mut(place).clone();
                world.give_up(&call);
                match place {
                    Place::Read(p, r) => world.read_unanswered(setup, p, r),
                    Place::Flight(p, f) => match call.command {
                        Command::Store { .. } | Command::Release { .. } => {
                            world.store_answered(setup, p, f, None);
                        }
                        _ => world.acquire_unanswered(setup, p, f),
                    },
                    Place::Writer(p, w) => drop(world.processes[p].changes.remove(w)),
                }
            }
            Fault::SendAgain(place) => {
                let call = world.call_mut(place).clone();
                world.give_up(&call);
                let mut command = call.command;
                match &mut command {
                    Command::Acquire { nonce, .. } if setup.keeps(Rule::FreshNonce) => {
                        *nonce = world.fresh_nonce();
                    }
                    Command::Take { nonce, first } => {
                        *first = None;
                        if setup.keeps(Rule::FreshNonce) {
                            *nonce = world.fresh_nonce();
                        }
                    }
                    Command::Invalidate { done } => *done = 0,
                    _ => {}
                }
                *world.call_mut(place) = Call {
                    answer: None,
                    sent_again: true,
                    command,
                };
            }
            Fault::Drop(place) => match place {
                Place::Read(p, r) => drop(world.read_dropped(p, r)),
                Place::Flight(p, f) => world.lead_dropped(setup, p, f),
                Place::Writer(p, w) => {
                    let writer = world.processes[p].changes.remove(w);
                    if let WriterStep::Seize { call, .. } | WriterStep::Last(call) = writer.step {
                        world.give_up(&call);
                    }
                }
            },
            Fault::BodyFails(p, f) => world.body_over(setup, p, f, true),
            Fault::NoRoom(place) => {
                let Command::Store { token, lock, .. } = world.call_mut(place).command else {
                    unreachable!("only a STORE needs room");
                };
                world.call_mut(place).answer = Some(world.redis.store_without_room(token, lock));
            }
            Fault::Kill(p) => {
                let calls: Vec<_> = world
                    .places()
                    .filter(|place| place.process() == p)
                    .filter_map(|place| world.call(place).cloned())
                    .collect();
                for call in calls {
                    world.give_up(&call);
                }
                let process = &mut world.processes[p];
                process.alive = false;
                process.reads.clear();
                process.queued.clear();
                process.flights.clear();
                process.changes.clear();
            }
            Fault::TokenExpires => world.redis.token = None,
            Fault::LockExpires => world.redis.lock = None,
            Fault::ValueAges => {
                if let Some(value) = &mut world.redis.value {
                    value.old = true;
                }
            }
            Fault::ValueExpires => world.redis.value = None,
        }
    }
}

fn answered(setup: &Setup, world: &mut World, place: Place) {
    match place {
        Place::Read(p, r) => world.read_answered(setup, p, r),
        Place::Writer(p, w) => world.writer_answered(setup, p, w),
        Place::Flight(p, f) => {
            let call = world.call_mut(place);
            let answer = call.answer.clone().expect("it has been executed");
            match call.command {
                Command::Store { .. } | Command::Release { .. } | Command::Set { .. } => {
                    let stood = matches!(answer, Answer::Stood(true) | Answer::Done);
                    world.store_answered(setup, p, f, Some(stood));
                }
                _ => world.acquire_answered(setup, p, f, &answer),
            }
        }
    }
}

/// Reads, deletes and compared stores; ACQUIRE, whose nonce is fresh each time.
fn may_be_sent_again(command: &Command) -> bool {
    !matches!(command, Command::Seize { .. } | Command::Set { .. })
}

impl Place {
    pub(crate) fn process(self) -> usize {
        match self {
            Self::Read(process, _) | Self::Flight(process, _) | Self::Writer(process, _) => process,
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let at_first = |&at_first: &AtFirst| State(World::at_first(&self.setup, at_first));
        self.setup.at_first.iter().map(at_first).collect()
    }

    fn actions(&self, State(world): &State, actions: &mut Vec<Action>) {
        // Nobody is left who could see anything, or the worst has happened.
        if world.is_over() || world.saw_too_old {
            return;
        }
        self.steps(world, actions);
        if world.faults_left > 0 {
            self.faults(world, actions);
        }
    }

    fn next_state(&self, State(world): &State, action: Action) -> Option<State> {
        let mut world = world.clone();
        self.happen(&mut world, action);
        Some(State(world))
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        self.properties.iter().map(|it| it.checked()).collect()
    }
}
