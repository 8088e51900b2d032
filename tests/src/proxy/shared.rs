//! What the proxy's connections share.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::fault::{Faults, Plan};
use super::ledger::Ledger;
use super::rewrite::Rewrites;
use super::sessions::Sessions;

/// What holds for every connection, at every moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) upstream: SocketAddr,
    pub(super) delay: Duration,
    pub(super) swallow: bool,
    pub(super) swallow_auth: bool,
    pub(super) cut_in_auth: bool,
    /// How many seconds the server's clock seems to be ahead.
    pub(super) clock_ahead: u64,
}

/// Everything that the proxy's connections have in common.
pub(super) struct Shared {
    settings: Mutex<Settings>,
    faults: Mutex<Faults>,
    ledger: Mutex<Ledger>,
    rewrites: Mutex<Rewrites>,
    /// Changes with every command.
    news: watch::Sender<()>,
    sessions: Mutex<Sessions>,
    /// Clients speak TLS with the proxy; `None`: what they speak passes.
    pub(super) tls: Option<TlsAcceptor>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test's matcher may panic under a lock; the others' tests are not to blame.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(upstream: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        Self {
            settings: Mutex::new(Settings {
                upstream,
                delay: Duration::ZERO,
                swallow: false,
                swallow_auth: false,
                cut_in_auth: false,
                clock_ahead: 0,
            }),
            faults: Mutex::default(),
            ledger: Mutex::default(),
            rewrites: Mutex::default(),
            news: watch::Sender::new(()),
            sessions: Mutex::default(),
            tls,
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

    pub(super) fn rewrites(&self) -> MutexGuard<'_, Rewrites> {
        lock(&self.rewrites)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    pub(super) fn forget(&self) {
        *self.ledger() = Ledger::default();
        self.sessions().forget();
    }

    /// Records a command and takes what is in store for it.
    pub(super) fn meet(&self, args: &[Vec<u8>]) -> Plan {
        let plan = self.faults().take_for(args);
        self.ledger().record(args);
        self.news.send_replace(());
        plan
    }
}
