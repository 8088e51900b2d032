//! The flight, per key and process: ACQUIRE, the body, STORE.
//!
//! The one rule: **a body's outcome goes to those who joined before that body began; to later ones
//! only with the proof that its token stood.**
//!
//! | phase | event | then |
//! |---|---|---|
//! | Acquire | a value came back | to those who joined before; the rest start over |
//! | Acquire | token / no answer | body with the token / body without one |
//! | Acquire | lock held elsewhere | background: over. Else the old value, if allowed; else wait |
//! | LockHeld | the lock goes, or a value comes / patience is lost | ACQUIRE again / body |
//! | Body | done, or failed | early ones answered. Then close; STORE or RELEASE |
//! | Body | the same, no token | leader and early ones answered; late ones start over |
//! | Store | it stood / it did not, or no answer | late ones answered / start over |
//! | any | leader dropped or panicking | waiters start over |
//!
//! In-process, ACQUIRE is a second look, and STORE is one step with closing the flight; the token is
//! that the flight was still open.

use arrayvec::ArrayVec;

use crate::{
    redis::{Answer, Changes, Command, Lock, Value},
    setup::{OldValues, Rule, Setup},
    world::{Call, Caller, Flight, Stage, Token, Waiter, World, is_redis},
};

impl World {
    /// A caller whose own look found nothing that is an answer.
    pub(crate) fn join(&mut self, setup: &Setup, process: usize, caller: Caller) {
        let here = &mut self.processes[process];
        if let Some(open) = here.open_flight() {
            let early = false;
            here.flights[open].waiters.push(Waiter { early, caller });
        } else {
            self.start_flight(setup, process, Some(caller));
        }
    }

    /// Refreshes an old value, unless somebody here computes it.
    pub(crate) fn run_behind(&mut self, setup: &Setup, process: usize) {
        if self.processes[process].open_flight().is_none() {
            self.start_flight(setup, process, None);
        }
    }

    fn start_flight(&mut self, setup: &Setup, process: usize, lead: Option<Caller>) {
        let flights = &mut self.processes[process].flights;
        flights.push(Flight {
            open: true,
            detached: false,
            background: lead.is_none(),
            unanswered: false,
            lead,
            waiters: ArrayVec::new(),
            shared_old: None,
            stage: Stage::Handed,
        });
        let flight = flights.len() - 1;
        self.begin_attempt(setup, process, flight);
    }

    /// The lead goes on.
    pub(crate) fn begin_attempt(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &mut self.processes[process].flights[flight];
        if !setup.keeps(Rule::OwnStale) {
            it.shared_old = it.lead.as_ref().and_then(|lead| lead.old);
        }
        if it.unanswered || it.lead.as_ref().is_some_and(|lead| lead.spent) {
            self.begin_body(setup, process, flight, None);
        } else {
            self.acquire(setup, process, flight);
        }
    }

    pub(crate) fn acquire(&mut self, setup: &Setup, process: usize, flight: usize) {
        let nonce = self.fresh_nonce();
        let it = &mut self.processes[process].flights[flight];
        it.advance();
        let command = if is_redis(setup) {
            let lock = setup.cluster || it.background;
            Command::Acquire { nonce, lock }
        } else {
            Command::Get
        };
        if !setup.keeps(Rule::AnsweredToken) {
            // Nobody waits for the answer, and the body counts on it.
            let token = Token {
                own: true,
                nonce,
                lock: None,
            };
            self.late.push(command);
            self.begin_body(setup, process, flight, Some(token));
            return;
        }
        it.stage = Stage::Acquire(Call::new(command));
    }

    pub(crate) fn acquire_answered(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        answer: &Answer,
    ) {
        let it = &mut self.processes[process].flights[flight];
        match *answer {
            Answer::Value(Value { knows, old: false }) => {
                self.answer_early(process, flight, knows);
                self.answer_lead(process, flight, knows);
                self.start_over(setup, process, flight, false);
            }
            Answer::Token { own, lock, nonce } => {
                let taken = match lock {
                    Lock::Taken(lock) => Some(lock),
                    Lock::NotAsked | Lock::HeldElsewhere => None,
                };
                let token = Token {
                    own,
                    nonce,
                    lock: taken,
                };
                if lock != Lock::HeldElsewhere || !setup.keeps(Rule::LoserWaits) {
                    self.begin_body(setup, process, flight, Some(token));
                } else if it.background {
                    // The loser does nothing.
                    self.start_over(setup, process, flight, false);
                } else if let Some(old) = it.lead.as_ref().and_then(|lead| lead.old) {
                    self.answer_lead(process, flight, old);
                    self.start_over(setup, process, flight, false);
                } else {
                    it.stage = Stage::LockHeld(token);
                }
            }
            // In-process: nothing there, or nothing fresh.
            _ => self.begin_body(setup, process, flight, None),
        }
    }

    /// Whether one that waits for the lock is woken: the lock has gone, or a value has come.
    pub(crate) fn wakes(&self) -> bool {
        self.redis.lock.is_none() || self.redis.value.is_some_and(|value| !value.old)
    }

    /// Past the wait bound: computes, and may store under the shared token.
    pub(crate) fn lose_patience(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &mut self.processes[process].flights[flight];
        let Stage::LockHeld(token) = &it.stage else {
            unreachable!("only one that waits for the lock can lose patience");
        };
        let token = token.clone();
        self.lost_patience = true;
        self.begin_body(setup, process, flight, Some(token));
    }

    pub(crate) fn begin_body(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        token: Option<Token>,
    ) {
        let it = &mut self.processes[process].flights[flight];
        if setup.uses_lock() && (setup.cluster || it.background) {
            self.only_bodies = 2.min(self.only_bodies + 1);
        }
        it.advance();
        let knows = self.passed;
        it.stage = Stage::Body { token, knows };
    }

    pub(crate) fn body_over(&mut self, setup: &Setup, process: usize, flight: usize, failed: bool) {
        let it = &mut self.processes[process].flights[flight];
        let Stage::Body { token, knows } = &it.stage else {
            unreachable!("only a body can be over");
        };
        let (token, knows) = (token.clone(), *knows);
        if !setup.keeps(Rule::Proof) {
            for waiter in &mut it.waiters {
                waiter.early = true;
            }
        }
        self.outcome_to_early(setup, process, flight, failed, knows);
        let it = &mut self.processes[process].flights[flight];
        if let Some(token) = token {
            // The flight closes before it is asked whether the token stood.
            it.open &= !setup.keeps(Rule::CloseFirst);
            let call = Call::new(if failed {
                Command::Release {
                    mine: token.own,
                    token: token.nonce,
                    lock: token.lock,
                }
            } else {
                Command::Store {
                    knows,
                    token: token.nonce,
                }
            });
            it.stage = Stage::Store {
                failed,
                knows,
                lock: token.lock,
                call,
            };
            if failed {
                // Who led does not wait for the proof that others need.
                self.outcome_to_lead(setup, process, flight, failed, knows);
            }
            return;
        }
        self.outcome_to_lead(setup, process, flight, failed, knows);
        let it = &mut self.processes[process].flights[flight];
        if is_redis(setup) {
            // Every other attempt asks.
            let unanswered = !it.unanswered;
            self.start_over(setup, process, flight, unanswered);
        } else if !it.open {
            self.start_over(setup, process, flight, false);
        } else if failed || setup.keeps(Rule::OneLock) {
            if !failed {
                let command = &mut Command::Set { knows };
                self.redis.execute(setup, command);
            }
            self.outcome_to_all(setup, process, flight, failed, knows);
        } else {
            it.open = false;
            let call = Call::new(Command::Set { knows });
            it.stage = Stage::Store {
                failed,
                knows,
                lock: None,
                call,
            };
        }
    }

    /// `stood`: whether the token did; `None`: no answer.
    pub(crate) fn store_answered(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        stood: Option<bool>,
    ) {
        let it = &self.processes[process].flights[flight];
        let Stage::Store { failed, knows, .. } = it.stage else {
            unreachable!("only STORE and RELEASE are answered so");
        };
        if stood == Some(true) {
            self.outcome_to_all(setup, process, flight, failed, knows);
        } else {
            self.outcome_to_lead(setup, process, flight, failed, knows);
            self.start_over(setup, process, flight, stood.is_none());
        }
    }

    /// The leader's future is gone, or its body has panicked.
    pub(crate) fn lead_dropped(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &mut self.processes[process].flights[flight];
        it.lead = None;
        let stage = std::mem::replace(&mut it.stage, Stage::Handed);
        if let Some(call) = stage.call() {
            self.give_up(call);
        }
        let inherited = inherited(setup, stage);
        let heirs = !self.processes[process].flights[flight].waiters.is_empty();
        self.start_over(setup, process, flight, false);
        if heirs && inherited.is_some() {
            self.begin_body(setup, process, flight, inherited);
        }
    }

    /// With a stale value at hand, and a body that takes long.
    pub(crate) fn lead_answers_old(&mut self, process: usize, flight: usize) {
        let it = &self.processes[process].flights[flight];
        if let Some(old) = it.lead.as_ref().and_then(|lead| lead.old) {
            self.answer_lead(process, flight, old);
        }
    }

    pub(crate) fn waiter_answers_old(&mut self, process: usize, flight: usize, waiter: usize) {
        let it = &mut self.processes[process].flights[flight];
        let caller = it.waiters.remove(waiter).caller;
        if let Some(old) = caller.old.or(it.shared_old) {
            self.sees(&caller, old);
        }
    }

    /// Ends an attempt for those who still wait: one of them leads the next.
    fn start_over(&mut self, setup: &Setup, process: usize, flight: usize, unanswered: bool) {
        let here = &mut self.processes[process];
        if here.flights[flight].waiters.is_empty() {
            here.flights.remove(flight);
            return;
        }
        let none_open = here.open_flight().is_none();
        if setup.follow && !here.flights[flight].open && !none_open {
            let left = here.flights.remove(flight);
            for waiter in left.waiters {
                self.join(setup, process, waiter.caller);
            }
            return;
        }
        let it = &mut here.flights[flight];
        // New callers may join what follows, unless another flight took this one's place.
        if none_open {
            it.open = true;
            it.detached = false;
        }
        it.lead = Some(it.waiters.remove(0).caller);
        it.background = false;
        it.unanswered = unanswered && is_redis(setup);
        it.shared_old = None;
        it.stage = Stage::Handed;
        for waiter in &mut it.waiters {
            waiter.early = false;
        }
    }

    fn answer_early(&mut self, process: usize, flight: usize, knows: Changes) {
        for caller in self.take_early(process, flight) {
            self.sees(&caller, knows);
        }
    }

    fn answer_lead(&mut self, process: usize, flight: usize, knows: Changes) {
        if let Some(lead) = self.processes[process].flights[flight].lead.take() {
            self.sees(&lead, knows);
        }
    }

    fn take_early(&mut self, process: usize, flight: usize) -> Vec<Caller> {
        let waiters = &mut self.processes[process].flights[flight].waiters;
        let (early, late): (Vec<_>, Vec<_>) =
            std::mem::take(waiters).into_iter().partition(|it| it.early);
        waiters.extend(late);
        early.into_iter().map(|waiter| waiter.caller).collect()
    }

    fn outcome_to_early(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        failed: bool,
        knows: Changes,
    ) {
        for caller in self.take_early(process, flight) {
            self.outcome_to(setup, process, flight, &caller, failed, knows);
        }
    }

    fn outcome_to_lead(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        failed: bool,
        knows: Changes,
    ) {
        if let Some(lead) = self.processes[process].flights[flight].lead.take() {
            self.outcome_to(setup, process, flight, &lead, failed, knows);
        }
    }

    /// With the proof; ends the flight.
    fn outcome_to_all(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        failed: bool,
        knows: Changes,
    ) {
        self.outcome_to_lead(setup, process, flight, failed, knows);
        for waiter in &mut self.processes[process].flights[flight].waiters {
            waiter.early = true;
        }
        self.outcome_to_early(setup, process, flight, failed, knows);
        self.processes[process].flights.remove(flight);
    }

    /// A body's outcome; in the place of an `Err` the old value, if that is allowed.
    fn outcome_to(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        caller: &Caller,
        failed: bool,
        knows: Changes,
    ) {
        let shared_old = self.processes[process].flights[flight].shared_old;
        let old = caller.old.or(shared_old);
        if failed
            && setup.old_values == OldValues::IfError
            && let Some(old) = old
        {
            self.sees(caller, old);
        } else {
            self.sees(caller, knows);
        }
    }
}

impl Flight {
    /// `n` + 1: whoever has joined by now joined before what follows.
    fn advance(&mut self) {
        for waiter in &mut self.waiters {
            waiter.early = true;
        }
    }
}

/// What a takeover could use instead of asking anew; only where a rule is left out.
fn inherited(setup: &Setup, stage: Stage) -> Option<Token> {
    let answered = !matches!(&stage, Stage::Acquire(call) if call.answer.is_none());
    let rule = if answered {
        Rule::OwnToken
    } else {
        Rule::OwnNonce
    };
    if setup.keeps(rule) {
        return None;
    }
    let only = |nonce| Token {
        own: true,
        nonce,
        lock: None,
    };
    match stage {
        Stage::Handed => None,
        Stage::Acquire(call) => match (call.answer, call.command) {
            (Some(Answer::Token { nonce, .. }), _) | (None, Command::Acquire { nonce, .. }) => {
                Some(only(nonce))
            }
            _ => None,
        },
        Stage::LockHeld(token) => Some(token),
        Stage::Body { token, .. } => token,
        Stage::Store { call, .. } => match call.command {
            Command::Store { token, .. } | Command::Release { token, .. } => Some(only(token)),
            _ => None,
        },
    }
}
