//! What the runtime does with reads, in miniature: callers who read what a writer changes.
//!
//! The one rule: **nobody gets a reply to a read that was sent before it came.**

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use shuttle::thread::{self, JoinHandle};

use crate::{
    base::sync::{oneshot, point, whole},
    batch::{Arrival, Batch, Batches, Duties, ENOUGH, Way},
};

/// What becomes of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// It waits for its reply.
    Patient,
    /// It goes away instead of waiting for a batch.
    GivesUp,
    /// If it reads for itself, it goes away before the reply.
    Dropped,
    /// If it reads for itself, it panics before the reply.
    Panics,
}

/// What callers find.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// How many keys there are. A thread's first read is of the key with its number, the next one of the next.
    pub keys: usize,
    /// Who is there already.
    pub others: Others,
    /// How long a read may take before it does not count any more.
    pub patience: Patience,
    /// Whether the server refuses to read several keys in one command.
    pub refuses: bool,
    /// Whether reads that wait have soon waited for too long.
    pub hurries: bool,
}

/// Who reads other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// So many that one more read is enough for the next one to wait.
    Busy,
    /// Many did, who are gone: reads wait for those who come with them.
    Gone,
    /// As many as are busy, and those who wait with them: one more key fills their batch.
    Waiting,
}

/// How long a read may take before it does not count any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Longer than any read here.
    Endless,
    /// No time at all, so that none counts.
    None,
}

/// Lets one thread each read like this, and checks what must be so at any time and at the end; how
/// many reads were sent.
///
/// To be called in a scenario of [`Schedules`](crate::Schedules).
///
/// # Panics
///
/// If it is not so.
pub fn read(place: Place, threads: &[&[Read]]) -> u64 {
    let readers = Arc::new(Readers::new(place));
    let (ways, turns) = readers.others();
    let start = |(first, reads): (usize, &&[Read])| {
        let (readers, reads) = (Arc::clone(&readers), reads.to_vec());
        thread::spawn(move || {
            for (number, read) in (first..).zip(reads) {
                readers.call(number % place.keys, read);
            }
        })
    };
    let threads: Vec<_> = threads.iter().enumerate().map(start).collect();
    for thread in threads {
        thread.join().expect("a panic ends the schedule");
    }
    drop(turns);
    for way in ways {
        readers.end(way, 1);
    }
    readers.over()
}

/// The reads of one connection.
#[derive(Debug)]
struct Readers {
    batches: Batches<u64>,
    keys: Vec<Arc<str>>,
    place: Place,
    /// Stands still, except for those who hurry.
    now: Instant,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    ticks: u64,
    sent: u64,
    /// Who sends batches, or is to let others go.
    duties: Vec<JoinHandle<()>>,
}

/// The payload of a panic that belongs to the scenario.
struct Staged;

impl Readers {
    fn new(place: Place) -> Self {
        let patience = match place.patience {
            Patience::Endless => Duration::MAX,
            Patience::None => Duration::ZERO,
        };
        let key = |number| format!("users:{number}").into();
        Self {
            batches: Batches::new(patience),
            keys: (0..place.keys).map(key).collect(),
            place,
            now: Instant::now(),
            ledger: Mutex::default(),
        }
    }

    /// What is on its way for others, and those of them who wait.
    fn others(self: &Arc<Self>) -> (Vec<Way>, Vec<oneshot::Receiver<u64>>) {
        let (mut ways, mut turns) = (Vec::new(), Vec::new());
        let others = match self.place.others {
            Others::Busy => ENOUGH - 1,
            Others::Gone => 2 * ENOUGH,
            Others::Waiting => 2 * ENOUGH - 1,
        };
        for number in 0..others {
            let key = format!("others:{number}").into();
            match self.batches.arrive(&key, self.deadline(), self.now) {
                Arrival::Go(way) => ways.push(way),
                Arrival::Wait(turn, next) => {
                    turns.push(turn);
                    self.go_on(next);
                }
            }
        }
        match self.place.others {
            Others::Busy => {}
            Others::Gone => {
                ways.drain(..).for_each(|way| self.end(way, 1));
                // The last one filled a batch, which ends too.
                self.duties_are_done();
            }
            Others::Waiting => self.end(ways.remove(0), 1),
        }
        (ways, turns)
    }

    fn call(self: &Arc<Self>, key: usize, read: Read) {
        let called = catch_unwind(AssertUnwindSafe(|| self.read(&self.keys[key], read)));
        if let Err(panic) = called
            && !panic.is::<Staged>()
        {
            resume_unwind(panic);
        }
    }

    /// What must be so when everybody is gone; how many reads were sent.
    fn over(&self) -> u64 {
        self.duties_are_done();
        assert_eq!(self.batches.len(), 0, "a read without callers");
        self.ledger(|ledger| ledger.sent)
    }

    fn duties_are_done(&self) {
        while let Some(duty) = self.ledger(|ledger| ledger.duties.pop()) {
            duty.join().expect("a panic ends the schedule");
        }
    }

    fn read(self: &Arc<Self>, key: &Arc<str>, read: Read) {
        point();
        let came = self.ledger(Ledger::tick);
        match self.batches.arrive(key, self.deadline(), self.now) {
            Arrival::Go(way) => {
                let _passage = Passage::new(self, way, 1);
                point();
                // Not reported as a panic.
                if read == Read::Panics {
                    resume_unwind(Box::new(Staged));
                }
            }
            Arrival::Wait(turn, next) => {
                self.go_on(next);
                if read == Read::GivesUp {
                    return drop(turn);
                }
                let sent = shuttle::future::block_on(turn).expect("nobody is forgotten");
                assert!(came < sent, "came at {came}, got a reply from {sent}");
            }
        }
    }

    /// Does what is next, each in a thread of its own.
    fn go_on(self: &Arc<Self>, next: Duties<u64>) {
        self.spawn(next.batches);
        if next.depart {
            self.duty(|readers| readers.spawn(readers.batches.depart(readers.now)));
        }
        if next.hurry && self.place.hurries {
            self.duty(|readers| {
                let mut again = Some(readers.now);
                while let Some(at) = again {
                    // The first time is too early for those who have just come.
                    let (batches, next) = readers.batches.hurry(at);
                    readers.spawn(batches);
                    again = next;
                }
            });
        }
    }

    fn spawn(self: &Arc<Self>, batches: Vec<Batch<u64>>) {
        for batch in batches {
            self.duty(|readers| readers.send(batch));
        }
    }

    fn duty(self: &Arc<Self>, duty: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let readers = Arc::clone(self);
        let duty = thread::spawn(move || duty(&readers));
        self.ledger(|ledger| ledger.duties.push(duty));
    }

    fn send(self: &Arc<Self>, batch: Batch<u64>) {
        let passage = Passage::new(self, batch.way, batch.reads.len());
        point();
        if self.place.refuses && batch.reads.len() > 1 {
            self.batches.go_alone(batch.reads, self.now);
            return;
        }
        for seat in batch.reads.into_iter().flat_map(|read| read.seats) {
            // Some callers are gone.
            let _gone = seat.turn.send(passage.sent);
        }
    }

    fn end(self: &Arc<Self>, way: Way, values: usize) {
        self.go_on(self.batches.end(way, Some((values, 8)), self.now));
    }

    /// Later than the end of any schedule.
    fn deadline(&self) -> Instant {
        self.now + Duration::from_secs(3600)
    }

    fn ledger<R>(&self, entry: impl FnOnce(&mut Ledger) -> R) -> R {
        entry(&mut whole(&self.ledger))
    }
}

impl Ledger {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

/// A read that was sent; its way ends when this is dropped.
struct Passage<'a> {
    readers: &'a Arc<Readers>,
    way: Way,
    values: usize,
    sent: u64,
}

impl<'a> Passage<'a> {
    fn new(readers: &'a Arc<Readers>, way: Way, values: usize) -> Self {
        let sent = readers.ledger(|ledger| {
            ledger.sent += 1;
            ledger.tick()
        });
        Self {
            readers,
            way,
            values,
            sent,
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.readers.end(self.way, self.values);
    }
}
