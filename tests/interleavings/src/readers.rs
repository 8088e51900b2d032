//! What the runtime does with reads, in miniature: callers who read what a writer changes.
//!
//! The one rule: **nobody gets a reply to a read that was sent before it came.**

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    slice,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use shuttle::thread::{self, JoinHandle};

use crate::{
    reads::{Arrival, Batch, ENOUGH, Reads, Way},
    sync::{point, whole},
};

/// What becomes of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// It waits for its reply.
    Patient,
    /// It goes away instead of waiting for a batch.
    GivesUp,
    /// It waits for its reply, and insists on being read meanwhile.
    Insists,
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
    /// Whether one more read is enough for the next one to wait.
    pub busy: bool,
    /// How long a read may take before it does not count any more.
    pub patience: Patience,
    /// Whether the server refuses to read several keys in one command.
    pub refuses: bool,
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
    let others = readers.others();
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
    for (key, way) in others {
        readers.end(way, slice::from_ref(&key));
    }
    readers.over()
}

/// The reads of one connection.
#[derive(Debug)]
struct Readers {
    reads: Reads<u64>,
    keys: Vec<Arc<str>>,
    place: Place,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    now: u64,
    under_way: HashMap<Arc<str>, usize>,
    sent: u64,
    batches: Vec<JoinHandle<()>>,
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
            reads: Reads::new(patience),
            keys: (0..place.keys).map(key).collect(),
            place,
            ledger: Mutex::default(),
        }
    }

    /// Reads of other keys, all but one of those that are enough.
    fn others(&self) -> Vec<(Arc<str>, Way)> {
        let others = if self.place.busy { ENOUGH - 1 } else { 0 };
        let other = |number| {
            let key: Arc<str> = format!("others:{number}").into();
            match self.reads.arrive(&key, deadline(), Instant::now()) {
                Arrival::Go(way) => (key, way),
                Arrival::Wait(..) => panic!("not enough are under way"),
            }
        };
        (0..others).map(other).collect()
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
        while let Some(batch) = self.ledger(|ledger| ledger.batches.pop()) {
            batch.join().expect("a panic ends the schedule");
        }
        assert_eq!(self.reads.len(), 0, "a read without callers");
        self.ledger(|ledger| {
            assert!(ledger.under_way.values().all(|times| *times == 0));
            ledger.sent
        })
    }

    fn read(self: &Arc<Self>, key: &Arc<str>, read: Read) {
        point();
        let came = self.ledger(Ledger::tick);
        match self.reads.arrive(key, deadline(), Instant::now()) {
            Arrival::Go(way) => {
                let _passage = Passage::new(self, slice::from_ref(key), way);
                point();
                // Not reported as a panic.
                if read == Read::Panics {
                    resume_unwind(Box::new(Staged));
                }
            }
            Arrival::Wait(turn, batches) => {
                self.spawn(batches);
                match read {
                    Read::GivesUp => return drop(turn),
                    Read::Insists => self.spawn(self.reads.insist(key, Instant::now())),
                    Read::Patient | Read::Dropped | Read::Panics => {}
                }
                let sent = shuttle::future::block_on(turn).expect("nobody is forgotten");
                assert!(came < sent, "came at {came}, got a reply from {sent}");
            }
        }
    }

    fn spawn(self: &Arc<Self>, batches: Vec<Batch<u64>>) {
        for batch in batches {
            let readers = Arc::clone(self);
            let sending = thread::spawn(move || readers.send(batch));
            self.ledger(|ledger| ledger.batches.push(sending));
        }
    }

    fn send(self: &Arc<Self>, batch: Batch<u64>) {
        let passage = Passage::new(self, &batch.keys, batch.way);
        point();
        if self.place.refuses && batch.keys.len() > 1 {
            let seats = batch.keys.iter().cloned().zip(batch.seats).collect();
            self.reads.go_alone(seats, batch.deadline, Instant::now());
            return;
        }
        for seat in batch.seats.into_iter().flatten() {
            // Some callers are gone.
            let _gone = seat.send(passage.sent);
        }
    }

    fn end(self: &Arc<Self>, way: Way, keys: &[Arc<str>]) {
        self.spawn(self.reads.end(way, keys, Some(8), Instant::now()));
    }

    fn ledger<R>(&self, entry: impl FnOnce(&mut Ledger) -> R) -> R {
        entry(&mut whole(&self.ledger))
    }
}

/// Later than the end of any schedule.
fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

impl Ledger {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

/// A read that was sent; its way ends when this is dropped.
struct Passage<'a> {
    readers: &'a Arc<Readers>,
    keys: &'a [Arc<str>],
    way: Way,
    sent: u64,
}

impl<'a> Passage<'a> {
    fn new(readers: &'a Arc<Readers>, keys: &'a [Arc<str>], way: Way) -> Self {
        let endless = readers.place.patience == Patience::Endless;
        let sent = readers.ledger(|ledger| {
            for key in keys {
                let times = ledger.under_way.entry(Arc::clone(key)).or_default();
                *times += 1;
                assert!(!endless || *times <= 2, "{times} reads of {key} under way");
            }
            ledger.sent += 1;
            ledger.tick()
        });
        Self {
            readers,
            keys,
            way,
            sent,
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.readers.ledger(|ledger| {
            for key in self.keys {
                *ledger.under_way.get_mut(key).expect("it was sent") -= 1;
            }
        });
        self.readers.end(self.way, self.keys);
    }
}
