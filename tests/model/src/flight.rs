//! The flight, per key and process: ACQUIRE, the body, STORE.
//!
//! The one rule: **a body's outcome goes to those who joined before that body began; to later ones
//! only with the proof that its token stood.**
//!
//! | phase | event | then |
//! |---|---|---|
//! | Acquire | a value came back | to those who joined before; the rest start over |
//! | Acquire | an old value came back that nobody has seen | ACQUIRE again, which says what was seen |
//! | Acquire | token / no answer | body with the token / body without one |
//! | Acquire | lock held elsewhere | behind: over. Else the old value, if allowed; else wait |
//! | Locked | the lock changes / patience is lost | ACQUIRE again / the same without the lock |
//! | Body | done, or failed | early ones answered. Then the attempt closes; STORE or RELEASE |
//! | Body | the same, no token | leader and early ones answered; late ones start over |
//! | Store | it stood | those who joined before it was sent answered; the rest start over |
//! | Store | it did not, or no answer | late ones start over |
//! | any | leader dropped or panicking | waiters start over |
//!
//! New callers join a flight until nobody waits at the end of an attempt, or a change detaches it.
//!
//! In-process, ACQUIRE is a second look, and STORE is one step with closing the attempt; the token is
//! that the flight was not detached.

use arrayvec::ArrayVec;

use crate::{
    redis::{Answer, Changes, Command, Value, Wish},
    setup::{Acquire, OldValues, Rule, Setup},
    world::{Behind, Call, Caller, Flight, Stage, Token, Waiter, World, is_redis},
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

    /// A caller with an old value in hand, which waits for a body, but not for ever.
    pub(crate) fn join_for_a_while(&mut self, setup: &Setup, process: usize, caller: Caller) {
        if self.processes[process].open_flight().is_none() {
            let flight = self.new_flight(process, Some(Behind::SoftTimeout));
            let early = false;
            flight.waiters.push(Waiter { early, caller });
            let flight = self.processes[process].flights.len() - 1;
            self.begin_attempt(setup, process, flight);
        } else {
            self.join(setup, process, caller);
        }
    }

    /// Refreshes an old value, unless somebody here computes it.
    pub(crate) fn run_behind(&mut self, setup: &Setup, process: usize) {
        if self.processes[process].open_flight().is_none() {
            self.new_flight(process, Some(Behind::Refresh));
            let flight = self.processes[process].flights.len() - 1;
            self.begin_attempt(setup, process, flight);
        }
    }

    pub(crate) fn start_flight(&mut self, setup: &Setup, process: usize, lead: Option<Caller>) {
        self.new_flight(process, None).lead = lead;
        let flight = self.processes[process].flights.len() - 1;
        self.begin_attempt(setup, process, flight);
    }

    fn new_flight(&mut self, process: usize, behind: Option<Behind>) -> &mut Flight {
        let flights = &mut self.processes[process].flights;
        flights.push(Flight {
            open: true,
            detached: false,
            behind,
            unanswered: false,
            lead: None,
            waiters: ArrayVec::new(),
            wish: None,
            shared_old: None,
            stage: Stage::Handed,
        });
        flights.last_mut().expect("it has just been pushed")
    }

    /// The lead goes on.
    pub(crate) fn begin_attempt(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &mut self.processes[process].flights[flight];
        if !setup.keeps(Rule::OwnStale) {
            let first = it.waiters.first().map(|waiter| &waiter.caller);
            it.shared_old = it.lead.as_ref().or(first).and_then(|caller| caller.old);
        }
        let refresh = it.behind == Some(Behind::Refresh);
        let wants = is_redis(setup) && (setup.cluster || refresh);
        let wish = wants.then(|| Wish {
            holder: self.fresh_nonce(),
            waited: false,
        });
        let it = &mut self.processes[process].flights[flight];
        it.wish = wish;
        if it.unanswered || it.lead.as_ref().is_some_and(|lead| lead.spent) {
            self.begin_body(setup, process, flight, None);
        } else {
            self.acquire(setup, process, flight);
        }
    }

    pub(crate) fn acquire(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &self.processes[process].flights[flight];
        let old = it.lead.as_ref().is_some_and(|lead| lead.old.is_some());
        let seen = old || it.behind == Some(Behind::SoftTimeout);
        self.acquire_having(setup, process, flight, seen);
    }

    /// `seen`: an old value, by the leader; of no use to it.
    fn acquire_having(&mut self, setup: &Setup, process: usize, flight: usize, seen: bool) {
        let nonce = self.fresh_nonce();
        let it = &mut self.processes[process].flights[flight];
        it.advance();
        let wish = it.wish;
        let command = if !is_redis(setup) {
            Command::Get
        } else if setup.acquire == Acquire::TwoCommands && wish.is_none() && !seen {
            let first = None;
            Command::Take { nonce, first }
        } else {
            Command::Acquire { nonce, wish }
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
                if !setup.keeps(Rule::OwnAcquire) {
                    it.advance();
                }
                self.answer_early(process, flight, knows);
                self.answer_lead(process, flight, knows);
                self.start_over(setup, process, flight, false);
            }
            Answer::Value(Value { old: true, .. }) if is_redis(setup) => {
                self.acquire_having(setup, process, flight, true);
            }
            Answer::Token { own, locked, nonce } => {
                let wish = it.wish.filter(|_| locked);
                let lock = wish.map(|wish| wish.holder);
                let token = Token { own, nonce, lock };
                self.begin_body(setup, process, flight, Some(token));
            }
            Answer::Locked(holder) => {
                if let Some(old) = it.lead.as_ref().and_then(|lead| lead.old) {
                    self.answer_lead(process, flight, old);
                    self.start_over(setup, process, flight, false);
                } else if it.behind.is_some() {
                    // The loser does nothing.
                    self.start_over(setup, process, flight, false);
                } else {
                    it.stage = Stage::Locked(holder);
                }
            }
            // In-process: nothing there, or nothing fresh.
            _ => self.begin_body(setup, process, flight, None),
        }
    }

    /// ACQUIRE was not answered.
    pub(crate) fn acquire_unanswered(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &self.processes[process].flights[flight];
        if it.behind == Some(Behind::Refresh) {
            // Nobody needs it now.
            self.start_over(setup, process, flight, false);
        } else {
            self.begin_body(setup, process, flight, None);
        }
    }

    /// One that waited for the lock asks again: what the lock holds has changed.
    pub(crate) fn wake(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &mut self.processes[process].flights[flight];
        if let Some(wish) = &mut it.wish {
            wish.waited = true;
        }
        self.acquire(setup, process, flight);
    }

    /// Past the wait bound: asks again, and without the lock.
    pub(crate) fn lose_patience(&mut self, setup: &Setup, process: usize, flight: usize) {
        self.processes[process].flights[flight].wish = None;
        self.lost_patience = true;
        self.acquire(setup, process, flight);
    }

    pub(crate) fn begin_body(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        token: Option<Token>,
    ) {
        let it = &mut self.processes[process].flights[flight];
        if setup.cluster || setup.processes == 1 || it.behind == Some(Behind::Refresh) {
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
            // The attempt closes before it is asked whether the token stood.
            it.advance();
            it.open &= setup.keeps(Rule::OneFlight);
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
                    lock: token.lock,
                }
            });
            it.stage = Stage::Store {
                failed,
                knows,
                call,
            };
            if failed {
                // Who led does not wait for the proof that others need.
                self.outcome_to_lead(setup, process, flight, failed, knows);
                self.end_unless_waited_for(process, flight);
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
            it.advance();
            self.outcome_with_proof(setup, process, flight, failed, knows);
        } else {
            it.advance();
            let call = Call::new(Command::Set { knows });
            it.stage = Stage::Store {
                failed,
                knows,
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
            self.outcome_with_proof(setup, process, flight, failed, knows);
        } else {
            self.outcome_to_lead(setup, process, flight, failed, knows);
            self.start_over(setup, process, flight, stood.is_none());
        }
    }

    /// The leader's future is gone, or its body has panicked.
    pub(crate) fn lead_dropped(&mut self, setup: &Setup, process: usize, flight: usize) {
        let it = &mut self.processes[process].flights[flight];
        it.lead = None;
        // Who never began made no attempt.
        let unanswered = it.unanswered && it.stage == Stage::Handed;
        let stage = std::mem::replace(&mut it.stage, Stage::Handed);
        if let Some(call) = stage.call() {
            self.give_up(call);
        }
        let inherited = inherited(setup, stage);
        let heirs = !self.processes[process].flights[flight].waiters.is_empty();
        self.start_over(setup, process, flight, unanswered);
        if heirs && inherited.is_some() {
            self.begin_body(setup, process, flight, inherited);
        }
    }

    /// With an old value in hand, and a body that takes long.
    pub(crate) fn waiter_answers_old(&mut self, process: usize, flight: usize, waiter: usize) {
        let it = &mut self.processes[process].flights[flight];
        let caller = it.waiters.remove(waiter).caller;
        if let Some(old) = caller.old.or(it.shared_old) {
            self.sees(&caller, old);
        }
    }

    /// Ends an attempt for those who still wait: one of them leads the next.
    fn start_over(&mut self, setup: &Setup, process: usize, flight: usize, unanswered: bool) {
        if setup.old_values == OldValues::SoftTimeout {
            // Who waits for a while only is answered now, instead of leading.
            while let Some(waiter) = self.processes[process].flights[flight].waiters.first()
                && let Some(old) = waiter.caller.old
            {
                let waiter = self.processes[process].flights[flight].waiters.remove(0);
                self.sees(&waiter.caller, old);
            }
        }
        let here = &mut self.processes[process];
        if here.flights[flight].waiters.is_empty() {
            here.flights.remove(flight);
            return;
        }
        let none_open = here.open_flight().is_none();
        let it = &mut here.flights[flight];
        // New callers may join what follows, unless a change detached it, and another flight took its place.
        if none_open {
            it.open = true;
            it.detached = false;
        }
        it.lead = Some(it.waiters.remove(0).caller);
        it.behind = None;
        it.wish = None;
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

    /// To those who joined before the attempt closed; the rest start over.
    fn outcome_with_proof(
        &mut self,
        setup: &Setup,
        process: usize,
        flight: usize,
        failed: bool,
        knows: Changes,
    ) {
        self.outcome_to_lead(setup, process, flight, failed, knows);
        if !setup.keeps(Rule::CloseFirst) {
            self.processes[process].flights[flight].advance();
        }
        self.outcome_to_early(setup, process, flight, failed, knows);
        self.start_over(setup, process, flight, false);
    }

    /// Where nobody needs the proof, nobody waits for it; RELEASE is on its way.
    fn end_unless_waited_for(&mut self, process: usize, flight: usize) {
        if self.processes[process].flights[flight].waiters.is_empty() {
            let ended = self.processes[process].flights.remove(flight);
            if let Some(call) = ended.stage.call() {
                self.give_up(call);
            }
        }
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
        Stage::Handed | Stage::Locked(_) => None,
        Stage::Acquire(call) => match (call.answer, call.command) {
            (Some(Answer::Token { nonce, .. }), _)
            | (None, Command::Acquire { nonce, .. } | Command::Take { nonce, .. }) => {
                Some(only(nonce))
            }
            _ => None,
        },
        Stage::Body { token, .. } => token,
        Stage::Store { call, .. } => match call.command {
            Command::Store { token, .. } | Command::Release { token, .. } => Some(only(token)),
            _ => None,
        },
    }
}
