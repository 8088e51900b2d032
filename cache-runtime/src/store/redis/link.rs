//! The multiplexed connection of one runtime: whether there is one, and who makes the next.
//!
//! The one rule: **one task makes a connection, then drives it until it is lost**; a call only ever waits for that task,
//! and never longer than its own deadline. A connection belongs to the runtime of its task, so a runtime that ends, or
//! that nobody drives, takes no other one's connection with it.
//!
//! Each connection has a number, and so has the task that makes it. *n* is the number of the link's present one; an event
//! of any other number changes nothing, because another connection has taken its place.
//!
//! | event | Gone, Failed | Connecting(n) | Up(n) | Closed |
//! |---|---|---|---|---|
//! | a call needs a connection | Connecting, once the [back-off](super::attempts) allows it | the call waits | the call has it | the call is told so |
//! | a call says that n is of no more use | | the call waits | Connecting, once the back-off allows it; the task of n is ended | the call is told so |
//! | the task has made its connection | | Up(n) | | |
//! | the task could not make it | | Failed, with the reason for those who wait | | |
//! | the task has proved a newer login on connection m ([`renewal`]) | | | Up(m), and n is driven until all that was sent on it is answered; where n is pinned, Up(n) with the new login | |
//! | the connection is lost; or the task ends, for example with its runtime | | Gone | Gone | |
//! | the server of n hangs, or will not track a lock for a waiter where another server may ([`give_up`](Link::give_up)) | | | Gone; the task is ended | |
//! | the cache is shut down, or the link is dropped | Closed | Closed; the task is ended | Closed; the task is ended | Closed |
//!
//! An empty field: nothing happens, or the event cannot be. Failed and Gone differ in what waiting calls are told.
//! Nothing leads out of Closed. The states are in `state`, the task is in `task` and `renewal`.

mod renewal;
mod state;
mod task;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::sleep_until};

use self::state::State;
use super::{
    attempts::Later,
    batch::Batches,
    live::{Live, Purpose},
    server::Server,
};
use crate::{
    base::{runtime::lacks, sharded::lock},
    error::{Error, ErrorKind},
    store::fetched::FetchResult,
};

/// The time between two attempts to find another server by a new connection.
const BETWEEN_SERVERS: Duration = Duration::from_secs(1);

/// The connection of one runtime.
#[derive(Debug)]
pub(crate) struct Link {
    server: Arc<Server>,
    runtime: Handle,
    purpose: Purpose,
    /// Why there can be no connection on this runtime.
    unusable: Option<Error>,
    state: Arc<watch::Sender<State>>,
    task: Mutex<Option<AbortHandle>>,
    /// The reads that calls on this runtime share. Another runtime has others, so that reads of a runtime that nobody
    /// drives hold up no call elsewhere.
    batches: Batches<FetchResult>,
    /// The connection that was last replaced because its server refused a command, and when.
    replaced: Mutex<Option<(u64, Instant)>>,
}

impl Link {
    /// A link for the present runtime, without a connection yet.
    pub(super) fn new(server: &Arc<Server>, runtime: Handle, purpose: Purpose) -> Self {
        Self {
            server: Arc::clone(server),
            runtime,
            purpose,
            unusable: lacks().map(|what| Error::new(ErrorKind::NoRuntime, what)),
            state: Arc::new(watch::Sender::new(State::Gone)),
            task: Mutex::new(None),
            batches: Batches::new(server.timeout()),
            replaced: Mutex::new(None),
        }
    }

    /// # Errors
    ///
    /// If there can be no connection on this runtime: what it lacks.
    pub(super) fn is_usable(&self) -> Result<(), Error> {
        self.unusable.clone().map_or(Ok(()), Err)
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn batches(&self) -> &Batches<FetchResult> {
        &self.batches
    }

    /// Whether nothing is lost if this link is forgotten.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        !matches!(*state, State::Connecting(_) | State::Up(_)) && self.batches.len() == 0
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    /// The connection, if there is one.
    pub(super) fn up(&self) -> Option<Arc<Live>> {
        match &*self.state.borrow() {
            State::Up(live) => Some(Arc::clone(live)),
            _ => None,
        }
    }

    /// The connection, made anew if there is none or if its number is `broken`, as soon as the back-off allows.
    ///
    /// # Errors
    ///
    /// Why there is no connection: at once, if none may be tried until `deadline`. A timeout at `deadline`.
    pub(crate) async fn live(
        &self,
        broken: Option<u64>,
        deadline: Instant,
    ) -> Result<Arc<Live>, Error> {
        if broken.is_none()
            && let Some(live) = self.up()
        {
            return Ok(live);
        }
        let connector = self.server.connector();
        if let Some(live) = self.up()
            && Some(live.number) == broken
            && !live.pulse.is_proved()
        {
            // Said here, because the task that drives the connection may not have noticed its end yet.
            connector.attempts().lost(&live.pulse);
        }
        let mut states = self.state.subscribe();
        let mut now = Instant::now();
        loop {
            // Listened for before the back-off is asked, so that no change is missed.
            let opened = connector.attempts().opened();
            let news = connector.token_renewed().notified();
            states.mark_unchanged();
            let Err(Later { until, why }) = self.start(broken, now) else {
                break;
            };
            if until >= deadline {
                return Err(why);
            }
            tokio::select! {
                () = opened => {}
                () = news => {}
                // The sender is this link's own.
                _ = states.changed() => {}
                // The time that the timer was set for counts, because a test may have paused and moved the timer's
                // clock.
                () = sleep_until(until.into()) => now = now.max(until),
            }
            now = now.max(Instant::now());
        }
        let settled = states.wait_for(|state| !matches!(state, State::Connecting(_)));
        match tokio::time::timeout_at(deadline.into(), settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(Arc::clone(live)),
                State::Failed(error) => Err(error.clone()),
                State::Closed => Err(closed()),
                State::Gone | State::Connecting(_) => Err(lost()),
            },
            // The sender is this link's own.
            Ok(Err(_)) => Err(lost()),
            Err(_) => Err(no_time(connector.attempts().why())),
        }
    }

    /// Starts to make a connection, if there is none or if its number is `broken`, and nobody makes one.
    ///
    /// # Errors
    ///
    /// Until when the back-off does not allow it.
    fn start(&self, broken: Option<u64>, now: Instant) -> Result<(), Later> {
        let connector = self.server.connector();
        let mut begun = Ok(None);
        self.state.send_if_modified(|state| {
            match state {
                State::Gone | State::Failed(_) => {}
                State::Up(live) if Some(live.number) == broken => {}
                State::Up(_) | State::Connecting(_) | State::Closed => return false,
            }
            begun = connector
                .attempts()
                .begin(now, connector.auth().tokens())
                .map(|()| Some(self.server.next_connection()));
            match begun {
                Ok(Some(number)) => {
                    *state = State::Connecting(number);
                    true
                }
                _ => false,
            }
        });
        if let Some(number) = begun? {
            self.connect(number);
        }
        Ok(())
    }

    /// Whether connection `number`, whose server refuses to execute a command, is to be replaced.
    ///
    /// After a failover, a new connection may lead to a server that does. Where it does not, other requests that wait
    /// on the connection would lose it again and again, so it is replaced once in [`BETWEEN_SERVERS`].
    pub(crate) fn replaces(&self, number: u64) -> bool {
        let mut replaced = lock(&self.replaced);
        match *replaced {
            Some((last, _)) if last == number => true,
            Some((_, when)) if when.elapsed() < BETWEEN_SERVERS => false,
            _ => {
                *replaced = Some((number, Instant::now()));
                true
            }
        }
    }

    /// The server answered `NOAUTH` on connection `number`.
    pub(crate) fn not_logged_in(&self, number: u64) {
        if let State::Up(live) = &*self.state.borrow()
            && live.number == number
        {
            self.server.connector().auth().refused(&live.credentials);
        }
    }

    /// Notes that a request waited on `live` in vain.
    pub(super) fn unanswered(&self, live: &Live) {
        if self.server.is_stall(live.pulse.silent_since()) {
            // The other runtimes' connections may be well, and keep the breaker closed.
            if live.pulse.stall(self.server.timeout()) {
                self.give_up(live.number);
            }
            self.server.stalled();
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

    /// Ends the connection, for good.
    pub(crate) fn close(&self) {
        // First, so that a task that is started meanwhile is seen here or sees this.
        self.state.send_replace(State::Closed);
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection to redis was lost")
}

/// The error of a call whose connection is still being made; `why`: what the attempt before failed of.
fn no_time(why: Option<Error>) -> Error {
    let message = "no connection to redis within the timeout";
    match why {
        Some(why) => Error::with_source(ErrorKind::Timeout, message, why),
        None => Error::new(ErrorKind::Timeout, message),
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the cache was shut down")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        store::redis::{
            connect::Connector,
            test_server::{endpoint, server},
        },
    };

    #[tokio::test]
    async fn a_task_that_ends_before_its_first_poll_leaves_no_link_that_waits_for_it() {
        let connector = Connector::new(endpoint(1, Auth::None)).unwrap();
        let server = server(connector, Duration::from_secs(1));
        let link = Link::new(&server, Handle::current(), Purpose::Commands);
        link.state.send_replace(State::Connecting(7));
        link.connect(7);
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
