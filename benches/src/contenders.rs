//! Who is compared, each in a file of its own.
//!
//! **Each is set up as its own documentation says**, with what it turns on by default turned on. A file's head
//! names that documentation; what is below it is all that a user of it writes.

mod amalgam;
mod by_hand;
mod cached;
mod hitbox;
mod in_process;
mod redis_cached;
pub(crate) mod slow;

use std::future::Future;

pub(crate) use self::amalgam::Amalgam;
pub(crate) use self::by_hand::{multiplexed, with_manager};
pub(crate) use self::cached::{CachedByKey, CachedRedis, CachedSharded};
pub(crate) use self::hitbox::Hitbox;
pub(crate) use self::in_process::{Floor, Moka};
pub(crate) use self::redis_cached::{RedisCached, RedisCachedInMemory};
use crate::values::{Price, User};

/// Two cached functions: hits are measured, and a miss asks the source and stores.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// The user's record.
    fn user(&self, id: u64) -> impl Future<Output = User> + Send;

    /// The article's price.
    fn price(&self, id: u64) -> impl Future<Output = Price> + Send;
}
