//! One multiplexed connection for each runtime that uses the cache.
//!
//! The one rule: **one task makes a connection, then drives it until it is lost**; a call only ever
//! waits for that task, and never longer than its own deadline. A connection belongs to the runtime
//! of its task, so a runtime that ends, or that nobody drives, takes no other one's connection with
//! it. A call that finds the connection gone starts the next task.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;
use tokio::{
    runtime::{Handle, Id},
    sync::watch,
    task::AbortHandle,
};

use super::{
    connect::{Connector, Pulse},
    redis::RedisStore,
};
use crate::{
    error::{Error, ErrorKind},
    sharded::lock,
};

/// How long it may take to make a connection; calls give up waiting for it much earlier.
const LONGEST: Duration = Duration::from_secs(5);

/// The connection of one runtime.
#[derive(Debug)]
pub(crate) struct Link {
    runtime: Id,
    state: Arc<watch::Sender<State>>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, Clone)]
enum State {
    /// There is no connection, and nobody makes one.
    Gone,
    /// The task with this connection's number makes one.
    Connecting(u64),
    Up(Live),
    Failed(Error),
}

/// A connection that works as far as anybody knows.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) pulse: Arc<Pulse>,
    /// Tells this connection from the one that replaces it.
    pub(crate) number: u64,
}

impl Link {
    /// A link for the present runtime, without a connection yet.
    pub(crate) fn new(runtime: Id) -> Result<Self, Error> {
        // Tokio has no way to ask whether a runtime has timers, and panics where it has not.
        if catch_unwind(AssertUnwindSafe(|| {
            drop(tokio::time::sleep(Duration::ZERO))
        }))
        .is_err()
        {
            return Err(Error::new(
                ErrorKind::NoRuntime,
                "the tokio runtime has no timers; build it with `enable_all()`",
            ));
        }
        Ok(Self {
            runtime,
            state: Arc::new(watch::Sender::new(State::Gone)),
            task: Mutex::new(None),
        })
    }

    pub(crate) fn runtime(&self) -> Id {
        self.runtime
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(&*self.state.borrow(), State::Gone | State::Failed(_))
    }

    /// The connection, made anew if there is none or if its number is `broken`.
    ///
    /// # Errors
    ///
    /// Why there is none; a timeout at `deadline`.
    pub(crate) async fn live(
        &self,
        store: &Arc<RedisStore>,
        broken: Option<u64>,
        deadline: Instant,
    ) -> Result<Live, Error> {
        if broken.is_none()
            && let State::Up(live) = &*self.state.borrow()
        {
            return Ok(live.clone());
        }
        let mut states = self.state.subscribe();
        let number = store.next_connection();
        let start = self.state.send_if_modified(|state| {
            let start = match state {
                State::Gone | State::Failed(_) => true,
                State::Up(live) => Some(live.number) == broken,
                State::Connecting(_) => false,
            };
            if start {
                *state = State::Connecting(number);
            }
            start
        });
        if start {
            self.connect(store, number);
        }
        let settled = states.wait_for(|state| !matches!(state, State::Connecting(_)));
        match tokio::time::timeout_at(deadline.into(), settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(live.clone()),
                State::Failed(error) => Err(error.clone()),
                State::Gone | State::Connecting(_) => Err(lost()),
            },
            // The sender is this link's own.
            Ok(Err(_)) => Err(lost()),
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                "no connection to redis within the timeout",
            )),
        }
    }

    fn connect(&self, store: &Arc<RedisStore>, number: u64) {
        // Made here: a task that ends before its first poll drops its arguments, and nothing else.
        let gone = GoneOnDrop {
            state: Arc::clone(&self.state),
            number,
        };
        // Locked before the task can fail, so that the task which replaces it comes later here too.
        let mut task = lock(&self.task);
        let driving = tokio::spawn(drive(
            Arc::downgrade(store),
            Arc::clone(store.connector()),
            gone,
        ));
        if let Some(previous) = task.replace(driving.abort_handle()) {
            // Whatever still waits on the replaced connection is told at once.
            previous.abort();
        }
    }

    /// Ends connection `number`, unless another one took its place; the next call makes a new one.
    pub(crate) fn give_up(&self, number: u64) {
        // Locked first, as in `connect`: the task is then the one of this number.
        let mut task = lock(&self.task);
        let mine = self.state.send_if_modified(|state| {
            let mine = matches!(state, State::Up(live) if live.number == number);
            if mine {
                *state = State::Gone;
            }
            mine
        });
        if mine && let Some(task) = task.take() {
            task.abort();
        }
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
        self.state.send_replace(State::Gone);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

async fn drive(
    store: Weak<RedisStore>,
    connector: Arc<Connector>,
    // Dropped with the task, also where the runtime ends under it.
    gone: GoneOnDrop,
) {
    let GoneOnDrop { state, number } = &gone;
    let number = *number;
    let pulse = Arc::new(Pulse::new());
    let connecting = tokio::time::timeout(LONGEST, connector.connect(Arc::clone(&pulse)));
    let connected = connecting.await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Connect,
            "redis took the connection, but did not answer",
        ))
    });
    match connected {
        Ok((connection, driver)) => {
            tracing::debug!(number, "connected to redis");
            let live = Live {
                connection,
                pulse,
                number,
            };
            settle(state, number, State::Up(live));
            driver.await;
            tracing::debug!(number, "lost the connection to redis");
        }
        Err(error) => {
            tracing::debug!(%error, cause = error.cause(), "no connection to redis");
            settle(state, number, State::Failed(error.clone()));
            if let Some(store) = store.upgrade() {
                store.gate().connection_failed(&store, &error);
            }
        }
    }
}

/// Tells those who wait for connection `number` what came of it.
fn settle(state: &watch::Sender<State>, number: u64, settled: State) {
    state.send_if_modified(|state| {
        let awaited = matches!(state, State::Connecting(awaited) if *awaited == number);
        if awaited {
            *state = settled;
        }
        awaited
    });
}

fn lost() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection to redis was lost")
}

/// Says that a connection is gone, unless another one took its place.
struct GoneOnDrop {
    state: Arc<watch::Sender<State>>,
    number: u64,
}

impl Drop for GoneOnDrop {
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            let mine = match state {
                State::Connecting(number) => *number == self.number,
                State::Up(live) => live.number == self.number,
                State::Gone | State::Failed(_) => false,
            };
            if mine {
                *state = State::Gone;
            }
            mine
        });
    }
}

/// The links of one cache, one for each runtime.
#[derive(Debug, Default)]
pub(crate) struct Links(arc_swap::ArcSwap<Vec<Arc<Link>>>);

impl Links {
    /// The link of the present runtime.
    ///
    /// # Errors
    ///
    /// Outside a runtime, or where it has no timers.
    pub(crate) fn present(&self) -> Result<Arc<Link>, Error> {
        let runtime = Handle::try_current()
            .map_err(|_| Error::new(ErrorKind::NoRuntime, "not inside a tokio runtime"))?
            .id();
        if let Some(link) = self.0.load().iter().find(|link| link.runtime() == runtime) {
            return Ok(Arc::clone(link));
        }
        let link = Arc::new(Link::new(runtime)?);
        self.0.rcu(|links| {
            // Two callers may get here at once; the first one's link serves both.
            let mut next: Vec<_> = links
                .iter()
                .filter(|other| other.runtime() == runtime || !other.is_gone())
                .cloned()
                .collect();
            if !next.iter().any(|other| other.runtime() == runtime) {
                next.push(Arc::clone(&link));
            }
            next
        });
        let links = self.0.load();
        Ok(links
            .iter()
            .find(|other| other.runtime() == runtime)
            .map_or(link, Arc::clone))
    }

    pub(crate) fn close(&self) {
        for link in self.0.swap(Arc::default()).iter() {
            link.close();
        }
    }

    /// How many connections there are.
    pub(crate) fn connected(&self) -> usize {
        self.0.load().iter().filter(|link| !link.is_gone()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, Endpoint};

    #[tokio::test]
    async fn a_task_that_ends_before_its_first_poll_leaves_no_link_that_waits_for_it() {
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: 1,
            #[cfg(feature = "tls")]
            tls: None,
            auth: Auth::None,
            db: 0,
        };
        let connector = Connector::new(endpoint).unwrap();
        let store = Arc::new(RedisStore::new(connector, Duration::from_millis(250)));
        let link = Link::new(Handle::current().id()).unwrap();
        link.state.send_replace(State::Connecting(7));
        link.connect(&store, 7);
        // Nothing was awaited, so this runtime's only thread has not polled the task.
        lock(&link.task).take().unwrap().abort();
        let mut states = link.state.subscribe();
        let gone = states.wait_for(|state| matches!(state, State::Gone));
        tokio::time::timeout(Duration::from_secs(5), gone)
            .await
            .expect("the link waits for a task that never ran")
            .unwrap();
    }
}
