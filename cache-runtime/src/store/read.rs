//! Sends the reads that [`Reads`](super::reads::Reads) lets go, and hands out what comes of them.
//!
//! The one rule: **whatever becomes of a read, its way ends, and those who wait go next**: a `Drop` ends it,
//! wherever its future is dropped.

use std::{borrow::Cow, slice, sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::{sync::oneshot, time::timeout_at};

use super::{
    link::Link,
    reads::{Arrival, Batch, LINGER, Way},
    redis::RedisStore,
};
use crate::error::{Error, ErrorKind};

/// What comes of one read.
pub(crate) type Reply = Result<Option<Bytes>, Error>;

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
                    keys: Cow::Borrowed(slice::from_ref(key)),
                    way,
                    bytes: None,
                };
                let reply = self.get(link, key, deadline).await;
                passage.bytes = reply.as_ref().ok().map(size);
                reply
            }
            Arrival::Wait(mut turn, batches) => {
                spawn(self, link, batches);
                let soon = deadline.min(now + LINGER);
                let told = match timeout_at(soon.into(), &mut turn).await {
                    Ok(told) => Ok(told),
                    Err(_) => {
                        spawn(self, link, link.reads().insist(key, Instant::now()));
                        timeout_at(deadline.into(), turn).await
                    }
                };
                match told {
                    Ok(Ok(reply)) => reply,
                    Ok(Err(_)) => Err(Error::new(
                        ErrorKind::Unavailable,
                        "a read that was to be sent with others was given up",
                    )),
                    Err(_) => Err(Error::new(
                        ErrorKind::Timeout,
                        "redis did not answer within the timeout",
                    )),
                }
            }
        }
    }
}

fn size(value: &Option<Bytes>) -> usize {
    value.as_ref().map_or(0, Bytes::len)
}

/// Keys that are on their way, until this is dropped: a caller's own, or those of a batch.
struct Passage<'a> {
    store: Cow<'a, Arc<RedisStore>>,
    link: Cow<'a, Arc<Link>>,
    keys: Cow<'a, [Arc<str>]>,
    way: Way,
    /// How much came, if a reply did.
    bytes: Option<usize>,
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let reads = self.link.reads();
        let next = reads.end(self.way, &self.keys, self.bytes, Instant::now());
        spawn(&self.store, &self.link, next);
    }
}

/// Sends each batch from a task of its own, on the runtime of the link.
fn spawn(store: &Arc<RedisStore>, link: &Arc<Link>, batches: Vec<Batch<Reply>>) {
    for batch in batches {
        // Made here: a task that ends before its first poll drops its arguments, and nothing else.
        let passage = Passage {
            store: Cow::Owned(Arc::clone(store)),
            link: Cow::Owned(Arc::clone(link)),
            keys: Cow::Owned(batch.keys),
            way: batch.way,
            bytes: None,
        };
        let sending = send(passage, batch.seats, batch.deadline);
        link.runtime().spawn(sending);
    }
}

async fn send(
    mut passage: Passage<'static>,
    seats: Vec<Vec<oneshot::Sender<Reply>>>,
    deadline: Instant,
) {
    let Passage {
        store, link, keys, ..
    } = &passage;
    let values = match &**keys {
        [key] => store
            .get(link, key, deadline)
            .await
            .map(|value| vec![value]),
        keys => store.get_many(link, keys, deadline).await,
    };
    match values {
        Ok(values) => {
            passage.bytes = Some(values.iter().map(size).sum());
            for (seats, value) in seats.into_iter().zip(values) {
                answer(seats, &Ok(value));
            }
        }
        // It may have been one of them, or that they were many; each asks again for itself.
        Err(error) if keys.len() > 1 && was_refused(&error) => {
            tracing::debug!(%error, "values are read one by one for a while");
            let seats = keys.iter().cloned().zip(seats).collect();
            link.reads().go_alone(seats, deadline, Instant::now());
        }
        Err(error) => {
            for seats in seats {
                answer(seats, &Err(error.clone()));
            }
        }
    }
}

fn answer(seats: Vec<oneshot::Sender<Reply>>, reply: &Reply) {
    for seat in seats {
        // A caller that is gone needs no reply.
        drop(seat.send(reply.clone()));
    }
}

/// Whether the server read the command, and would not execute it.
fn was_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Server | ErrorKind::Auth)
}
