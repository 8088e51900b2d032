//! Faults that wait for one command, and the handles by which a test steers them.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::wait::{SOON, within};

pub(super) type BoxMatcher = Box<dyn Fn(&[Vec<u8>]) -> bool + Send + Sync>;

/// The faults that have not met their command yet, oldest first.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) commands: Vec<Arc<Hold>>,
    pub(super) replies: Vec<Arc<Hold>>,
    pub(super) cuts: Vec<Arc<CutState>>,
}

/// What is in store for one command.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) hold: Option<Arc<Hold>>,
    pub(super) hold_reply: Option<Arc<Hold>>,
    pub(super) cut: Option<Arc<CutState>>,
}

impl Faults {
    /// Takes out what is meant for this command: at most one fault of each kind.
    pub(super) fn take_for(&mut self, args: &[Vec<u8>]) -> Plan {
        fn take<T>(faults: &mut Vec<T>, is_it: impl Fn(&T) -> bool) -> Option<T> {
            faults.iter().position(is_it).map(|at| faults.remove(at))
        }
        let is_held = |hold: &Arc<Hold>| (hold.matches)(args);
        // A handle that is gone before its command came holds nothing.
        let is_decided = |hold: &Arc<Hold>| *hold.decision.borrow() == Some(Decision::Release);
        self.commands.retain(|hold| !is_decided(hold));
        self.replies.retain(|hold| !is_decided(hold));
        Plan {
            hold: take(&mut self.commands, is_held),
            hold_reply: take(&mut self.replies, is_held),
            cut: take(&mut self.cuts, |cut| (cut.matches)(args)),
        }
    }
}

/// What becomes of a held command or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Release,
    Drop,
    Reset,
}

/// A held command or reply, as the proxy sees it.
pub(super) struct Hold {
    matches: BoxMatcher,
    pub(super) later_pass: bool,
    arrived: watch::Sender<Option<Vec<Vec<u8>>>>,
    decision: watch::Sender<Option<Decision>>,
}

impl Hold {
    pub(super) fn new(matches: BoxMatcher, later_pass: bool) -> Self {
        let (arrived, decision) = (watch::Sender::new(None), watch::Sender::new(None));
        Self {
            matches,
            later_pass,
            arrived,
            decision,
        }
    }

    pub(super) fn arrive(&self, args: Vec<Vec<u8>>) {
        self.arrived.send_replace(Some(args));
    }

    pub(super) async fn decided(&self) -> Decision {
        let mut decision = self.decision.subscribe();
        let decided = decision.wait_for(Option::is_some).await;
        decided
            .ok()
            .and_then(|decision| *decision)
            .unwrap_or(Decision::Release)
    }
}

/// One command or one reply that the proxy holds; dropped, it is released.
#[must_use = "a dropped `Held` holds nothing"]
pub struct Held {
    hold: Arc<Hold>,
}

impl Held {
    pub(super) fn new(hold: Arc<Hold>) -> Self {
        Self { hold }
    }

    /// Waits until the command (or its reply) is here, and returns the command's arguments.
    ///
    /// # Panics
    ///
    /// Panics when it does not come in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn arrived(&self) -> Vec<Vec<u8>> {
        let mut arrived = self.hold.arrived.subscribe();
        let args = within(
            "the command to be held",
            SOON,
            arrived.wait_for(Option::is_some),
        )
        .await;
        let args = args.expect("the sender lives in the hold").clone();
        args.expect("it has just been waited for")
    }

    /// Whether the command (or its reply) is here.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.hold.arrived.borrow().is_some()
    }

    /// Lets it go on, also when its client has left meanwhile.
    pub fn release(self) {
        self.decide(Decision::Release);
    }

    /// Loses it: nothing behind it on its connection is ever answered, and the connection stays open.
    pub fn drop_it(self) {
        self.decide(Decision::Drop);
    }

    /// Loses it and resets (`RST`) its connection.
    pub fn reset(self) {
        self.decide(Decision::Reset);
    }

    fn decide(&self, decision: Decision) {
        self.hold.decision.send_if_modified(|decided| {
            let first = decided.is_none();
            decided.get_or_insert(decision);
            first
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.decide(Decision::Release);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("arrived", &self.has_arrived())
            .finish_non_exhaustive()
    }
}

/// A cut as the proxy sees it.
pub(super) struct CutState {
    matches: BoxMatcher,
    pub(super) bytes: usize,
    happened: watch::Sender<bool>,
}

impl CutState {
    pub(super) fn new(matches: BoxMatcher, bytes: usize) -> Self {
        Self {
            matches,
            bytes,
            happened: watch::Sender::new(false),
        }
    }

    pub(super) fn happen(&self) {
        self.happened.send_replace(true);
    }
}

/// A connection that is to be cut in the middle of a reply.
pub struct Cut {
    state: Arc<CutState>,
}

impl Cut {
    pub(super) fn new(state: Arc<CutState>) -> Self {
        Self { state }
    }

    /// Waits until the reply was cut.
    ///
    /// # Panics
    ///
    /// Panics when that is not so in time.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn happened(&self) {
        let mut happened = self.state.happened.subscribe();
        let done = within(
            "a reply to be cut",
            SOON,
            happened.wait_for(|happened| *happened),
        )
        .await;
        done.expect("the sender lives in the state");
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut")
            .field("bytes", &self.state.bytes)
            .field("happened", &*self.state.happened.borrow())
            .finish_non_exhaustive()
    }
}
