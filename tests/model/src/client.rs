//! A caller, from its call to its flight.
//!
//! The one rule: **a GET's answer belongs to the callers that came before it was sent, and only
//! those whom it brought nothing join a flight.**
//!
//! | event | then |
//! |---|---|
//! | a caller comes | its own GET; or it waits for the next one, if as many as may be are under way |
//! | a caller comes, and no flight is open | the same, or it leads a flight at once: its ACQUIRE is its read |
//! | own GET hits / misses | answer / join the flight, else lead a new one |
//! | own GET brings an old value | answer and run behind / go on with the value in hand |
//! | no answer / its sender gone | it goes on without the store / one of those who share it asks |
//!
//! Those who share a GET go on at one instant.

use arrayvec::ArrayVec;

use crate::{
    redis::{Answer, Command, Value},
    setup::{OldValues, Rule, Setup},
    world::{Call, Caller, Read, Waiter, World, is_redis},
};

impl World {
    pub(crate) fn arrive(&mut self, setup: &Setup, process: usize) {
        let caller = self.new_caller(setup);
        let here = &mut self.processes[process];
        if !setup.keeps(Rule::OwnMiss)
            && let Some(flight) = here.open_flight()
        {
            let early = false;
            here.flights[flight].waiters.push(Waiter { early, caller });
            return;
        }
        if !setup.keeps(Rule::OwnRead)
            && let Some(read) = here.reads.last_mut()
        {
            read.callers.push(caller);
            return;
        }
        // In-process everybody looks for himself.
        if is_redis(setup) && here.reads.len() == usize::from(setup.reads) {
            here.queued.push(caller);
            return;
        }
        self.send_read(process, ArrayVec::from_iter([caller]));
    }

    /// A caller comes, and ACQUIRE is its read.
    pub(crate) fn arrive_leading(&mut self, setup: &Setup, process: usize) {
        let caller = self.new_caller(setup);
        self.start_flight(setup, process, Some(caller));
    }

    fn new_caller(&mut self, setup: &Setup) -> Caller {
        let name = setup.callers - self.callers_to_come;
        self.callers_to_come -= 1;
        let revalidate = setup.old_values == OldValues::WhileRevalidate;
        let answers = |value: Value| !value.old || revalidate;
        Caller {
            needs: self.confirmed,
            old: None,
            spent: false,
            warm: setup.values_stay() && self.redis.value.is_some_and(answers),
            name,
        }
    }

    pub(crate) fn read_answered(&mut self, setup: &Setup, process: usize, read: usize) {
        let Read { call, callers } = self.processes[process].reads.remove(read);
        let value = match call.answer {
            Some(Answer::Value(value)) => Some(value),
            _ => None,
        };
        let revalidate = setup.old_values == OldValues::WhileRevalidate;
        match value {
            Some(value) if !value.old || revalidate => {
                for caller in &callers {
                    self.sees(caller, value.knows);
                }
                if value.old {
                    self.run_behind(setup, process);
                }
            }
            _ => {
                for mut caller in callers {
                    caller.old = value.map(|value| value.knows);
                    if caller.old.is_some() && setup.old_values == OldValues::SoftTimeout {
                        self.join_for_a_while(setup, process, caller);
                    } else {
                        self.join(setup, process, caller);
                    }
                }
            }
        }
        self.read_next(process);
    }

    /// The caller that sent it gave up the store, and its batch did not.
    pub(crate) fn read_unanswered(&mut self, setup: &Setup, process: usize, read: usize) {
        let mut caller = self.read_dropped(process, read);
        caller.spent = true;
        self.join(setup, process, caller);
    }

    /// The caller that sent it is gone: the next of its batch sends one.
    pub(crate) fn read_dropped(&mut self, process: usize, read: usize) -> Caller {
        let mut read = self.processes[process].reads.remove(read);
        let sender = read.callers.remove(0);
        if read.callers.is_empty() {
            self.read_next(process);
        } else {
            self.send_read(process, read.callers);
        }
        sender
    }

    fn read_next(&mut self, process: usize) {
        let queued = std::mem::take(&mut self.processes[process].queued);
        if !queued.is_empty() {
            self.send_read(process, queued);
        }
    }

    fn send_read(&mut self, process: usize, callers: ArrayVec<Caller, { crate::world::CALLERS }>) {
        let call = Call::new(Command::Get);
        self.processes[process].reads.push(Read { call, callers });
    }
}
