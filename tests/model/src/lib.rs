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
//! | rule | without it | steps | at once | two commands | both |
//! |---|---|---|---|---|---|
//! | 1 a GET belongs to those who came before it was sent | an old value is seen | 8 | 9 | 8 | 9 |
//! | 1 what ACQUIRE finds goes to those who joined before it was sent | an old value is seen | 19 | 10 | 21 | 11 |
//! | 2 callers join only after their own miss | a hit waits for a refresh | 4 | | | |
//! | 2 the same | a hit waits for somebody else | 8 | 2 | 9 | 2 |
//! | 2 ACQUIRE is the read only where nobody leads | two bodies where one would do | | 6 | | 8 |
//! | 3 later callers have an outcome only with the proof | an old value is seen | 13 | 11 | 14 | 12 |
//! | 4 the attempt closes before STORE is sent | an old value is seen | 15 | 13 | 16 | 14 |
//! | 4 who comes after that waits in the same flight | two bodies where one would do | 11 | 7 | 13 | 9 |
//! | 5 each send of ACQUIRE has a fresh nonce | an old value is seen | 16 | 14 | 17 | 15 |
//! | 5 the token was answered before the body began | an old value is seen | 13 | 11 | 13 | 11 |
//! | 6 a takeover acquires anew | an old value is seen | 17 | 15 | 17 | 16 |
//! | 7 a change detaches the flight | an old value is seen, in-process | 10 | | | |
//! | 8 an old value serves only who came before its GET | an old value is seen | 11 | | | |
//! | 9 `put` is two steps | an old value is seen | 10 | 10 | 10 | 11 |
//! | 9 `put_with` takes its token first | an old value is seen | 12; in-process 6 | 12 | 12 | 13 |
//! | 10 in-process, value and flight under one lock | an old value is seen | 14 | | | |
//! | an invalidation deletes the token before the value | an old value is seen | 14 | 12 | 15 | 13 |
//! | two commands: the token is set before the value is looked for | two values are stored where one would do | | | 14 | 10 |
//! | who does not get the lock does not compute | two bodies where one would do | 10 | | | |
//! | a lock that nobody renews expires | somebody waits for ever | 10 | | | |
//!
//! "At once": a caller that finds no flight which new callers may join leads one without a GET of its own; its
//! ACQUIRE is its read ([`Lead::AtOnce`]). "Two commands": ACQUIRE is not a script, and other commands are executed
//! between its two ([`Acquire::TwoCommands`]). The small sizes let callers do the one or the other
//! ([`Lead::Either`]), so that what holds there holds in each form.
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
//! A caller that comes while another's ACQUIRE is its read joins later than ACQUIRE was sent, and mostly later than the
//! body began: it waits for the proof, where it would have been answered one round trip earlier if the other had
//! sent a GET first.
//!
//! ACQUIRE as two commands leaves a token behind where it finds a value. Nobody has it; whoever computes next
//! shares it. Where STORE is executed between the two, the value answers, and a body is spared.
//!
//! # What is not in the model
//!
//! Several keys; time, and so how long a token that is shared still lives; the breaker; the list of
//! invalidations that failed; `refresh`; an `Err` that cannot be shared; a Redis that forgets what it has
//! acknowledged. Callers that wait and do not lead may go away unnoticed, so they do not. How a waiter learns of the lock is left out, too: it may ask
//! again as soon as the lock is not its holder's any more.
//!
//! # How much is tried
//!
//! With every test run the small sizes ([`sizes::small`]): 1.8 million states. By hand the large ones
//! ([`sizes::large`]), `cargo run --release -p protocol-model -- large`: 31 million states, ways of up to
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
pub use setup::{Acquire, AtFirst, Change, Lead, OldValues, Rule, Setup, Store};
