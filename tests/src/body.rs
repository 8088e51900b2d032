//! A body that does only what its test tells it: each run has a number, and the test decides when and how it ends.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::wait::{SOON, bounded};

/// What a run that was told to fail returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The run's number, from 1.
    pub run: u64,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} of the test body failed as it was told", self.run)
    }
}

impl std::error::Error for Failed {}

/// A body; its clones are the same body.
#[derive(Debug, Clone)]
pub struct Body {
    state: Arc<Mutex<State>>,
    /// Changes with the state.
    news: watch::Sender<()>,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Return,
    Fail,
    Panic,
}

#[derive(Debug)]
struct State {
    begun: u64,
    running: BTreeSet<u64>,
    most_at_once: usize,
    finished: u64,
    dropped: u64,
    gate_is_shut: bool,
    /// Runs that may go through the shut gate.
    let_through: BTreeSet<u64>,
    always: End,
    next: Option<(End, u64)>,
}

impl Default for Body {
    fn default() -> Self {
        Self::new()
    }
}

impl Body {
    /// A body that returns at once.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            begun: 0,
            running: BTreeSet::new(),
            most_at_once: 0,
            finished: 0,
            dropped: 0,
            gate_is_shut: false,
            let_through: BTreeSet::new(),
            always: End::Return,
            next: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            news: watch::Sender::new(()),
        }
    }

    /// A body whose runs block until the test says otherwise.
    #[must_use]
    pub fn gated() -> Self {
        let body = Self::new();
        body.shut_gate();
        body
    }

    /// Runs once: counts, waits at the gate, then returns the run's number (from 1), fails or panics.
    ///
    /// # Errors
    ///
    /// [`Failed`], when the test said so.
    ///
    /// # Panics
    ///
    /// Panics when the test said so.
    ///
    /// # Cancel safety
    ///
    /// A dropped run counts as [`dropped`](Self::dropped) and runs no more.
    pub async fn run(&self) -> Result<u64, Failed> {
        let mut run = Run::begin(self);
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            if self.state().may_pass(run.number) {
                break;
            }
            news.changed().await.expect("the body holds the sender");
        }
        let end = self.update(|state| {
            state.finished += 1;
            state.take_end()
        });
        run.is_finished = true;
        let run = run.number;
        match end {
            End::Return => Ok(run),
            End::Fail => Err(Failed { run }),
            End::Panic => panic!("run {run} of the test body panics as it was told"),
        }
    }

    /// As [`run`](Self::run), but returns `value`: what the body read of the world before it began to wait.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn returning<T>(&self, value: T) -> Result<T, Failed> {
        self.run().await.map(|_| value)
    }

    /// How many runs have begun.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.state().begun
    }

    /// How many runs are under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.state().running.len()
    }

    /// The most runs that were ever under way at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// How many runs have come to their end, of any kind.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.state().finished
    }

    /// How many runs were dropped before their end.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    /// Runs that come to the gate from now on block.
    pub fn shut_gate(&self) {
        self.update(|state| state.gate_is_shut = true);
    }

    /// Lets everyone through, those who wait and those who come.
    pub fn open_gate(&self) {
        self.update(|state| state.gate_is_shut = false);
    }

    /// Lets one run through the shut gate, by its number (from 1); it may come later.
    pub fn let_through(&self, run: u64) {
        self.update(|state| state.let_through.insert(run));
    }

    /// The next `n` runs that end fail.
    pub fn fail_next(&self, n: u64) {
        self.update(|state| state.next = Some((End::Fail, n)));
    }

    /// The next `n` runs that end panic.
    pub fn panic_next(&self, n: u64) {
        self.update(|state| state.next = Some((End::Panic, n)));
    }

    /// Every run that ends from now on fails, until [`succeed`](Self::succeed).
    pub fn fail(&self) {
        self.update(|state| state.always = End::Fail);
    }

    /// Every run that ends from now on panics, until [`succeed`](Self::succeed).
    pub fn panic(&self) {
        self.update(|state| state.always = End::Panic);
    }

    /// Every run that ends from now on returns.
    pub fn succeed(&self) {
        self.update(|state| (state.always, state.next) = (End::Return, None));
    }

    /// Waits until `n` runs are under way at once.
    ///
    /// # Panics
    ///
    /// Panics when that is not so in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_until_running(&self, n: usize) {
        self.wait_until(&format!("{n} runs under way"), |state| {
            state.running.len() >= n
        })
        .await;
    }

    /// Waits until `n` runs have begun.
    ///
    /// # Panics
    ///
    /// Panics when that is not so in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_until_begun(&self, n: u64) {
        self.wait_until(&format!("{n} runs begun"), |state| state.begun >= n)
            .await;
    }

    /// Waits until `n` runs have come to their end.
    ///
    /// # Panics
    ///
    /// Panics when that is not so in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_until_finished(&self, n: u64) {
        self.wait_until(&format!("{n} runs finished"), |state| state.finished >= n)
            .await;
    }

    /// Waits until no run is under way.
    ///
    /// # Panics
    ///
    /// Panics when that is not so in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_until_idle(&self) {
        self.wait_until("no run under way", |state| state.running.is_empty())
            .await;
    }

    async fn wait_until(&self, what: &str, holds: impl Fn(&State) -> bool) {
        let mut news = self.news.subscribe();
        let arrival = bounded(SOON, async {
            loop {
                news.borrow_and_update();
                if holds(&self.state()) {
                    return;
                }
                news.changed().await.expect("the body holds the sender");
            }
        });
        if arrival.await.is_none() {
            panic!("waited {SOON:?} in vain for {what}: {:?}", self.state());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.state());
        self.news.send_replace(());
        done
    }
}

impl State {
    fn may_pass(&self, run: u64) -> bool {
        !self.gate_is_shut || self.let_through.contains(&run)
    }

    fn take_end(&mut self) -> End {
        match &mut self.next {
            Some((end, left @ 1..)) => {
                *left -= 1;
                *end
            }
            _ => self.always,
        }
    }
}

/// Counts a run out, however it ends.
struct Run<'a> {
    body: &'a Body,
    number: u64,
    is_finished: bool,
}

impl<'a> Run<'a> {
    fn begin(body: &'a Body) -> Self {
        let number = body.update(|state| {
            state.begun += 1;
            state.running.insert(state.begun);
            state.most_at_once = state.most_at_once.max(state.running.len());
            state.begun
        });
        Self {
            body,
            number,
            is_finished: false,
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.body.update(|state| {
            state.running.remove(&self.number);
            state.dropped += u64::from(!self.is_finished);
        });
    }
}
