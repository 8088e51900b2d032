//! How long an attribute says that values live.
//!
//! The one rule: **time and chance are given**, so that a lifetime depends on nothing else than the value.

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind},
    value::{
        freshness::{Freshness, Lifespan},
        panics::panics,
    },
};

/// How long values live.
pub(crate) struct Lifetimes<V> {
    pub(crate) ttl: Ttl<V>,
    pub(crate) cache_if: Option<fn(&V) -> bool>,
    pub(crate) none_ttl: Option<Duration>,
    pub(crate) freshness: Freshness,
}

impl<V> Lifetimes<V> {
    pub(crate) fn new() -> Self {
        Self {
            ttl: Ttl::For(Duration::ZERO),
            cache_if: None,
            none_ttl: None,
            freshness: Freshness::default(),
        }
    }

    /// As [`Rules::lifetime`](super::Rules::lifetime); `value` is `None` for a body's `None`.
    pub(super) fn of_returned(
        &self,
        value: Option<&V>,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error> {
        let shorten = |ttl| self.freshness.shorten(ttl, draw);
        self.lifespan(&mut || match value {
            None => self.none_ttl.map(shorten),
            Some(value) if self.cache_if.is_some_and(|wanted| !wanted(value)) => None,
            Some(value) => Some(ttl.unwrap_or_else(|| shorten(self.ttl.of(value)))),
        })
    }

    /// As [`Rules::lifetime_of_put`](super::Rules::lifetime_of_put).
    pub(super) fn of_put(
        &self,
        value: Option<&V>,
        ttl: Option<Duration>,
        draw: f64,
    ) -> Result<Option<Lifespan>, Error> {
        let of_attribute = || {
            let ttl = match (value, &self.ttl) {
                (Some(value), ttl) => Some(ttl.of(value)),
                (None, Ttl::For(ttl)) => Some(self.none_ttl.unwrap_or(*ttl)),
                (None, Ttl::By(_)) => self.none_ttl,
            };
            ttl.map(|ttl| self.freshness.shorten(ttl, draw))
        };
        self.lifespan(&mut || ttl.or_else(of_attribute))
    }

    /// The lifetime by a ttl that closures of the attribute give.
    ///
    /// # Errors
    ///
    /// If a closure panics.
    fn lifespan(
        &self,
        ttl: &mut dyn FnMut() -> Option<Duration>,
    ) -> Result<Option<Lifespan>, Error> {
        let mut given = None;
        if panics(&mut || given = ttl()) {
            return Err(Error::new(
                ErrorKind::Encode,
                "the attribute's `ttl` or `cache_if` panicked",
            ));
        }
        Ok(given.and_then(|ttl| self.freshness.lifetime(ttl)))
    }
}

impl<V> Clone for Lifetimes<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Lifetimes<V> {}

/// How long a value is fresh.
pub(crate) enum Ttl<V> {
    For(Duration),
    By(fn(&V) -> Duration),
}

impl<V> Ttl<V> {
    fn of(&self, value: &V) -> Duration {
        match self {
            Self::For(ttl) => *ttl,
            Self::By(ttl) => ttl(value),
        }
    }
}

// A derive would ask for `V: Clone`.
impl<V> Clone for Ttl<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Ttl<V> {}
