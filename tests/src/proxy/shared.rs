//! What the proxy's connections share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::connection::End;
use super::fault::{Faults, Plan};
use super::ledger::Ledger;

/// What holds for every connection, at every moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) upstream: SocketAddr,
    pub(super) delay: Duration,
    pub(super) swallow: bool,
}

/// Everything that the proxy's connections have in common.
pub(super) struct Shared {
    settings: Mutex<Settings>,
    faults: Mutex<Faults>,
    ledger: Mutex<Ledger>,
    /// Changes with every command.
    news: watch::Sender<()>,
    open: Mutex<HashMap<u64, watch::Sender<Option<End>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test's matcher may panic under a lock; the others' tests are not to blame.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self {
            settings: Mutex::new(Settings {
                upstream,
                delay: Duration::ZERO,
                swallow: false,
            }),
            faults: Mutex::default(),
            ledger: Mutex::default(),
            news: watch::Sender::new(()),
            open: Mutex::default(),
        }
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    pub(super) fn forget(&self) {
        *self.ledger() = Ledger::default();
    }

    pub(super) fn open_connections(&self) -> usize {
        lock(&self.open).len()
    }

    pub(super) fn end_all(&self, end: End) {
        for connection in lock(&self.open).values() {
            connection.send_replace(Some(end));
        }
    }

    /// Records a command and takes what is in store for it.
    pub(super) fn meet(&self, args: &[Vec<u8>]) -> Plan {
        let plan = self.faults().take_for(args);
        self.ledger().record(args);
        self.news.send_replace(());
        plan
    }

    pub(super) fn enter(&self) -> (u64, watch::Sender<Option<End>>) {
        let mut ledger = self.ledger();
        ledger.connections += 1;
        let (id, end) = (fastrand::u64(..), watch::Sender::new(None));
        lock(&self.open).insert(id, end.clone());
        (id, end)
    }

    pub(super) fn leave(&self, id: u64) {
        lock(&self.open).remove(&id);
    }
}
