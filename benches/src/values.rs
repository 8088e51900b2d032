//! What is cached: records of four sizes, and the source that has them.
//!
//! **An id alone decides its record**, and so its size: all contenders cache the same functions of one id.

use std::sync::atomic::{AtomicU64, Ordering};

use hitbox_fn::CacheableResponse;
use serde::{Deserialize, Serialize};

/// A record of 50 bytes, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CacheableResponse)]
pub(crate) struct Price {
    article: u64,
    cents: u32,
    currency: String,
}

/// A user's record: 330 bytes as JSON, or more of them with more orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CacheableResponse)]
pub(crate) struct User {
    id: u64,
    name: String,
    email: String,
    city: String,
    active: bool,
    score: f64,
    roles: Vec<String>,
    orders: Vec<Order>,
}

/// One of a user's orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    number: u64,
    article: String,
    pieces: u32,
    cents: u64,
}

/// A record's size as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A [`Price`].
    B50,
    /// A [`User`].
    B330,
    /// A [`User`] with many orders.
    Kb10,
    /// A [`User`] with very many orders.
    Kb200,
}

/// Ids of users with more orders begin here.
const KB10_FROM: u64 = 20_000_000;
const KB200_FROM: u64 = 30_000_000;
const FROM: u64 = 10_000_000;

impl Size {
    /// As it is written in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::B50 => "50 B",
            Self::B330 => "330 B",
            Self::Kb10 => "10 KB",
            Self::Kb200 => "200 KB",
        }
    }

    /// The first id of a record of this size. All ids have as many digits.
    pub(crate) fn first_id(self) -> u64 {
        match self {
            Self::B50 | Self::B330 => FROM,
            Self::Kb10 => KB10_FROM,
            Self::Kb200 => KB200_FROM,
        }
    }
}

/// How often the source was asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// How often any source was asked so far: a measured hit asks none.
pub(crate) fn times_asked() -> u64 {
    ASKED.load(Ordering::Relaxed)
}

/// What the source knows of an article: the body of the cached functions.
pub(crate) fn price_from_source(id: u64) -> Price {
    ASKED.fetch_add(1, Ordering::Relaxed);
    Price {
        article: id,
        cents: 1_999,
        currency: "EUR".to_owned(),
    }
}

/// What the source knows of a user: the body of the cached functions.
pub(crate) fn user_from_source(id: u64) -> User {
    ASKED.fetch_add(1, Ordering::Relaxed);
    let orders = match id {
        KB200_FROM.. => 2_775,
        KB10_FROM.. => 136,
        _ => 2,
    };
    User {
        id,
        name: "Augusta Ada King".to_owned(),
        email: format!("ada.{id}@mail.example.org"),
        city: "Ockham Park, Ockham, Surrey".to_owned(),
        active: true,
        score: 0.875,
        roles: vec!["reader".to_owned(), "author".to_owned()],
        orders: (0..orders).map(order).collect(),
    }
}

fn order(number: u64) -> Order {
    Order {
        number: 1_000 + number,
        article: "difference engine".to_owned(),
        pieces: 1,
        cents: 129_900,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(size: Size) -> usize {
        let id = size.first_id();
        match size {
            Size::B50 => serde_json::to_vec(&price_from_source(id)),
            _ => serde_json::to_vec(&user_from_source(id)),
        }
        .expect("a record that JSON has")
        .len()
    }

    #[test]
    fn records_are_as_long_as_their_names_say() {
        for (size, length) in [
            (Size::B50, 50),
            (Size::B330, 330),
            (Size::Kb10, 10_000),
            (Size::Kb200, 200_000),
        ] {
            let found = json(size);
            assert!(
                found.abs_diff(length) * 50 <= length,
                "{}: {found}",
                size.name()
            );
        }
    }
}
