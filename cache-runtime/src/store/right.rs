//! The right to store what a body, or a write to the source, is going to return.
//!
//! The one rule: **a right is got before its body or write begins, and an invalidation takes it away.**
//!
//! | of | in process | in Redis |
//! |---|---|---|
//! | a body | its flight, for as long as that is in the map of flights | a lease |
//! | a write | a number, for as long as nothing else changes the key | a lease of its own |

#[cfg(feature = "testing")]
mod broken;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    budget::Budget,
    memory::MemoryStore,
    prepared::Prepared,
    redis::lease::{Lease, LockedElsewhere, StoreReply},
    standing::Standing,
};
use crate::{
    error::Error,
    flight::{Flights, Lead},
    testing::Injected,
    value::answer::Answer,
};

/// What came of asking for the right to store; made to be matched on.
#[derive(Debug)]
pub(crate) enum Acquired {
    /// Somebody stored a value meanwhile.
    Value(Standing),
    Right(Right),
    /// Another process computes the value, and lets its lock go after this long unless it renews it.
    Locked {
        elsewhere: LockedElsewhere,
        left: Duration,
    },
}

/// The right to store what a body is going to return.
#[derive(Debug)]
pub(crate) struct Right {
    basis: Basis,
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "nothing meets a fault")
    )]
    faults: Injected,
}

#[derive(Debug)]
enum Basis {
    /// The flight itself, for as long as it is in the map of flights.
    Flight(Arc<MemoryStore>),
    Lease(Lease),
}

/// The right to store what a write to the source is going to return.
#[derive(Debug)]
pub(crate) struct Write {
    begun: Begun,
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "nothing meets a fault")
    )]
    faults: Injected,
}

#[derive(Debug)]
enum Begun {
    InProcess(Arc<MemoryStore>, u64),
    Lease(Lease),
}

impl Right {
    pub(super) fn of_flight(memory: &Arc<MemoryStore>, faults: Injected) -> Self {
        let basis = Basis::Flight(Arc::clone(memory));
        Self { basis, faults }
    }

    pub(super) fn of_lease(lease: Lease, faults: Injected) -> Self {
        let basis = Basis::Lease(lease);
        Self { basis, faults }
    }

    /// The lease that is to be renewed while the body runs; a flight lives on by itself.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.basis {
            Basis::Flight(_) => None,
            Basis::Lease(lease) => Some(lease),
        }
    }

    /// Closes the attempt of the flight, and stores if the right still stands; without a value, takes away what is
    /// there. `locked`: computing this value takes the lock first.
    ///
    /// # Errors
    ///
    /// If Redis does not answer in time, so that nobody knows.
    pub(crate) async fn store(
        &self,
        lead: &mut Lead<Answer>,
        key: &Arc<str>,
        value: Option<&Prepared>,
        locked: bool,
        budget: &mut Budget,
    ) -> Result<StoreReply, Error> {
        #[cfg(feature = "testing")]
        if let Some(reply) = self.meet_store(lead, key, value.is_some(), budget).await? {
            return Ok(reply);
        }
        match &self.basis {
            Basis::Flight(memory) => {
                let stood = memory.store(lead, key, value.map(Prepared::incoming));
                Ok(if stood {
                    StoreReply::Yes
                } else {
                    StoreReply::Refused
                })
            }
            Basis::Lease(lease) => {
                lead.close();
                let content = value.map(|value| value.written().content());
                let stored = budget.spend(|deadline| lease.store(content, locked, deadline));
                stored.await
            }
        }
    }

    /// Closes the attempt of a flight whose outcome is not stored: whether the right stood then; `None` where only a
    /// [`release`](Self::release) can tell.
    pub(crate) fn close(&self, lead: &mut Lead<Answer>) -> Option<bool> {
        match &self.basis {
            Basis::Flight(_) => {
                let stood = lead.close_with(|| ()).is_some();
                #[cfg(feature = "testing")]
                let stood = stood && !self.faults.take_proofs();
                Some(stood)
            }
            Basis::Lease(_) => {
                lead.close();
                None
            }
        }
    }

    /// Gives the right back: whether it was still there, which proves that nothing was invalidated since it was
    /// granted. A flight is given back by its end.
    ///
    /// # Errors
    ///
    /// If Redis does not answer in time.
    pub(crate) async fn release(&self, deadline: Instant) -> Result<bool, Error> {
        #[cfg(feature = "testing")]
        self.meet_release(deadline).await?;
        match &self.basis {
            Basis::Flight(_) => Ok(true),
            Basis::Lease(lease) => lease.release(deadline).await,
        }
    }
}

impl Write {
    pub(super) fn in_process(memory: &Arc<MemoryStore>, right: u64, faults: Injected) -> Self {
        let begun = Begun::InProcess(Arc::clone(memory), right);
        Self { begun, faults }
    }

    pub(super) fn of_lease(lease: Lease, faults: Injected) -> Self {
        let begun = Begun::Lease(lease);
        Self { begun, faults }
    }

    /// The lease that is to be renewed while the source is written.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match &self.begun {
            Begun::InProcess(..) => None,
            Begun::Lease(lease) => Some(lease),
        }
    }

    /// Stores what the write returned, unless the key was changed since it began; then nothing stays.
    ///
    /// # Errors
    ///
    /// If Redis does not take it in time.
    pub(crate) async fn put(
        &self,
        flights: &Flights<Answer>,
        key: &Arc<str>,
        value: &Prepared,
        deadline: Instant,
    ) -> Result<(), Error> {
        #[cfg(feature = "testing")]
        self.meet_put(flights, key, deadline).await?;
        match &self.begun {
            Begun::InProcess(memory, right) => {
                memory.put_written(flights, key, *right, value.incoming());
                Ok(())
            }
            Begun::Lease(lease) => lease.put(value.written().content(), deadline).await,
        }
    }
}
