//! The lease: the right to store, which keeps a value computed before an invalidation from being stored after it.
//!
//! The one rule: **a caller that computes a value takes a lease first, and stores only while that lease is still in
//! Redis; an invalidation deletes the lease before the value.** The protocol calls the lease's key T and its content a
//! token; in this crate a token is Entra's.
//!
//! All callers that compute a key at the same time share one lease. It lies in the value's own cluster slot
//! ([`lease_key`](crate::key::lease_key)), and expires by itself after [`LIFE`](grant::LIFE), unless a body that runs
//! for longer renews it. A copy of a lost command that brings a lease back late does no harm, because only an answered
//! lease is used, only bodies that begin after the answer use it, and each copy carries a nonce of its own.
//!
//! Beside the lease stands a lock, for callers that want to be the only ones. The lock gives no right to anything: its
//! holder loses it [`LOCKED`](lock::LOCKED) after the last renewal, and a caller that has waited long enough goes on
//! without it. A [`LockGuard`] has the lock from the moment at which it is asked for until its end is confirmed, so
//! that no caller that goes away meanwhile leaves it behind.
//!
//! | operation | in | effect | answer |
//! |---|---|---|---|
//! | [`acquire()`] | `acquire` | looks at the value again, else takes the lock if it is wanted, then shares or sets the lease | the value, the lock's holder, or the lease |
//! | [`store`](Lease::store) | `end` | if the lease stands: stores or deletes the value, and deletes lease and lock | whether it stood, and whether Redis took the value |
//! | [`release`](Lease::release) | `end` | the same proof without a store; the lock tells other processes, which wait, that nothing came of it | whether it stood |
//! | [`renew`](Lease::renew), [`renew_lock`](Lease::renew_lock) | `acquire`, `lock` | lengthen the life of the lease, and of the lock of this holder | |
//! | [`seize`] | `acquire` | sets a lease for its holder alone, which revokes those of all others | the lease |
//! | [`put`](Lease::put) | `end` | with a seized lease: stores if that still stands, else deletes the value; deletes lease and lock | |
//! | [`invalidate`] | `end` | deletes the lease, then the lock, then the value | |
//!
//! What Redis grants is in `grant`, and the five Lua scripts are in `scripts`.

mod acquire;
mod end;
mod grant;
mod lock;
mod scripts;

pub(crate) use self::{
    acquire::{AcquireReply, acquire, seize},
    end::{StoreReply, Written, invalidate},
    grant::{Lease, LeaseKeys},
    lock::{LockGuard, LockRequest, LockedElsewhere},
};
