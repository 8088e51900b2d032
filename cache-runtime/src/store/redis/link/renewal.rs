//! How a connection moves to a newer login while calls go on.
//!
//! The one rule: **new credentials are first proved as the login of a new connection.** The new connection then takes
//! the place of the old one, which is closed once everything that was sent on it is answered. Nothing that may be
//! refused is ever sent on a connection that others wait on: redis-server 8.2 can lose the reply to a refused `AUTH`
//! there, and every later reply then reaches the wrong caller (<https://github.com/redis/redis/issues/15640>).
//!
//! A connection for which the server keeps something, which a new one would lack, is logged in again in place, with the
//! credentials that were proved; it is closed unless `OK` comes back. If the server then refuses what it took a moment
//! before, replies that came together with the refusal may still go astray.
//!
//! Credentials that the server refuses, or that it cannot be asked about, change nothing for the connection
//! that stands.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use redis::{Value, aio::ConnectionLike};
use tokio::time::timeout;

use super::state::{GoneOnDrop, Handover, State};
use crate::{
    auth::Credentials,
    base::backoff::Pauses,
    store::redis::{
        connect::{Connector, Driver},
        live::{LONGEST, Live, Purpose, Session},
        server::Server,
    },
};

/// The pause between two attempts to move to newer credentials; doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Drives a connection, and those that take its place, until the last one is lost, and returns that one.
pub(super) async fn drive(
    server: &Weak<Server>,
    connector: &Connector,
    purpose: Purpose,
    mut live: Arc<Live>,
    mut driver: Driver,
    gone: &mut GoneOnDrop,
) -> Arc<Live> {
    loop {
        let proved = tokio::select! {
            // First, so that a connection that is lost is not renewed.
            biased;
            () = &mut driver => return live,
            proved = prove(connector, purpose, &live.credentials) => proved,
        };
        let number = server.upgrade().map(|server| {
            // Behind a name there may be another server by now.
            server.time().forget();
            server.next_connection()
        });
        let Some(number) = number else {
            return live;
        };
        let (next, next_driver) = Live::new(proved, number);
        match gone.hand_over(&next) {
            Handover::Done => {
                tracing::debug!(
                    from = live.number,
                    to = number,
                    "a connection with the new login takes over"
                );
                let old = std::mem::replace(&mut driver, next_driver);
                let longest = time_to_drain(&live.credentials);
                live = next;
                drain(old, longest, gone);
            }
            Handover::Pinned => {
                let credentials = next.credentials.clone();
                // The new connection has served its purpose: the server took the credentials.
                drop((next, next_driver));
                let logged_in = tokio::select! {
                    biased;
                    () = &mut driver => return live,
                    logged_in = log_in_again(&live, &credentials) => logged_in,
                };
                if !logged_in {
                    tracing::warn!(
                        number = live.number,
                        "redis did not take the new login of a connection"
                    );
                    return live;
                }
                Arc::make_mut(&mut live).credentials = credentials;
                if gone.hand_over(&live) != Handover::Done {
                    return live;
                }
            }
            Handover::Gone => return live,
        }
    }
}

/// Waits for newer credentials, and proves them: a new connection, logged in with them.
async fn prove(connector: &Connector, purpose: Purpose, present: &Credentials) -> Session {
    let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let credentials = connector.auth().newer(present).await;
        let turn = connector.auth().turn(present).await;
        match Session::with(connector, purpose, credentials.clone()).await {
            Ok(session) => return session,
            Err(error) => {
                tracing::debug!(%error, cause = error.cause(), "no connection with the new login yet");
            }
        }
        drop(turn);
        // Credentials that are newer still end the pause.
        let pause = pauses.next(fastrand::f64());
        let _better = timeout(pause, connector.auth().newer(&credentials)).await;
    }
}

/// `AUTH` on a connection that others use. Whether the server said `OK`, in time.
///
/// An `ECHO` follows the `AUTH`, because where the server loses its answer to the `AUTH`, the next answer is taken for
/// it, and that of another command might be `OK`. Both wait behind a command that blocks, for as long as the old login
/// lives.
async fn log_in_again(live: &Live, credentials: &Credentials) -> bool {
    let Some(login) = credentials.login() else {
        return true;
    };
    let mut auth = redis::cmd("AUTH");
    if let Some(username) = &login.username {
        auth.arg(username);
    }
    auth.arg(login.password.expose());
    let mut commands = redis::Pipeline::with_capacity(2);
    commands.add_command(auth).cmd("ECHO").arg("logged in");
    let mut connection = live.connection.clone();
    let longest = time_to_drain(&live.credentials);
    let answers = timeout(longest, connection.req_packed_commands(&commands, 0, 2)).await;
    matches!(answers, Ok(Ok(answers)) if answers.first() == Some(&Value::Okay))
}

/// How long the answers to what was sent may take: as long as the server lets the old login live.
fn time_to_drain(credentials: &Credentials) -> Duration {
    credentials.left().unwrap_or_default().max(LONGEST)
}

/// Drives a connection that has been replaced until everything that was sent on it is answered.
fn drain(driver: Driver, longest: Duration, gone: &GoneOnDrop) {
    let mut states = gone.state.subscribe();
    drop(tokio::spawn(async move {
        tokio::select! {
            // The driver ends when nobody can send any more and nobody waits.
            _ = timeout(longest, driver) => {}
            // The cache was shut down, or there is no link any more.
            _ = states.wait_for(|state| matches!(state, State::Closed)) => {}
        }
    }));
}
