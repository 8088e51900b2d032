//! The test kit: every fault is a real one.
//!
//! | module | is |
//! |---|---|
//! | [`redis_server`] | real `redis-server` processes, that of `PATH` or 8.2: plain, TLS, ACL users, `maxmemory`; frozen, killed, restarted, emptied |
//! | [`proxy`] | a proxy, with TLS or without, that delays, cuts in mid-reply, resets, swallows, refuses, holds single commands or replies, and sees each login |
//! | [`azure_redis`] | both together, as Azure's Redis: tokens for passwords, each with its end, and connections that end with their token |
//! | [`identity_provider`] | an identity provider like Azure's: managed identity, Entra ID's token endpoint, `az` and `azd`; slow, hung, down, wrong |
//! | [`watched`] | a credential that notes when it is asked, and when each question ends |
//! | [`body`] | a test body that counts, blocks, fails and panics on command |
//! | [`drop_at`] | drops a future at its n-th poll |
//! | [`logs`] | captures every log line, and proves that no secret is in it |
//! | [`stores`] | a cache on either store, for tests that run on both |
//! | [`child`] | the test binary again, as a child process with an environment of its own |
//! | [`breaker`] | what a cache says of its breaker and its connections |
//! | [`wait`] | waits for a condition, with a bound that tells what was missing |
//!
//! What the kit runs by itself (proxies, timers) lives on a runtime of its own. So it works from any
//! runtime or none, and a test that blocks its thread or pauses tokio's clock does not stop it.

/// The README's Rust blocks, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub mod azure_redis;
mod background;
pub mod body;
pub mod breaker;
pub mod child;
mod door;
pub mod drop_at;
pub mod identity_provider;
pub mod logs;
mod port;
pub mod proxy;
pub mod redis_server;
mod resp;
pub mod stores;
mod tls;
pub mod wait;
pub mod watched;

pub use azure_redis::AzureRedis;
pub use body::Body;
pub use breaker::{RedisState, redis_state};
pub use child::Child;
pub use drop_at::{at_every_poll, poll_n_then_drop};
pub use identity_provider::IdentityProvider;
pub use logs::{Logs, assert_holds_no_part, assert_never_holds};
pub use proxy::Proxy;
pub use redis_server::{RedisServer, RedisVersion};
pub use stores::{Stores, in_memory, patient};
pub use wait::{eventually, timed, within};
pub use watched::Watched;
