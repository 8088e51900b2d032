//! What the runtime does with shared reads, in miniature: callers who read what a writer changes.
//!
//! The one rule: **nobody gets a reply to a read that was sent before it came.**

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use shuttle::thread;

use crate::{
    shared_read::{Arrival, Runner, SharedReads, Turn},
    sync::{point, whole},
};

/// What becomes of a caller of a shared read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// It waits for its reply, or reads and shares what it read.
    Patient,
    /// It goes away instead of waiting.
    GivesUp,
    /// If it reads, it goes away before the reply.
    Dropped,
    /// If it reads, it panics before the reply.
    Panics,
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
pub fn read(patience: Patience, threads: &[&[Read]]) -> u64 {
    let readers = Arc::new(Readers::new(patience));
    let start = |reads: &&[Read]| {
        let (readers, reads) = (Arc::clone(&readers), reads.to_vec());
        thread::spawn(move || reads.into_iter().for_each(|read| readers.call(read)))
    };
    let threads: Vec<_> = threads.iter().map(start).collect();
    for thread in threads {
        thread.join().expect("a panic ends the schedule");
    }
    readers.end()
}

/// The shared reads of one key.
#[derive(Debug)]
struct Readers {
    reads: Arc<SharedReads<u64>>,
    key: Arc<str>,
    patience: Patience,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    now: u64,
    under_way: usize,
    sent: u64,
}

/// The payload of a panic that belongs to the scenario.
struct Staged;

impl Readers {
    fn new(patience: Patience) -> Self {
        let limit = match patience {
            Patience::Endless => Duration::MAX,
            Patience::None => Duration::ZERO,
        };
        Self {
            reads: Arc::new(SharedReads::new(limit)),
            key: "users:42".into(),
            patience,
            ledger: Mutex::default(),
        }
    }

    fn call(&self, read: Read) {
        let called = catch_unwind(AssertUnwindSafe(|| self.read(read)));
        if let Err(panic) = called
            && !panic.is::<Staged>()
        {
            resume_unwind(panic);
        }
    }

    /// What must be so when everybody is gone; how many reads were sent.
    fn end(&self) -> u64 {
        assert_eq!(self.reads.len(), 0, "a read without callers");
        self.ledger(|ledger| {
            assert_eq!(ledger.under_way, 0);
            ledger.sent
        })
    }

    fn read(&self, read: Read) {
        point();
        let came = self.ledger(Ledger::tick);
        let runner = match self.reads.arrive(&self.key) {
            Arrival::Run(runner) => runner,
            Arrival::Wait(turn) if read == Read::GivesUp => return drop(turn),
            Arrival::Wait(turn) => match shuttle::future::block_on(turn) {
                Ok(Turn::Run(runner)) => runner,
                Ok(Turn::Reply(sent)) => {
                    assert!(came < sent, "came at {came}, got a reply from {sent}");
                    return;
                }
                Err(_) => panic!("a caller was forgotten"),
            },
        };
        self.run(runner, read);
    }

    fn run(&self, runner: Runner<u64>, read: Read) {
        let sent = self.ledger(|ledger| {
            ledger.under_way += 1;
            ledger.sent += 1;
            let under_way = ledger.under_way;
            assert!(
                self.patience == Patience::None || under_way <= 2,
                "{under_way} reads under way"
            );
            ledger.tick()
        });
        let under_way = UnderWay(self);
        point();
        match read {
            Read::Dropped => return,
            // Not reported as a panic.
            Read::Panics => resume_unwind(Box::new(Staged)),
            Read::Patient | Read::GivesUp => {}
        }
        drop(under_way);
        runner.reply(&sent);
    }

    fn ledger<R>(&self, entry: impl FnOnce(&mut Ledger) -> R) -> R {
        entry(&mut whole(&self.ledger))
    }
}

impl Ledger {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

/// One read that was sent; no more when this is dropped.
struct UnderWay<'a>(&'a Readers);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.ledger(|ledger| ledger.under_way -= 1);
    }
}
