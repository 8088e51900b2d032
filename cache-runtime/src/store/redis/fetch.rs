//! Sends the reads that [`Batches`](super::batch::Batches) lets go, and hands out what comes of them.
//!
//! The one rule: **whatever becomes of a read, its way ends, and those who wait go next**: a `Drop` ends it,
//! wherever its future is dropped.

use std::{
    borrow::Cow,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::Cmd;
use tokio::{
    task::yield_now,
    time::{sleep_until, timeout_at},
};

use super::{
    batch::{Arrival, Batch, Duties, LINGER, Read, Way},
    gate::Urgency,
    link::Link,
    request::{Reply, Request, unexpected},
    retry::Repeat,
    send::too_late,
};
use crate::error::{Error, ErrorKind};
use crate::store::fetched::{FetchResult, Fetched};

/// How exact a timer is.
const TICK: Duration = Duration::from_millis(1);

/// What a value counts for whose batch did not come in time.
const LARGE: usize = 64 * 1024;

impl Link {
    /// Reads one value, alone or with others.
    ///
    /// # Errors
    ///
    /// Why it could not be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing for those who read with it.
    pub(crate) async fn read(self: &Arc<Self>, key: &Arc<str>, deadline: Instant) -> FetchResult {
        let now = Instant::now();
        match self.batches().arrive(key, deadline, now) {
            Arrival::Go(way) => {
                let mut passage = Passage {
                    link: Cow::Borrowed(self),
                    way,
                    reply: None,
                };
                let reply = self.get(key, deadline).await;
                passage.reply = reply.as_ref().ok().map(|value| (1, size(value)));
                Ok(reply?.map(Fetched::alone))
            }
            Arrival::Wait(turn, next) => {
                go_on(self, next);
                // Whoever drives the batch has a timer, which a read meets within about `LINGER`.
                let told = if deadline < now + 4 * LINGER {
                    timeout_at(deadline.into(), turn).await
                } else {
                    Ok(turn.await)
                };
                match told {
                    Ok(Ok(reply)) => reply,
                    Ok(Err(_)) => Err(Error::new(
                        ErrorKind::Unavailable,
                        "a read that was to be sent with others was given up",
                    )),
                    Err(_) => Err(too_late()),
                }
            }
        }
    }

    /// GET.
    async fn get(&self, key: &str, deadline: Instant) -> Result<Option<Bytes>, Error> {
        let mut command = Cmd::with_capacity(2, key.len() + 3);
        command.arg("GET").arg(key);
        let request = Request::Command(&command);
        let sent = self.send(request, Repeat::Safe, Urgency::Ordinary, deadline);
        value(sent.await?, "GET")
    }

    /// MGET: the values of `keys`, in their order.
    async fn get_many(
        &self,
        keys: &[Arc<str>],
        deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        let bytes = keys.iter().map(|key| key.len()).sum::<usize>();
        let mut command = Cmd::with_capacity(keys.len() + 1, bytes + 4);
        command.arg("MGET");
        for key in keys {
            command.arg(&**key);
        }
        let request = Request::Command(&command);
        let sent = self.send(request, Repeat::Safe, Urgency::Ordinary, deadline);
        match sent.await? {
            Reply::List(replies) if replies.len() == keys.len() => {
                let values = replies.into_iter().map(|reply| value(reply, "MGET"));
                values.collect()
            }
            _ => Err(unexpected("MGET")),
        }
    }
}

/// A value, or that there is none.
fn value(reply: Reply, command: &str) -> Result<Option<Bytes>, Error> {
    match reply {
        Reply::Bytes(bytes) => Ok(Some(bytes)),
        Reply::Nil => Ok(None),
        _ => Err(unexpected(command)),
    }
}

fn size(value: &Option<Bytes>) -> usize {
    value.as_ref().map_or(0, Bytes::len)
}

/// Reads that are on their way, until this is dropped: a caller's own, or those of a batch.
struct Passage<'a> {
    link: Cow<'a, Arc<Link>>,
    way: Way,
    /// How many values came, and of how many bytes.
    reply: Option<(usize, usize)>,
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let next = self
            .link
            .batches()
            .end(self.way, self.reply, Instant::now());
        go_on(&self.link, next);
    }
}

/// Does what is next, each in a task of its own on the runtime of the link.
fn go_on(link: &Arc<Link>, next: Duties<FetchResult>) {
    spawn(link, next.batches);
    if next.depart {
        let departure = Departure {
            link: Arc::clone(link),
            disarmed: false,
        };
        link.runtime().spawn(departure.depart());
    }
    if next.hurry {
        // Weak, because whoever waits keeps the link.
        let link_of_those = Arc::downgrade(link);
        link.runtime().spawn(async move {
            let mut again = Some(Instant::now() + LINGER);
            while let Some(at) = again {
                sleep_until(at.into()).await;
                let Some(link) = link_of_those.upgrade() else {
                    return;
                };
                let (batches, next) = link.batches().hurry(Instant::now());
                spawn(&link, batches);
                again = next;
            }
        });
    }
}

/// The duty to let those go who wait; dropped before that, it lets them go at once.
struct Departure {
    link: Arc<Link>,
    disarmed: bool,
}

impl Departure {
    async fn depart(mut self) {
        yield_now().await;
        let mut batches = self.take();
        let last = batches.pop();
        spawn(&self.link, batches);
        if let Some(batch) = last {
            send(Passage::of(&self.link, batch.way), batch).await;
        }
    }

    fn take(&mut self) -> Vec<Batch<FetchResult>> {
        self.disarmed = true;
        self.link.batches().depart(Instant::now())
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if !self.disarmed {
            // Where the runtime has ended, their callers are told.
            let batches = self.take();
            spawn(&self.link, batches);
        }
    }
}

impl Passage<'static> {
    fn of(link: &Arc<Link>, way: Way) -> Self {
        Self {
            link: Cow::Owned(Arc::clone(link)),
            way,
            reply: None,
        }
    }
}

fn spawn(link: &Arc<Link>, batches: Vec<Batch<FetchResult>>) {
    for batch in batches {
        // Made before the task begins, because a task that ends before its first poll drops its arguments, and nothing
        // else.
        let passage = Passage::of(link, batch.way);
        link.runtime().spawn(send(passage, batch));
    }
}

async fn send(mut passage: Passage<'static>, batch: Batch<FetchResult>) {
    let link = Arc::clone(&passage.link);
    let Batch {
        mut reads,
        deadline,
        ..
    } = batch;
    let keys: Vec<_> = reads.iter().map(|read| Arc::clone(&read.key)).collect();
    let reading = async {
        match &*keys {
            [key] => link.get(key, deadline).await.map(|value| vec![value]),
            keys => link.get_many(keys, deadline).await,
        }
    };
    let mut reading = pin!(reading);
    let values = loop {
        let seats = reads.iter().flat_map(|read| &read.seats);
        let first = seats.map(|seat| seat.deadline).min();
        // Those who give up last are told by what is read, which knows why.
        let Some(early) = first.filter(|first| *first + TICK < deadline) else {
            break reading.await;
        };
        match timeout_at(early.into(), &mut reading).await {
            Ok(values) => break values,
            Err(_) => {
                // On a clock that is paused, its time has come all the same.
                let now = early.max(Instant::now());
                for read in &mut reads {
                    for seat in read.seats.extract_if(.., |seat| seat.deadline <= now) {
                        drop(seat.turn.send(Err(too_late())));
                    }
                }
                // The breaker need not wait for the last of them.
                if let Some(live) = link.up() {
                    link.unanswered(&live);
                }
            }
        }
    };
    match values {
        Ok(values) => {
            passage.reply = Some((values.len(), values.iter().map(size).sum()));
            for (read, value) in reads.into_iter().zip(values) {
                let fetched = if read.seats.len() > 1 {
                    Fetched::shared
                } else {
                    Fetched::alone
                };
                hand_out(read, Ok(value.map(fetched)));
            }
        }
        // It may have been one of them, or that they were many; each asks again for itself.
        Err(error) if keys.len() > 1 && was_refused(&error) => {
            tracing::debug!(%error, "values are read one by one for a while");
            link.batches().go_alone(reads, Instant::now());
        }
        Err(error) => {
            if error.is_timeout() {
                // They may be large all of a sudden, and fewer at a time might have come.
                passage.reply = Some((keys.len(), keys.len() * LARGE));
            }
            for read in reads {
                hand_out(read, Err(error.clone()));
            }
        }
    }
}

/// Gives `reply` to each caller that waits for the value.
fn hand_out(mut read: Read<FetchResult>, reply: FetchResult) {
    let last = read.seats.pop();
    // A caller that is gone needs no reply.
    for seat in read.seats {
        drop(seat.turn.send(reply.clone()));
    }
    if let Some(last) = last {
        // Given away, so that no user's value ends here, where others wait.
        drop(last.turn.send(reply));
    }
}

/// Whether the server would not read several keys in one command: it has no MGET, or has the keys in several slots,
/// or the user may not read one of them.
fn was_refused(error: &Error) -> bool {
    let code = error.code();
    code.is_some_and(|code| matches!(code, "CROSSSLOT" | "ERR" | "MOVED" | "NOPERM" | "TRYAGAIN"))
}
