//! What the runtime does with a flight, in miniature: calls, and changes of the source.
//!
//! The one rule: **whoever calls after a change was invalidated never gets what was before it**, and
//! of a body that began before it came only with the proof.
//!
//! Time is a number that every event advances.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex},
};

use shuttle::{
    sync::Barrier,
    thread::{self, JoinHandle},
};

use crate::{
    base::sync::{point, whole},
    flight::{Flights, Joined, Lead, Turn},
};

/// Where values are kept, and what proves that an outcome still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The proof is that the flight was open to callers until now.
    InProcess,
    /// The proof is that a token still stands.
    Tokens,
    /// It holds nothing and answers nothing: there is no proof.
    Silent,
}

/// What a call's body does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Returns what the source holds.
    Returns,
    /// Fails, with an error that others may have too.
    Fails,
    /// Fails, with an error that nobody else can have.
    FailsAlone,
}

/// Where a leader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It has the lead, and has done nothing with it.
    Lead,
    /// It waits for the right to store.
    Acquire,
    /// Its body runs.
    Body,
    /// It has answered those who came before its body.
    Answered,
    /// It has closed its attempt.
    Closed,
    /// The store has done what it was asked, and has not answered yet.
    Stored,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Lead,
        Self::Acquire,
        Self::Body,
        Self::Answered,
        Self::Closed,
        Self::Stored,
    ];
}

/// How a leader ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its caller goes away.
    Dropped,
    /// It panics.
    Panics,
}

/// One call, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    body: Body,
    stop: Option<(Step, Stop)>,
    gives_up: bool,
    overtakes: bool,
    meets: bool,
}

impl Call {
    /// Waits for its turn, and computes if it has to.
    pub const PATIENT: Self = Self {
        body: Body::Returns,
        stop: None,
        gives_up: false,
        overtakes: false,
        meets: false,
    };

    /// Computes beside whoever does already, unless somebody else began to meanwhile; else waits.
    pub const OVERTAKES: Self = Self {
        overtakes: true,
        ..Self::PATIENT
    };

    /// Goes away instead of waiting; computes if nobody else does.
    pub const GIVES_UP: Self = Self {
        gives_up: true,
        ..Self::PATIENT
    };

    /// Its body ends like this.
    #[must_use]
    pub const fn with(body: Body) -> Self {
        Self {
            body,
            ..Self::PATIENT
        }
    }

    /// As [`OVERTAKES`](Self::OVERTAKES), and if it leads, it gets no further than this.
    #[must_use]
    pub const fn overtaking_until(step: Step, stop: Stop) -> Self {
        Self {
            stop: Some((step, stop)),
            ..Self::OVERTAKES
        }
    }

    /// If it leads, it gets no further than this.
    #[must_use]
    pub const fn stopping(step: Step, stop: Stop) -> Self {
        Self {
            stop: Some((step, stop)),
            ..Self::PATIENT
        }
    }
}

/// What a thread does.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// It calls the cached function.
    Call(Call),
    /// It has the body run, whatever is stored or computed now.
    Refresh(Call),
    /// It has the body run behind it, unless somebody computes already, and does not wait.
    Ahead(Call),
    /// It has the body run behind it, unless somebody computes already, and waits for that, or for a
    /// while if the call gives up.
    Behind(Call),
    /// It changes the source, then invalidates.
    Change,
    /// It changes the source, then stores what that holds now; one thread at a time.
    Put,
    /// It looks at the counts, as whoever asks for statistics does.
    Look,
}

/// Lets one thread each do what it says, and checks what must be so at any time and at the end; how
/// many bodies began.
///
/// To be called in a scenario of [`Schedules`](crate::Schedules).
///
/// # Panics
///
/// If it is not so.
pub fn act(store: Store, threads: &[&[Act]]) -> u64 {
    let cache = Arc::new(Cache::new(store));
    let start = |acts: &&[Act]| {
        let (cache, acts) = (Arc::clone(&cache), acts.to_vec());
        thread::spawn(move || acts.into_iter().for_each(|act| Cache::act(&cache, act)))
    };
    let mut threads: Vec<_> = threads.iter().map(start).collect();
    while let Some(thread) = threads.pop().or_else(|| whole(&cache.behind).pop()) {
        thread.join().expect("a panic ends the schedule");
    }
    cache.end()
}

/// The same, with one call for each thread, and a first one that they all wait for when it stops.
///
/// # Panics
///
/// If it is not so.
pub fn follow(store: Store, step: Step, stop: Stop, calls: &[Call]) -> u64 {
    let mut cache = Cache::new(store);
    cache.meeting = Some(Meeting {
        leads: Barrier::new(2),
        all: Barrier::new(calls.len() + 1),
    });
    let cache = Arc::new(cache);
    let start = |call| {
        let cache = Arc::clone(&cache);
        thread::spawn(move || Cache::act(&cache, Act::Call(call)))
    };
    let first = start(Call {
        meets: true,
        ..Call::stopping(step, stop)
    });
    if let Some(meeting) = &cache.meeting {
        meeting.leads.wait();
    }
    let mut threads: Vec<_> = calls.iter().copied().map(start).collect();
    threads.push(first);
    for thread in threads {
        thread.join().expect("a panic ends the schedule");
    }
    cache.end()
}

/// Where a leader that stops, and those who wait for it, wait for each other.
#[derive(Debug)]
struct Meeting {
    leads: Barrier,
    all: Barrier,
}

/// The flights of one key, with a store and a source.
#[derive(Debug)]
struct Cache {
    flights: Arc<Flights<Outcome>>,
    key: Arc<str>,
    store: Store,
    stored: Mutex<Stored>,
    /// What runs behind its caller.
    behind: Mutex<Vec<JoinHandle<()>>>,
    meeting: Option<Meeting>,
    ledger: Mutex<Ledger>,
}

/// What a body, or the store, gave.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// What the source held.
    version: u64,
    /// When the body had begun, or the store was being asked.
    began: u64,
    /// When the attempt was closed, if the outcome still stood after that.
    proved: Option<u64>,
    /// How many bodies had ended, this one included; 0 if it is from the store.
    ended: u64,
}

/// What the store holds.
#[derive(Debug, Default)]
struct Stored {
    value: Option<u64>,
    token: Option<u64>,
    nonces: u64,
}

/// What an observer sees.
#[derive(Debug, Default)]
struct Ledger {
    now: u64,
    /// What the source holds.
    version: u64,
    /// The latest version whose invalidation has returned.
    final_version: u64,
    bodies_begun: u64,
    bodies_ended: u64,
    /// How many lead an attempt that new callers could join, for all they did.
    leads: usize,
    most_leads: usize,
    /// How often somebody took a flight from its callers, or tried to lead beside its leader.
    taken: usize,
}

/// When a call came, and what was final by then.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: u64,
    final_version: u64,
}

/// The right to store.
#[derive(Debug, Clone, Copy)]
enum Right {
    InProcess,
    Token(u64),
}

/// What the store says to who asks for the right to store.
enum Acquired {
    Found(u64),
    Granted(Right),
    Silence,
}

/// The payload of a panic that belongs to the scenario.
struct Staged;

impl Cache {
    fn new(store: Store) -> Self {
        Self {
            flights: Arc::new(Flights::new()),
            key: "users:42".into(),
            store,
            stored: Mutex::default(),
            behind: Mutex::default(),
            meeting: None,
            ledger: Mutex::default(),
        }
    }

    fn act(self: &Arc<Self>, act: Act) {
        match act {
            Act::Call(call) => caught(|| self.look_up(call)),
            Act::Refresh(call) => caught(|| self.refresh(call)),
            Act::Ahead(call) => self.ahead(call),
            Act::Behind(call) => self.behind(call),
            Act::Change => self.change(),
            Act::Put => self.put(),
            Act::Look => self.look(),
        }
    }

    fn refresh(&self, call: Call) {
        let arrival = self.arrival();
        let lead = loop {
            self.detach(|_| ());
            if let Joined::Lead(lead) = self.flights.join(&self.key) {
                break lead;
            }
        };
        self.take_over(lead, call, arrival);
    }

    fn ahead(self: &Arc<Self>, call: Call) {
        let arrival = self.arrival();
        if let Some(lead) = self.flights.lead(&self.key) {
            self.begin(lead, call, arrival);
        }
    }

    fn behind(self: &Arc<Self>, call: Call) {
        let arrival = self.arrival();
        let turn = match self.flights.join(&self.key) {
            Joined::Wait(turn) => turn,
            Joined::Lead(lead) => {
                let turn = lead.wait_too();
                self.begin(lead, call, arrival);
                turn
            }
        };
        if call.gives_up {
            return;
        }
        match shuttle::future::block_on(turn) {
            Ok(Turn::Answer(outcome)) => arrival.check(outcome),
            // It has something stale to answer with: the lead goes to the next one who waits.
            Ok(Turn::Lead(_) | Turn::Alone) => {}
            Err(_) => panic!("a waiter was forgotten"),
        }
    }

    fn begin(self: &Arc<Self>, lead: Lead<Outcome>, call: Call, arrival: Arrival) {
        let cache = Arc::clone(self);
        let run = thread::spawn(move || {
            caught(|| {
                cache.lead(lead, call, arrival);
            });
        });
        whole(&self.behind).push(run);
    }

    fn change(&self) {
        let version = self.write_source();
        if self.store == Store::InProcess {
            self.detach(|stored| stored.value = None);
        } else {
            self.detach(|_| ());
            self.stored(|stored| stored.token = None);
            self.stored(|stored| stored.value = None);
        }
        self.is_final(version);
    }

    fn put(&self) {
        let version = self.write_source();
        if self.store == Store::InProcess {
            self.detach(|stored| stored.value = Some(version));
        } else {
            self.detach(|_| ());
            let token = self.stored(Stored::seize);
            self.stored(|stored| {
                let stands = stored.token == Some(token);
                stored.token = None;
                stored.value = stands.then_some(version);
            });
        }
        self.is_final(version);
    }

    fn look(&self) {
        assert!(self.flights.len() <= 1, "one key");
        // Those who wait for a flight that was taken from its key are not counted.
        let _ = self.flights.waiting();
    }

    /// What must be so when everybody is gone; how many bodies began.
    fn end(&self) -> u64 {
        assert_eq!(self.flights.len(), 0, "a flight without callers");
        let stored = self.stored(|stored| stored.value);
        self.ledger(|ledger| {
            assert!(
                stored.is_none_or(|version| version >= ledger.final_version),
                "version {stored:?} came back, and {} was final",
                ledger.final_version
            );
            assert_eq!(ledger.leads, 0);
            assert!(
                ledger.most_leads <= 1 + ledger.taken,
                "{} lead at once, and {} flights were taken from their key",
                ledger.most_leads,
                ledger.taken
            );
            ledger.bodies_begun
        })
    }

    fn look_up(&self, call: Call) {
        let arrival = self.arrival();
        if let Some(version) = self.get() {
            return arrival.check_version(version);
        }
        let mut waiting = match self.flights.join(&self.key) {
            Joined::Lead(lead) => {
                self.lead(lead, call, arrival);
                return;
            }
            Joined::Wait(waiting) => waiting,
        };
        if let Some(meeting) = &self.meeting {
            meeting.all.wait();
        }
        if call.gives_up {
            return;
        }
        let ended = self.bodies_ended();
        if call.overtakes {
            // Before it is one more that leads, so that at no time fewer are allowed than there are.
            self.ledger(|ledger| ledger.taken += 1);
            if let Some(lead) = waiting.overtake() {
                self.lead(lead, call, arrival);
                return;
            }
        }
        match shuttle::future::block_on(waiting) {
            Ok(Turn::Lead(lead)) => {
                self.check_wait(self.bodies_ended() - ended, 1);
                self.lead(lead, call, arrival);
            }
            Ok(Turn::Answer(outcome)) => {
                arrival.check(outcome);
                // The rest of one, and one more.
                self.check_wait(outcome.ended.saturating_sub(ended), 2);
            }
            Ok(Turn::Alone) => arrival.check_version(self.body()),
            Err(_) => panic!("a waiter was forgotten"),
        }
    }

    fn lead(&self, mut lead: Lead<Outcome>, call: Call, arrival: Arrival) -> Option<()> {
        let leads = self.leads();
        self.stops(call, Step::Lead)?;
        let right = match self.acquire(&mut lead, call)? {
            (_, Acquired::Granted(right)) => Some(right),
            (_, Acquired::Silence) => None,
            (asked, Acquired::Found(version)) => {
                arrival.check_version(version);
                let found = Outcome {
                    version,
                    began: asked,
                    proved: None,
                    ended: 0,
                };
                drop(leads);
                if lead.has_waiters() {
                    lead.finish(&found);
                }
                return None;
            }
        };
        self.complete(lead, right, call, arrival, leads)
    }

    fn take_over(&self, mut lead: Lead<Outcome>, call: Call, arrival: Arrival) -> Option<()> {
        let leads = self.leads();
        self.stops(call, Step::Lead)?;
        let right = match self.store {
            Store::InProcess => Some(Right::InProcess),
            Store::Tokens => {
                lead.acquire_sent();
                Some(Right::Token(self.stored(Stored::seize)))
            }
            Store::Silent => {
                lead.acquire_sent();
                None
            }
        };
        self.complete(lead, right, call, arrival, leads)
    }

    /// When the store was asked, and its answer.
    fn acquire(&self, lead: &mut Lead<Outcome>, call: Call) -> Option<(u64, Acquired)> {
        if lead.unanswered() {
            return Some((0, Acquired::Silence));
        }
        lead.acquire_sent();
        let asked = self.tick();
        self.stops(call, Step::Acquire)?;
        let acquired = match self.store {
            Store::InProcess => match self.get() {
                Some(version) => Acquired::Found(version),
                None => Acquired::Granted(Right::InProcess),
            },
            Store::Tokens => self.stored(|stored| match stored.value {
                Some(version) => Acquired::Found(version),
                None => {
                    let token = stored.token.unwrap_or_else(|| stored.seize());
                    Acquired::Granted(Right::Token(token))
                }
            }),
            Store::Silent => Acquired::Silence,
        };
        Some((asked, acquired))
    }

    fn complete(
        &self,
        mut lead: Lead<Outcome>,
        right: Option<Right>,
        call: Call,
        arrival: Arrival,
        leads: Leads<'_>,
    ) -> Option<()> {
        lead.body_begun();
        let began = self.tick();
        self.stops(call, Step::Body)?;
        let version = self.body();
        arrival.check_version(version);
        self.stops(call, Step::Body)?;
        if call.body == Body::FailsAlone {
            drop(leads);
            lead.everybody_alone();
            if let Some(Right::Token(token)) = right {
                self.stored(|stored| stored.settle(token, None));
            }
            return None;
        }
        let kept = (call.body == Body::Returns).then_some(version);
        let mut outcome = Outcome {
            version,
            began,
            proved: None,
            ended: self.ledger(|ledger| {
                ledger.bodies_ended += 1;
                ledger.bodies_ended
            }),
        };
        if self.store == Store::InProcess || lead.has_waiters() {
            lead.answer_early(&outcome);
        }
        self.stops(call, Step::Answered)?;
        match right {
            None => {
                let asked = !lead.unanswered();
                drop(leads);
                lead.start_over(asked);
            }
            Some(Right::InProcess) => {
                let closed = lead.close_with(|| {
                    if kept.is_some() {
                        self.stored(|stored| stored.value = kept);
                    }
                    self.tick()
                });
                drop(leads);
                if let Some(closed) = closed {
                    outcome.proved = Some(closed);
                    lead.finish(&outcome);
                }
            }
            Some(Right::Token(token)) => {
                lead.close();
                let closed = self.tick();
                self.stops(call, Step::Closed)?;
                let stood = self.stored(|stored| stored.settle(token, kept));
                self.stops(call, Step::Stored)?;
                drop(leads);
                if !stood {
                    lead.start_over(false);
                    return None;
                }
                outcome.proved = Some(closed);
                if lead.has_waiters() {
                    lead.finish(&outcome);
                }
            }
        }
        Some(())
    }

    /// `None`: the caller is gone.
    fn stops(&self, call: Call, step: Step) -> Option<()> {
        if let Some(meeting) = &self.meeting
            && call.meets
            && call.stop.is_some_and(|(at, _)| at == step)
        {
            meeting.leads.wait();
            meeting.all.wait();
        }
        match call.stop {
            Some((at, Stop::Dropped)) if at == step => None,
            // Like a panic of a body, but not reported as one.
            Some((at, Stop::Panics)) if at == step => resume_unwind(Box::new(Staged)),
            _ => Some(()),
        }
    }

    /// Whether somebody waited for no more bodies than allowed, if the key had but one flight.
    fn check_wait(&self, ended: u64, most: u64) {
        let one_flight = self.ledger(|ledger| ledger.taken == 0);
        assert!(!one_flight || ended <= most, "waited for {ended} bodies");
    }

    fn bodies_ended(&self) -> u64 {
        self.ledger(|ledger| ledger.bodies_ended)
    }

    fn body(&self) -> u64 {
        self.ledger(|ledger| ledger.bodies_begun += 1);
        point();
        self.ledger(|ledger| ledger.version)
    }

    fn get(&self) -> Option<u64> {
        self.stored(|stored| stored.value)
    }

    fn detach(&self, change: impl FnOnce(&mut Stored)) {
        self.ledger(|ledger| ledger.taken += 1);
        self.flights.detach(&self.key, || self.stored(change));
    }

    fn write_source(&self) -> u64 {
        point();
        self.ledger(|ledger| {
            ledger.version += 1;
            ledger.version
        })
    }

    fn is_final(&self, version: u64) {
        self.ledger(|ledger| ledger.final_version = ledger.final_version.max(version));
    }

    fn arrival(&self) -> Arrival {
        point();
        let at = self.tick();
        self.ledger(|ledger| Arrival {
            at,
            final_version: ledger.final_version,
        })
    }

    fn tick(&self) -> u64 {
        self.ledger(|ledger| {
            ledger.now += 1;
            ledger.now
        })
    }

    /// Counts a leader, until it lets go of what is returned.
    fn leads(&self) -> Leads<'_> {
        self.ledger(|ledger| {
            ledger.leads += 1;
            ledger.most_leads = ledger.most_leads.max(ledger.leads);
        });
        Leads(self)
    }

    /// A command to the store, which executes at once; it is answered when its caller goes on.
    fn stored<R>(&self, command: impl FnOnce(&mut Stored) -> R) -> R {
        point();
        command(&mut whole(&self.stored))
    }

    fn ledger<R>(&self, entry: impl FnOnce(&mut Ledger) -> R) -> R {
        entry(&mut whole(&self.ledger))
    }
}

/// One who is counted as a leader.
struct Leads<'a>(&'a Cache);

impl Drop for Leads<'_> {
    fn drop(&mut self) {
        self.0.ledger(|ledger| ledger.leads -= 1);
    }
}

/// Runs a call to its end, be that a staged panic.
fn caught(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call))
        && !panic.is::<Staged>()
    {
        resume_unwind(panic);
    }
}

impl Arrival {
    fn check(self, outcome: Outcome) {
        self.check_version(outcome.version);
        let Outcome { began, proved, .. } = outcome;
        assert!(
            self.at < proved.unwrap_or(began),
            "came at {}, got without proof what began at {began}",
            self.at
        );
    }

    fn check_version(self, version: u64) {
        assert!(
            version >= self.final_version,
            "got version {version}, and {} was final before the call",
            self.final_version
        );
    }
}

impl Stored {
    /// A token of one's own.
    fn seize(&mut self) -> u64 {
        self.nonces += 1;
        self.token = Some(self.nonces);
        self.nonces
    }

    /// Stores what is to be kept and ends the token; whether it still stood.
    fn settle(&mut self, token: u64, kept: Option<u64>) -> bool {
        let stood = self.token == Some(token);
        if stood {
            self.token = None;
            self.value = kept.or(self.value);
        }
        stood
    }
}
