//! What a right to store meets of the faults of a test.
//!
//! The one rule: **what a fault takes away is taken from the store itself**, so that whoever asks next finds what a real
//! fault leaves behind.

use std::{sync::Arc, time::Instant};

use super::{Basis, Begun, Right, Write};
use crate::{
    error::Error,
    flight::{Flights, Lead},
    store::{
        budget::Budget,
        redis::lease::{LockGuard, StoreReply},
    },
    testing::Fault,
    value::answer::Answer,
};

impl Right {
    /// What comes before [`store`](Self::store); the reply, where the store is not asked any more. `stores`: there is a value.
    pub(super) async fn meet_store(
        &self,
        lead: &mut Lead<Answer>,
        key: &Arc<str>,
        stores: bool,
        budget: &mut Budget,
    ) -> Result<Option<StoreReply>, Error> {
        if !self.faults.are_given() {
            return Ok(None);
        }
        let met = budget.spend(|deadline| self.faults.meet(deadline)).await;
        let fault = met.inspect_err(|_| {
            lead.close();
            self.let_go();
        })?;
        Ok(match (fault, &self.basis) {
            // A store that is full refuses the value, and ends the right.
            (Fault::Full, Basis::Flight(_)) if stores => {
                Some(full(lead.close_with(|| ()).is_some()))
            }
            (Fault::Full, Basis::Lease(lease)) if stores => {
                lead.close();
                let stood = budget.spend(|deadline| lease.release(deadline)).await?;
                Some(full(stood))
            }
            (Fault::RefusesToStore, Basis::Flight(memory)) => {
                memory.store(lead, key, None);
                Some(StoreReply::Refused)
            }
            // The store itself finds the lease gone.
            (Fault::RefusesToStore, Basis::Lease(lease)) => {
                budget.spend(|deadline| lease.revoke(deadline)).await?;
                None
            }
            _ => None,
        })
    }

    /// What comes before [`release`](Self::release).
    pub(super) async fn meet_release(&self, deadline: Instant) -> Result<(), Error> {
        let met = self.faults.meet(deadline).await;
        let fault = met.inspect_err(|_| self.let_go())?;
        match &self.basis {
            Basis::Lease(lease) if fault == Fault::RefusesToStore => lease.revoke(deadline).await,
            Basis::Flight(_) | Basis::Lease(_) => Ok(()),
        }
    }

    /// Lets the lock go, because nobody else does where the store is not asked.
    fn let_go(&self) {
        if let Basis::Lease(lease) = &self.basis {
            drop(LockGuard::of(lease));
        }
    }
}

/// What a store that is full replies; `stood`: the right.
fn full(stood: bool) -> StoreReply {
    match stood {
        true => StoreReply::NoRoom,
        false => StoreReply::Refused,
    }
}

impl Write {
    /// What comes before [`put`](Self::put).
    pub(super) async fn meet_put(
        &self,
        flights: &Flights<Answer>,
        key: &Arc<str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let met = self.faults.meet_storing(deadline).await;
        match (&self.begun, &met) {
            // The end of a write that stores nothing. The value goes, because nobody knows whether it is still that of the source.
            (Begun::InProcess(memory, _), Err(_) | Ok(Fault::RefusesToStore)) => {
                memory.remove(flights, key);
            }
            (Begun::Lease(lease), Ok(Fault::RefusesToStore)) => lease.revoke(deadline).await?,
            (Begun::InProcess(..) | Begun::Lease(_), _) => {}
        }
        met.map(drop)
    }
}
