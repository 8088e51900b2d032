//! The task that makes a connection and drives it.
//!
//! The one rule: **a task that ends leaves no link behind that waits for it**, however it ends.

use std::sync::{Arc, Weak};

use super::{
    super::{
        connect::Connector,
        live::{Live, Purpose, Session},
        server::Server,
    },
    Link, renewal,
    state::{GoneOnDrop, State, settle},
};
use crate::base::sharded::lock;

impl Link {
    /// Starts the task that makes connection `number`, and ends the one before.
    pub(super) fn connect(&self, number: u64) {
        // Made here, because a task that ends before its first poll drops its arguments and nothing else.
        let gone = GoneOnDrop {
            state: Arc::clone(&self.state),
            number,
        };
        // Locked before the task can fail, so that the task which replaces it comes later here too.
        let mut task = lock(&self.task);
        let driving = tokio::spawn(drive(
            Arc::downgrade(&self.server),
            Arc::clone(self.server.connector()),
            self.purpose,
            gone,
        ));
        if let Some(previous) = task.replace(driving.abort_handle()) {
            // Requests that still wait on the replaced connection fail at once.
            previous.abort();
        }
        // `close` may have run meanwhile, and missed the task.
        if matches!(*self.state.borrow(), State::Closed)
            && let Some(task) = task.take()
        {
            task.abort();
        }
    }
}

/// The task: makes a connection, then drives it until it is lost.
async fn drive(
    server: Weak<Server>,
    connector: Arc<Connector>,
    purpose: Purpose,
    // Dropped with the task, also where the runtime ends under it.
    mut gone: GoneOnDrop,
) {
    let number = gone.number;
    match Session::new(&connector, purpose).await {
        Ok(session) => {
            tracing::debug!(number, "connected to redis");
            let (live, driver) = Live::new(session, number);
            if purpose == Purpose::Commands
                && let Some(server) = server.upgrade()
            {
                server.time().forget();
            }
            connector.attempts().made(&live.pulse);
            settle(&gone.state, number, State::Up(Arc::clone(&live)));
            let last = renewal::drive(&server, &connector, purpose, live, driver, &mut gone).await;
            tracing::debug!(number = gone.number, "lost the connection to redis");
            connector.attempts().lost(&last.pulse);
        }
        Err(error) => {
            tracing::debug!(%error, cause = error.cause(), "no connection to redis");
            connector.attempts().failed(&error);
            settle(&gone.state, number, State::Failed(error.clone()));
            if purpose == Purpose::Commands
                && let Some(server) = server.upgrade()
            {
                server.gate().connection_failed(&error);
            }
        }
    }
}
