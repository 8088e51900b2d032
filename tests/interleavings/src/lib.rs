//! The runtime's flight and its reads, under every order in which threads can take turns.
//!
//! The one rule: **the files under test are the runtime's own**; what differs is `crate::base::sync`.

// It has no unit tests; clippy builds them all the same, and would look for the runtime's.
#![cfg(not(test))]

// What the runtime calls and nothing here does is no mistake; and these files are formatted over there, where their tests
// are. The flight has files of its own folder, which a `#[path]` of its own would not find.
#[path = "../../../cache-runtime/src"]
mod runtime {
    #[allow(dead_code)]
    #[rustfmt::skip]
    pub(crate) mod flight;
}
use runtime::flight;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../../../cache-runtime/src/store/redis/batch.rs"]
mod batch;
mod base {
    #[rustfmt::skip]
    #[path = "../../../../cache-runtime/src/base/seats.rs"]
    pub(crate) mod seats;
    #[rustfmt::skip]
    #[path = "../../../../cache-runtime/src/base/sharded.rs"]
    pub(crate) mod sharded;
    pub(crate) mod sync;
}

mod caller;
mod readers;
mod schedules;

pub use caller::{Act, Body, Call, Step, Stop, Store, act, follow};
pub use readers::{Others, Patience, Place, Read, read};
pub use schedules::Schedules;
