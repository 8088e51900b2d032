//! Who is compared, each in a file of its own.
//!
//! **Each is set up as its own documentation says**, with what it turns on by default turned on. A file's head
//! names that documentation; what is below it is all that a user of it writes.

mod by_hand;
mod redis_cached;

use std::future::Future;

pub(crate) use self::by_hand::{multiplexed, with_manager};
pub(crate) use self::redis_cached::RedisCached;
use crate::values::{Price, User};

/// Two cached functions: hits are measured, and a miss asks the source and stores.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// The user's record.
    fn user(&self, id: u64) -> impl Future<Output = User> + Send;

    /// The article's price.
    fn price(&self, id: u64) -> impl Future<Output = Price> + Send;
}
