//! Cache an async function in Redis, with one attribute.
//!
//! ```
//! use cache_runtime::redis_cached;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct User {
//!     id: u64,
//!     name: String,
//! }
//!
//! # struct Pool;
//! # #[derive(Clone, Debug)]
//! # struct DbError;
//! # impl Pool {
//! #     async fn user(&self, id: u64) -> Result<User, DbError> {
//! #         Ok(User { id, name: "Ada".into() })
//! #     }
//! # }
//! #[redis_cached(ttl = "5m", skip(pool))]
//! async fn get_user(pool: &Pool, id: u64) -> Result<User, DbError> {
//!     pool.user(id).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pool = Pool;
//! let ada = get_user(&pool, 42).await.unwrap(); // runs the body, stores its JSON
//! let ada = get_user(&pool, 42).await.unwrap(); // a hit
//! get_user_entry(42).invalidate().await?; // after a change to the source
//! # Ok(())
//! # }
//! ```
//!
//! The attribute rewrites the function into a lookup in the [`Cache`] that [`get_cache`] gives: Redis
//! if `REDIS_URL` or `REDIS_HOST` is set, else a store in this process; with `REDIS_CACHE=off` it is [off](Cache::off). Its options
//! are described at [`macro@redis_cached`]; what a cached function leaves beside itself, at [`Entry`]; how keys are written, at
//! [`key!`].
//!
//! # What it does when something breaks
//!
//! A cached function returns what its body returns, and fails only where its body fails.
//!
//! | what | the cached function |
//! |---|---|
//! | Redis cannot be reached, at the start or later | runs the body; a breaker opens, so that the next calls do not try; reconnects by itself |
//! | Redis is slow or hangs | waits for `timeout`, then runs the body |
//! | a connection is reset, a failover, `LOADING`, `READONLY`, `MOVED` | is tried once more where that is safe, else runs the body; reconnects |
//! | an invalidation cannot reach Redis | [`Entry::invalidate`] returns an error, and [`Entry::invalidate_logged`] tells the log; this process deletes the entry before it next reads it |
//! | Redis is full (`OOM`), the key holds something else (`WRONGTYPE`), or bytes that are no such value | counts as a miss; the value is returned though it may not be stored |
//! | a value cannot be encoded, or its JSON would not give it back (NaN, an infinity and a `Some` of nothing are all `null`) | is returned, and not stored; the log names the function once a minute |
//! | a value has more JSON than [`max_value`](CacheBuilder::max_value) | the same; for a minute what calls of its key return is not encoded |
//! | an Entra ID token is refused or expires | connections that stand are used for as long as Redis lets them, then runs the body; a fresh token is asked for |
//! | the identity provider is down | the same; it is asked again for ever, and Redis is used again as soon as a token comes |
//! | the body is slow | one run a key; whoever comes meanwhile waits for it; after each `run_wait` one of them runs it beside the other, for all |
//! | the body fails | its error reaches its caller, and those who wait as [`share_errors`](macro@redis_cached#share_errors) says: by itself where it is `Clone` or can be made from a [`SharedError`]; it is never stored; with `stale_if_error`, an older value is answered in its place |
//! | the body panics, or its caller goes away | nobody else notices: one who waits runs its own body |
//!
//! # On Azure
//!
//! `REDIS_HOST` alone is enough where it is a name of Azure's: it means TLS, port 6380, and a token of Microsoft Entra ID as the
//! password, for the user whose object id the token names. One task renews the token before it
//! expires, and connections move to the new one while calls go on, so a [`Cache`] or [`Connection`]
//! that is kept for days stays good. The identity is the first that gives a token of the environment's
//! service principal, workload identity, managed identity, Azure CLI and Azure Developer CLI;
//! `AZURE_TOKEN_CREDENTIALS` narrows that, and [`CacheBuilder`] takes a credential of your own.
//! [`Stats`] shows the login. The README has a chapter on what to assign, and on what happens when it fails.
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `macros` | yes | the attribute, and [`key!`] |
//! | `tls` | yes | TLS connections, by rustls |
//! | `entra-id` | yes | login with Microsoft Entra ID tokens, which brings the Azure SDK, and `tls` |
//! | `testing` | no | for tests: `Faults`, which break a cache on demand, and `Cache::clear` |
//!
//! Who is not on Azure builds a third fewer crates by `default-features = false, features = ["macros", "tls"]`.
//!
//! # In tests
//!
//! A test with a Redis does not pause tokio's clock: a paused clock goes on to the next timer while an answer is on its way, so that
//! each wait for Redis times out at once. [`CacheBuilder::in_memory`] needs no such clock, and a [`ManualClock`] makes values old.
//! [`Cache::off`] keeps nothing, for a test that is about the bodies. The `Faults` of the feature `testing` break a cache, for a test
//! of what becomes of a caller then.
//!
//! A test that is to meet no other one has a cache of its own for its runtime: [`Cache::install_in_this_runtime`]. Where several
//! share a runtime, each has a [`Cache::scope`].

#[doc(hidden)]
pub mod __private;

mod auth;
mod base;
mod cache;
mod config;
mod entry;
mod error;
mod expansion;
mod flight;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod lookup;
mod observe;
mod site;
mod store;
mod testing;
#[cfg(feature = "tls")]
mod tls;
mod value;

/// The Azure SDK, for a credential of your own: [`CacheBuilder::credential`].
#[cfg(feature = "entra-id")]
pub use auth::azure_core;
pub use base::clock::ManualClock;
pub use cache::Cache;
pub use cache::connection::Connection;
pub use cache::global::{get_cache, set_cache};
pub use cache::scope::{RuntimeGuard, in_scope};
#[cfg(feature = "macros")]
pub use cache_macros::redis_cached;
pub use config::builder::CacheBuilder;
pub use entry::Entry;
pub use error::shared::SharedError;
pub use error::{Error, ErrorKind};
pub use key::CacheKey;
pub use observe::control::{CacheControl, Outcome, Source, only_if_cached};
pub use observe::counters::sites;
pub use observe::event::Tier;
pub use observe::stats::{
    BreakerState, Errors, NotOneSite, SiteInfo, SiteStats, Stats, StoreStats, TokenStats,
};
#[cfg(feature = "testing")]
pub use testing::Faults;
pub use value::codec::Cacheable;
pub use value::returns::Returns;

/// The Redis client, for commands on a [`Connection`].
pub use redis;
