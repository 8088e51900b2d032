//! The lookup and invalidation protocol as a model.
//!
//! The one rule: **everything that can happen is tried**: a command is sent, executed and answered at
//! different times, it may be executed though its sender has gone, or never; a caller may come or go
//! between any two steps; processes are killed, bodies fail, keys expire. Of two worlds that differ
//! only in names one is tried.
//!
//! | module | holds |
//! |---|---|
//! | `redis` | the keys K, T and L, and what each command does to them |
//! | `client` | a caller, until it joins a flight |
//! | `flight` | the flight, phase by phase |
//! | `writer` | `invalidate`, `put`, `put_with` |
//! | `model` | what can happen next, and what can go wrong |
//! | `properties` | what must hold |
//! | `setup`, `sizes` | how much of it is tried |
//!
//! # What each rule is there for
//!
//! Each is left out alone; then a property breaks, at the earliest after so many steps. The tests in
//! `tests/rules.rs` print the way there.
//!
//! | rule | without it | steps |
//! |---|---|---|
//! | 1 a GET belongs to those who came before it was sent | an old value is seen | 8 |
//! | 2 callers join only after their own miss | a hit waits for a refresh | 4 |
//! | 3 later callers have an outcome only with the proof | an old value is seen | 13 |
//! | 4 the attempt closes before STORE is sent | an old value is seen | 15 |
//! | 4 who comes after that waits in the same flight | two bodies where one would do | 11 |
//! | 5 each send of ACQUIRE has a fresh nonce | an old value is seen | 16 |
//! | 5 the token was answered before the body began | an old value is seen | 13 |
//! | 6 a takeover acquires anew | an old value is seen | 17 |
//! | 7 a change detaches the flight | an old value is seen, in-process | 10 |
//! | 8 an old value serves only who came before its GET | an old value is seen | 11 |
//! | 9 `put` is two steps | an old value is seen | 10 |
//! | 9 `put_with` takes its token first | an old value is seen | 12; in-process 6 |
//! | 10 in-process, value and flight under one lock | an old value is seen | 14 |
//! | an invalidation deletes the token before the value | an old value is seen | 14 |
//! | who does not get the lock does not compute | two bodies where one would do | 10 |
//! | a lock that nobody renews expires | somebody waits for ever | 10 |
//!
//! Without rule 2 no old value is seen at the sizes tried: whoever joins without having looked is a
//! late caller like any other. Rule 7 is needed in-process only: on Redis the deleted token does as
//! much. Rule 6 is needed only for a token that was asked for and not answered; one that was answered
//! could be handed on.
//!
//! # What is seen besides
//!
//! A leader that is dropped while it holds the lock does not give it back: its heir, in the same
//! process, waits like everybody else until the lock expires.
//!
//! # What is not in the model
//!
//! Several keys; time; the breaker; the list of invalidations that failed; `refresh`; an `Err` that
//! cannot be shared; a Redis that forgets what it has acknowledged. Callers that wait and do not lead
//! may go away unnoticed, so they do not. How a waiter learns of the lock is left out, too: it may ask
//! again as soon as the lock is not its holder's any more.
//!
//! # How much is tried
//!
//! With every test run the small sizes ([`sizes::small`]): 1.3 million states. By hand the large ones
//! ([`sizes::large`]), `cargo run --release -p protocol-model -- large`: 19 million states, ways of up to
//! 40 steps, three minutes of processor time, 200 MB. Up to three processes, three callers, three
//! changes and two faults; all of it held.

mod client;
mod explore;
mod flight;
mod model;
mod properties;
mod redis;
mod setup;
pub mod sizes;
mod trace;
mod world;
mod writer;

pub use explore::{Report, Violation, explore, has_circle, shortest};
pub use properties::Property;
pub use setup::{AtFirst, Change, OldValues, Rule, Setup, Store};
