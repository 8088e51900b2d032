//! P4: a call that begins after `invalidate` or `put` returned `Ok` never sees a value whose body began before it.
//!
//! | module | shows it |
//! |---|---|
//! | `phases` | for a change in every phase of a call, on every store |
//! | `rules` | for each rule of the protocol, in the interleaving that the rule is there for |
//! | `in_process` | for the in-process store, also with threads that race |
//! | `stale` | for values past their ttl, which some callers may have and others not |
//! | `behind` | for bodies that run behind their calls |
//! | `put` | for a `put` whose commands arrive late |
//! | `put_with` | for the write to the source that a `put_with` is about |
//! | `put_with_fails` | where that does not end well |
//! | `seized` | for the right to store that a `put`, a `put_with` or a `refresh` takes |
//! | `slow_body` | for a body that a change overtakes |
//! | `unconfirmed` | as far as it goes for an invalidation that Redis did not confirm |
//! | `crowd` | for 10,000 callers, who still cost one body run |
#![allow(missing_docs)]

mod behind;
mod crowd;
mod in_process;
mod options;
mod phases;
mod put;
mod put_with;
mod put_with_fails;
mod rules;
mod scene;
mod seized;
mod slow_body;
mod stale;
mod unconfirmed;
