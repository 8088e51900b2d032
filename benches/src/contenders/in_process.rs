//! moka, and the floor: what there is in a process without a library for caching functions.
//!
//! moka is its future's cache with a capacity and a lifetime, as in
//! <https://docs.rs/moka/0.12/moka/future/struct.Cache.html#example-size-based-eviction>, and a `get` with an `insert`
//! after a miss. The floor is the clone of a value that nobody has to find: an index into a list.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::Contender;
use crate::values::{Price, Size, User, price_from_source, user_from_source};

/// `moka::future::Cache::get`.
#[derive(Clone)]
pub(crate) struct Moka {
    users: Cache<u64, User>,
    prices: Cache<u64, Price>,
}

impl Moka {
    /// With room for all values.
    pub(crate) fn new() -> Self {
        Self {
            users: cache(),
            prices: cache(),
        }
    }
}

fn cache<V: Clone + Send + Sync + 'static>() -> Cache<u64, V> {
    Cache::builder()
        .max_capacity(10_000)
        .time_to_live(Duration::from_secs(3600))
        .build()
}

impl Contender for Moka {
    async fn user(&self, id: u64) -> User {
        if let Some(user) = self.users.get(&id).await {
            return user;
        }
        let user = user_from_source(id);
        self.users.insert(id, user.clone()).await;
        user
    }

    async fn price(&self, id: u64) -> Price {
        if let Some(price) = self.prices.get(&id).await {
            return price;
        }
        let price = price_from_source(id);
        self.prices.insert(id, price.clone()).await;
        price
    }
}

/// The clone alone.
#[derive(Clone)]
pub(crate) struct Floor {
    users: Arc<[User]>,
    prices: Arc<[Price]>,
}

impl Floor {
    /// With this many values, those with the first ids.
    pub(crate) fn of(keys: u64) -> Self {
        let ids = |size: Size| size.first_id()..size.first_id() + keys;
        Self {
            users: ids(Size::B330).map(user_from_source).collect(),
            prices: ids(Size::B50).map(price_from_source).collect(),
        }
    }
}

impl Contender for Floor {
    async fn user(&self, id: u64) -> User {
        self.users[(id - Size::B330.first_id()) as usize].clone()
    }

    async fn price(&self, id: u64) -> Price {
        self.prices[(id - Size::B50.first_id()) as usize].clone()
    }
}
