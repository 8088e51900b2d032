//! Callers of one key share one read of the store.
//!
//! The one rule: **a reply belongs to the callers that came before the read was sent**; later ones
//! share the next read. At most two reads of a key are under way, so that a reply that is lost
//! holds up nobody but those who asked for it; one that takes longer than any may, because its
//! caller is kept and not polled, does not count.
//!
//! The runner of a read owns its batch: dropped before it replied, it hands the batch to one of
//! its members, who sends a read of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{flight::push_seat, sharded::Sharded, sync::oneshot};

const UNDER_WAY: u16 = 2;

/// The reads of one cache that are under way, by key.
#[derive(Debug)]
pub(crate) struct SharedReads<T> {
    queues: Sharded<Queue<T>>,
    patience: Duration,
}

#[derive(Debug)]
struct Queue<T> {
    under_way: u16,
    /// When the latest of them was sent.
    since: Instant,
    /// Those who came after the reads under way were sent.
    next: Vec<Seat<T>>,
}

type Seat<T> = oneshot::Sender<Turn<T>>;

/// What a caller does first.
#[derive(Debug)]
pub(crate) enum Arrival<T> {
    /// Send a read.
    Run(Runner<T>),
    /// Wait for the next one; a channel that closes without a turn means: ask again.
    Wait(oneshot::Receiver<Turn<T>>),
}

/// What comes of waiting.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    /// The reply to a read that was sent after the caller came.
    Reply(T),
    /// Send the read for all who came since the last one.
    Run(Runner<T>),
}

/// The duty to send a read and to share its reply.
#[derive(Debug)]
pub(crate) struct Runner<T> {
    reads: Arc<SharedReads<T>>,
    key: Arc<str>,
    batch: Vec<Seat<T>>,
    over: bool,
}

impl<T> SharedReads<T> {
    /// `patience`: after it, a read that did not reply is taken for abandoned.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            queues: Sharded::new(),
            patience,
        }
    }

    /// Registers a caller of `key`.
    pub(crate) fn arrive(self: &Arc<Self>, key: &Arc<str>) -> Arrival<T> {
        let mut shard = self.queues.lock(key);
        if let Some(queue) = shard.get_mut(key) {
            if queue.under_way >= UNDER_WAY && queue.since.elapsed() < self.patience {
                let (seat, turn) = oneshot::channel();
                push_seat(&mut queue.next, seat, Seat::is_closed);
                return Arrival::Wait(turn);
            }
            queue.under_way = queue.under_way.saturating_add(1);
            queue.since = Instant::now();
        } else {
            let queue = Queue {
                under_way: 1,
                since: Instant::now(),
                next: Vec::new(),
            };
            shard.insert(Arc::clone(key), queue);
        }
        Arrival::Run(Runner {
            reads: Arc::clone(self),
            key: Arc::clone(key),
            batch: Vec::new(),
            over: false,
        })
    }

    /// How many keys are being read right now.
    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }
}

impl<T: Clone> Runner<T> {
    /// Shares the reply with those who came before the read was sent.
    pub(crate) fn reply(mut self, reply: &T) {
        for seat in std::mem::take(&mut self.batch) {
            // A caller that is gone needs no reply.
            drop(seat.send(Turn::Reply(reply.clone())));
        }
        // Dropping the runner lets the next batch go.
    }
}

impl<T> Drop for Runner<T> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        loop {
            {
                let mut shard = self.reads.queues.lock(&self.key);
                let Some(queue) = shard.get_mut(&*self.key) else {
                    return;
                };
                if batch.is_empty() {
                    batch = std::mem::take(&mut queue.next);
                }
                if batch.is_empty() {
                    queue.under_way -= 1;
                    if queue.under_way == 0 {
                        shard.remove(&*self.key);
                    }
                    return;
                }
                queue.since = Instant::now();
            }
            let Some(heir) = batch.pop() else { continue };
            let runner = Self {
                reads: Arc::clone(&self.reads),
                key: Arc::clone(&self.key),
                batch,
                over: false,
            };
            // Sent with no lock held: a caller that is gone gives the batch back.
            match heir.send(Turn::Run(runner)) {
                Err(Turn::Run(mut returned)) => {
                    batch = std::mem::take(&mut returned.batch);
                    returned.over = true;
                }
                Ok(()) | Err(Turn::Reply(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;
