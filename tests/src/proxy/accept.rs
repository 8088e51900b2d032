//! The door: connections come in only while it is open, and what they share is here.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::connection::{self, End};
use super::fault::{Faults, Plan};
use super::ledger::Ledger;
use crate::background;

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

    fn enter(&self) -> (u64, watch::Sender<Option<End>>) {
        let mut ledger = self.ledger();
        ledger.connections += 1;
        let (id, end) = (fastrand::u64(..), watch::Sender::new(None));
        lock(&self.open).insert(id, end.clone());
        (id, end)
    }

    fn leave(&self, id: u64) {
        lock(&self.open).remove(&id);
    }
}

/// What the accepting task is told; it answers when it is done.
enum Order {
    Shut,
    Open(TcpListener),
}

/// The accepting task's handle; dropped, the door is shut for good.
pub(super) struct Door {
    orders: mpsc::UnboundedSender<(Order, std::sync::mpsc::Sender<()>)>,
    is_open: Mutex<bool>,
}

impl Door {
    pub(super) fn open(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        background::spawn(accept(inbox, shared));
        let door = Self {
            orders,
            is_open: Mutex::new(true),
        };
        door.tell(Order::Open(listener));
        door
    }

    pub(super) fn shut(&self) {
        *lock(&self.is_open) = false;
        self.tell(Order::Shut);
    }

    pub(super) fn reopen(&self, addr: SocketAddr) {
        let mut is_open = lock(&self.is_open);
        if *is_open {
            return;
        }
        // The kernel may have lent the port to somebody's client for a while.
        let deadline = Instant::now() + Duration::from_secs(10);
        let listener = loop {
            match TcpListener::bind(addr) {
                Ok(listener) => break listener,
                Err(error) => assert!(
                    Instant::now() < deadline,
                    "cannot listen on {addr}: {error}"
                ),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.tell(Order::Open(listener));
        *is_open = true;
    }

    fn tell(&self, order: Order) {
        let (done, is_done) = std::sync::mpsc::channel();
        if self.orders.send((order, done)).is_ok() {
            // An error means that the task has ended, and with it the listener.
            let _ = is_done.recv();
        }
    }
}

/// Refuses connections from here on.
///
/// Closing is not enough: a process that is just being started has a copy of the socket until it
/// runs its own program, and the kernel goes on taking connections for it.
fn stop_listening(listener: &tokio::net::TcpListener) {
    // Only Linux ends listening this way; elsewhere the socket's end does.
    let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
}

async fn accept(
    mut inbox: mpsc::UnboundedReceiver<(Order, std::sync::mpsc::Sender<()>)>,
    shared: Arc<Shared>,
) {
    let mut listener: Option<tokio::net::TcpListener> = None;
    loop {
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = inbox.recv() => match order {
                None => return,
                Some((order, done)) => {
                    if let Some(listener) = listener.take() {
                        stop_listening(&listener);
                    }
                    listener = match order {
                        Order::Shut => None,
                        Order::Open(listener) => {
                            listener.set_nonblocking(true).expect("a socket can be non-blocking");
                            Some(tokio::net::TcpListener::from_std(listener).expect("a listening socket"))
                        }
                    };
                    // The other side may be a test that has panicked.
                    let _ = done.send(());
                }
            },
            accepted = next => match accepted {
                Ok((client, _)) => {
                    let (id, end) = shared.enter();
                    let shared = shared.clone();
                    background::spawn(async move {
                        connection::serve(client, &shared, end).await;
                        shared.leave(id);
                    });
                }
                // Out of file descriptors, for example: others may give theirs back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}
