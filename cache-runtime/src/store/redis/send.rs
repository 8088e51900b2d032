//! Sends one request on a link, and again where that is safe.
//!
//! The one rule: **a request costs its caller no more than until its deadline**, however often it is sent, and whatever
//! it waits for: the breaker's leave, a connection, a pause, the reply. Whether it is sent again,
//! [`retry`](super::retry) says.

use std::{future::Future, time::Instant};

use tokio::time::{sleep_until, timeout_at};

use super::{
    gate::Urgency,
    link::Link,
    request::{Reply, Request},
    retry::{Again, BUSY_PAUSE, FailureKind, Repeat},
};
use crate::error::{Error, ErrorKind};

impl Link {
    /// Sends one request on the connection of this link, which is made first if there is none. `now`: the time of the call,
    /// because whoever asks has mostly looked at the clock, and each look costs a hit.
    ///
    /// # Errors
    ///
    /// Why there is no reply, or what the server says instead of one.
    ///
    /// # Cancel safety
    ///
    /// A request whose future is dropped may be executed or not.
    pub(super) fn send<'a>(
        &'a self,
        request: Request<'a>,
        repeat: Repeat,
        urgency: Urgency,
        deadline: Instant,
        now: Instant,
    ) -> impl Future<Output = Result<Reply, Error>> {
        let server = self.server();
        // A block, because an `async fn` would have its arguments twice, and this future is a part of a hit's.
        async move {
            let mut permit = server.gate().admit(urgency)?;
            let mut again = None;
            let mut broken = None;
            loop {
                let since = again.map_or(now, |_| Instant::now());
                server.connector().auth().ensure_refresher(since);
                let up = self.up().filter(|_| broken.is_none());
                let (live, asked) = match up {
                    Some(live) => (live, since),
                    None => match Box::pin(self.live(broken, deadline)).await {
                        Ok(live) => (live, Instant::now()),
                        Err(error) => {
                            if error.is_timeout() && server.is_stall(Some(since)) {
                                server.stalled();
                            }
                            return Err(error);
                        }
                    },
                };
                live.pulse.asked(asked);
                let error = match timeout_at(deadline.into(), request.send_on(&live)).await {
                    Ok(Ok(reply)) => {
                        permit.replied();
                        return Ok(reply);
                    }
                    Ok(Err(error)) => error,
                    Err(_) => {
                        self.unanswered(&live);
                        return Err(too_late());
                    }
                };
                if error.code() == Some("NOAUTH") {
                    self.not_logged_in(live.number);
                }
                let failure = FailureKind::of(&error);
                again = failure.again(repeat, again).filter(|again| {
                    // Asked last, because asking notes that the connection is replaced.
                    *again != Again::OtherServer || self.replaces(live.number)
                });
                broken = match again {
                    None => {
                        if failure.is_reply() {
                            permit.replied();
                        }
                        return Err(Error::from_redis(&error));
                    }
                    Some(Again::NewConnection | Again::OtherServer) => Some(live.number),
                    Some(Again::SameConnection) => {
                        let pause = Instant::now() + BUSY_PAUSE;
                        Box::pin(sleep_until(pause.min(deadline).into())).await;
                        None
                    }
                };
                // The permit is given back first, because a breaker that is half-open may have no other to give.
                drop(permit);
                permit = server.gate().admit(urgency)?;
            }
        }
    }
}

pub(super) fn too_late() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "redis did not answer within the timeout",
    )
}
