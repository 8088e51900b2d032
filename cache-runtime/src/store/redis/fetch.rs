//! Sends the reads that [`Batches`](super::batch::Batches) lets go, and hands out what comes of them.
//!
//! The one rule: **whatever becomes of a read, its way ends, and the waiting reads are next**: a guard ends it,
//! wherever the read's future is dropped.

use std::{
    borrow::Cow,
    future::Future,
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
use crate::{
    error::{Error, ErrorKind},
    store::{
        budget::TimeLimit,
        fetched::{FetchResult, Fetched},
    },
};

/// How exact a timer is.
const TICK: Duration = Duration::from_millis(1);

/// The size that each value of a batch counts with, if the batch did not come in time.
const LARGE: usize = 64 * 1024;

impl Link {
    /// Reads one value, alone or with others; with the time at which that ended.
    ///
    /// # Errors
    ///
    /// Why it could not be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing for the callers that share the read.
    pub(crate) async fn read(
        self: &Arc<Self>,
        key: &Arc<str>,
        limit: TimeLimit,
    ) -> (FetchResult, Instant) {
        let arrived = match self.batches().arrive(key, limit.deadline, limit.start) {
            Arrival::Go(way) => Ok(way),
            Arrival::Wait(turn, next) => {
                go_on(self, next);
                Err(turn)
            }
        };
        match arrived {
            Ok(way) => {
                let passage = Passage {
                    link: Cow::Borrowed(self),
                    way: Some(way),
                };
                let reply = self.get(key, &limit).await;
                let now = Instant::now();
                let came = reply.as_ref().ok().map(|value| (1, size(value)));
                passage.end(came, now);
                (reply.map(|value| value.map(Fetched::alone)), now)
            }
            Err(turn) => {
                // The task that drives a batch has a timer, and a read is in a batch within about `LINGER`. So only a
                // caller whose deadline may come before that needs a timer of its own.
                let told = if limit.deadline < limit.start + 4 * LINGER {
                    timeout_at(limit.deadline.into(), turn).await
                } else {
                    Ok(turn.await)
                };
                let reply = match told {
                    Ok(Ok(reply)) => reply,
                    Ok(Err(_)) => Err(Error::new(
                        ErrorKind::Unavailable,
                        "a read that was to be sent with others was given up",
                    )),
                    Err(_) => Err(too_late()),
                };
                (reply, Instant::now())
            }
        }
    }

    /// GET.
    // A block, because an `async fn` would keep its arguments beside the command, and this future is a part of a hit's.
    fn get<'a>(
        &'a self,
        key: &str,
        limit: &'a TimeLimit,
    ) -> impl Future<Output = Result<Option<Bytes>, Error>> + use<'a> {
        let mut command = Cmd::with_capacity(2, key.len() + 3);
        command.arg("GET").arg(key);
        async move {
            let request = Request::Command(&command);
            let TimeLimit { start, deadline } = *limit;
            let sent = self.send(request, Repeat::Safe, Urgency::Ordinary, deadline, start);
            value(sent.await?, "GET")
        }
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
        let now = Instant::now();
        let sent = self.send(request, Repeat::Safe, Urgency::Ordinary, deadline, now);
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

/// A guard: the reads of `way`, a caller's own or those of a batch, are on their way until they have ended, or it is dropped.
struct Passage<'a> {
    link: Cow<'a, Arc<Link>>,
    /// `None`: they have ended.
    way: Option<Way>,
}

impl Passage<'_> {
    /// They have ended now. `reply`: how many values came, and of how many bytes.
    #[inline]
    fn end(mut self, reply: Option<(usize, usize)>, now: Instant) {
        self.note_end(reply, || now);
    }

    #[inline]
    fn note_end(&mut self, reply: Option<(usize, usize)>, now: impl FnOnce() -> Instant) {
        if let Some(way) = self.way.take() {
            let next = self.link.batches().end(way, reply, now());
            go_on(&self.link, next);
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.note_end(None, Instant::now);
    }
}

/// Does what is next, each in a task of its own on the runtime of the link.
#[inline]
fn go_on(link: &Arc<Link>, next: Duties<FetchResult>) {
    // Mostly so, where few call at once.
    if next.are_none() {
        return;
    }
    do_next(link, next);
}

fn do_next(link: &Arc<Link>, next: Duties<FetchResult>) {
    spawn(link, next.batches);
    if next.depart {
        let departure = Departure {
            link: Arc::clone(link),
            disarmed: false,
        };
        link.runtime().spawn(departure.depart());
    }
    if next.hurry {
        // Weak, because the callers that wait keep the link.
        let weak = Arc::downgrade(link);
        link.runtime().spawn(async move {
            let mut again = Some(Instant::now() + LINGER);
            while let Some(at) = again {
                sleep_until(at.into()).await;
                let Some(link) = weak.upgrade() else {
                    return;
                };
                let (batches, next) = link.batches().hurry(Instant::now());
                spawn(&link, batches);
                again = next;
            }
        });
    }
}

/// A guard: its task sends the waiting reads once other tasks have run, and its drop sends them if the task ends
/// before.
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
            // Where the runtime has ended, the batches are dropped at once, which tells their callers.
            let batches = self.take();
            spawn(&self.link, batches);
        }
    }
}

impl Passage<'static> {
    fn of(link: &Arc<Link>, way: Way) -> Self {
        Self {
            link: Cow::Owned(Arc::clone(link)),
            way: Some(way),
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

async fn send(passage: Passage<'static>, batch: Batch<FetchResult>) {
    let link = Arc::clone(&passage.link);
    let Batch {
        mut reads,
        deadline,
        ..
    } = batch;
    let keys: Vec<_> = reads.iter().map(|read| Arc::clone(&read.key)).collect();
    let reading = async {
        match &*keys {
            [key] => {
                let start = Instant::now();
                let limit = TimeLimit { start, deadline };
                link.get(key, &limit).await.map(|value| vec![value])
            }
            keys => link.get_many(keys, deadline).await,
        }
    };
    let mut reading = pin!(reading);
    let values = loop {
        let seats = reads.iter().flat_map(|read| &read.seats);
        let first = seats.map(|seat| seat.deadline).min();
        // The callers that give up last get the error of the command itself, which knows why.
        let Some(early) = first.filter(|first| *first + TICK < deadline) else {
            break reading.await;
        };
        match timeout_at(early.into(), &mut reading).await {
            Ok(values) => break values,
            Err(_) => {
                // A paused tokio clock may be ahead of `Instant::now`; `early` has come by the clock of the timer.
                let now = early.max(Instant::now());
                for read in &mut reads {
                    for seat in read.seats.extract_if(.., |seat| seat.deadline <= now) {
                        drop(seat.turn.send(Err(too_late())));
                    }
                }
                // The breaker hears of it now, and not only when the last caller gives up.
                if let Some(live) = link.up() {
                    link.unanswered(&live);
                }
            }
        }
    };
    let reply = match values {
        Ok(values) => {
            let reply = (values.len(), values.iter().map(size).sum());
            for (read, value) in reads.into_iter().zip(values) {
                let fetched = if read.seats.len() > 1 {
                    Fetched::shared
                } else {
                    Fetched::alone
                };
                hand_out(read, Ok(value.map(fetched)));
            }
            Some(reply)
        }
        // The server may have refused one key, or that they were several; each key is asked for again, alone.
        Err(error) if keys.len() > 1 && was_refused(&error) => {
            tracing::debug!(%error, "values are read one by one for a while");
            link.batches().go_alone(reads, Instant::now());
            None
        }
        Err(error) => {
            for read in reads {
                hand_out(read, Err(error.clone()));
            }
            // The values may have become large, so that fewer at a time would have come.
            error.is_timeout().then(|| (keys.len(), keys.len() * LARGE))
        }
    };
    passage.end(reply, Instant::now());
}

/// Gives `reply` to each caller that waits for the value.
fn hand_out(mut read: Read<FetchResult>, reply: FetchResult) {
    let last = read.seats.pop();
    // A caller that is gone needs no reply.
    for seat in read.seats {
        drop(seat.turn.send(reply.clone()));
    }
    if let Some(last) = last {
        // The reply itself goes to the last caller, so that no user's value is dropped here while others wait.
        drop(last.turn.send(reply));
    }
}

/// Whether the server would not read several keys in one command: it has no MGET, or has the keys in several slots,
/// or the user may not read one of them.
fn was_refused(error: &Error) -> bool {
    let code = error.code();
    code.is_some_and(|code| matches!(code, "CROSSSLOT" | "ERR" | "MOVED" | "NOPERM" | "TRYAGAIN"))
}
