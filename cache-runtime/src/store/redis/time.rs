//! What time it is by the server of one link.
//!
//! The one rule: **the age of an entry in Redis is told by the clock of the server that has the entry**, so the link that
//! read it is asked.

use std::time::Instant;

use bytes::Bytes;

use super::{
    gate::Urgency,
    link::Link,
    request::{Reply, Request, unexpected},
    retry::Repeat,
};
use crate::error::Error;

impl Link {
    /// TIME, in milliseconds since 1970.
    pub(crate) async fn time(&self, deadline: Instant) -> Result<u64, Error> {
        let asked = self.server().time().ask();
        let sent = Instant::now();
        let command = redis::cmd("TIME");
        let request = Request::Command(&command);
        let reply = self
            .send(request, Repeat::Safe, Urgency::Ordinary, deadline, sent)
            .await?;
        let Reply::List(parts) = reply else {
            return Err(unexpected("TIME"));
        };
        let [Reply::Bytes(seconds), Reply::Bytes(micros)] = parts.as_slice() else {
            return Err(unexpected("TIME"));
        };
        let number = |text: &Bytes| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
        let (Some(seconds), Some(micros)) = (number(seconds), number(micros)) else {
            return Err(unexpected("TIME"));
        };
        let time = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        // The server read its clock somewhere between the sending and the reply, for which the middle stands.
        self.server()
            .time()
            .read(asked, sent + sent.elapsed() / 2, time);
        Ok(time)
    }

    /// The server's time, if it said so lately.
    pub(crate) fn known_time(&self, now: Instant) -> Option<u64> {
        self.server().time().at(now)
    }

    /// Whether the server is to be asked for its time by a caller who doubts what is known.
    pub(crate) fn is_time_to_be_asked(&self, now: Instant) -> bool {
        self.server().time().is_to_be_asked(now)
    }

    /// The server's time as far as anybody knows.
    pub(crate) fn guessed_time(&self, now: Instant) -> u64 {
        self.server().time().guess(now)
    }
}
