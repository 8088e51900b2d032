//! Sends the reads that [`Reads`](super::reads::Reads) lets go, and hands out what comes of them.
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
use tokio::{
    task::yield_now,
    time::{sleep_until, timeout_at},
};

use super::{
    link::Link,
    reads::{Arrival, Batch, LINGER, Next, Read, Way},
    redis::{RedisStore, too_late},
};
use crate::{
    answer::Decoded,
    error::{Error, ErrorKind},
};

/// How exact a timer is.
const TICK: Duration = Duration::from_millis(1);

/// What a value counts for whose batch did not come in time.
const LARGE: usize = 64 * 1024;

/// What comes of one read.
pub(crate) type Reply = Result<Option<Fetched>, Error>;

/// The bytes of a value.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    /// Where other callers get the same bytes.
    pub(crate) decoded: Option<Arc<Decoded>>,
}

impl Fetched {
    /// Bytes that no other caller gets.
    pub(crate) fn alone(bytes: Bytes) -> Self {
        Self {
            bytes,
            decoded: None,
        }
    }

    fn shared(bytes: Bytes) -> Self {
        Self {
            bytes,
            decoded: Some(Arc::default()),
        }
    }
}

impl RedisStore {
    /// Reads one value on the connection of `link`, alone or with others.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing for those who read with it.
    pub(crate) async fn read(
        self: &Arc<Self>,
        link: &Arc<Link>,
        key: &Arc<str>,
        deadline: Instant,
    ) -> Reply {
        let now = Instant::now();
        match link.reads().arrive(key, deadline, now) {
            Arrival::Go(way) => {
                let mut passage = Passage {
                    store: Cow::Borrowed(self),
                    link: Cow::Borrowed(link),
                    way,
                    reply: None,
                };
                let reply = self.get(link, key, deadline).await;
                passage.reply = reply.as_ref().ok().map(|value| (1, size(value)));
                Ok(reply?.map(Fetched::alone))
            }
            Arrival::Wait(turn, next) => {
                go_on(self, link, next);
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
}

fn size(value: &Option<Bytes>) -> usize {
    value.as_ref().map_or(0, Bytes::len)
}

/// Reads that are on their way, until this is dropped: a caller's own, or those of a batch.
struct Passage<'a> {
    store: Cow<'a, Arc<RedisStore>>,
    link: Cow<'a, Arc<Link>>,
    way: Way,
    /// How many values came, and of how many bytes.
    reply: Option<(usize, usize)>,
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let next = self.link.reads().end(self.way, self.reply, Instant::now());
        go_on(&self.store, &self.link, next);
    }
}

/// Does what is next, each in a task of its own on the runtime of the link.
fn go_on(store: &Arc<RedisStore>, link: &Arc<Link>, next: Next<Reply>) {
    spawn(store, link, next.batches);
    if next.depart {
        let departure = Departure {
            store: Arc::clone(store),
            link: Arc::clone(link),
            is_over: false,
        };
        link.runtime().spawn(departure.depart());
    }
    if next.hurry {
        // Whoever waits keeps both.
        let (weak_store, weak_link) = (Arc::downgrade(store), Arc::downgrade(link));
        link.runtime().spawn(async move {
            let mut again = Some(Instant::now() + LINGER);
            while let Some(at) = again {
                sleep_until(at.into()).await;
                let (Some(store), Some(link)) = (weak_store.upgrade(), weak_link.upgrade()) else {
                    return;
                };
                let (batches, next) = link.reads().hurry(Instant::now());
                spawn(&store, &link, batches);
                again = next;
            }
        });
    }
}

/// The duty to let those go who wait; dropped before that, it lets them go at once.
struct Departure {
    store: Arc<RedisStore>,
    link: Arc<Link>,
    is_over: bool,
}

impl Departure {
    async fn depart(mut self) {
        yield_now().await;
        let mut batches = self.take();
        let last = batches.pop();
        spawn(&self.store, &self.link, batches);
        if let Some(batch) = last {
            send(Passage::of(&self.store, &self.link, batch.way), batch).await;
        }
    }

    fn take(&mut self) -> Vec<Batch<Reply>> {
        self.is_over = true;
        self.link.reads().depart(Instant::now())
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if !self.is_over {
            // Where the runtime has ended, their callers are told.
            let batches = self.take();
            spawn(&self.store, &self.link, batches);
        }
    }
}

impl Passage<'static> {
    fn of(store: &Arc<RedisStore>, link: &Arc<Link>, way: Way) -> Self {
        Self {
            store: Cow::Owned(Arc::clone(store)),
            link: Cow::Owned(Arc::clone(link)),
            way,
            reply: None,
        }
    }
}

fn spawn(store: &Arc<RedisStore>, link: &Arc<Link>, batches: Vec<Batch<Reply>>) {
    for batch in batches {
        // Made here: a task that ends before its first poll drops its arguments, and nothing else.
        let passage = Passage::of(store, link, batch.way);
        link.runtime().spawn(send(passage, batch));
    }
}

async fn send(mut passage: Passage<'static>, batch: Batch<Reply>) {
    let (store, link) = (Arc::clone(&passage.store), Arc::clone(&passage.link));
    let Batch {
        mut reads,
        deadline,
        ..
    } = batch;
    let keys: Vec<_> = reads.iter().map(|read| Arc::clone(&read.key)).collect();
    let reading = async {
        match &*keys {
            [key] => store
                .get(&link, key, deadline)
                .await
                .map(|value| vec![value]),
            keys => store.get_many(&link, keys, deadline).await,
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
                    store.unanswered(&link, &live);
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
                answer(read, Ok(value.map(fetched)));
            }
        }
        // It may have been one of them, or that they were many; each asks again for itself.
        Err(error) if keys.len() > 1 && was_refused(&error) => {
            tracing::debug!(%error, "values are read one by one for a while");
            link.reads().go_alone(reads, Instant::now());
        }
        Err(error) => {
            if error.is_timeout() {
                // They may be large all of a sudden, and fewer at a time might have come.
                passage.reply = Some((keys.len(), keys.len() * LARGE));
            }
            for read in reads {
                answer(read, Err(error.clone()));
            }
        }
    }
}

fn answer(mut read: Read<Reply>, reply: Reply) {
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
