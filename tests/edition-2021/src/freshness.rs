//! Bodies that run behind their calls.

use std::fmt::Display;
use std::sync::Arc;

use renamed::redis_cached;
use serde::Serialize;

use crate::{Pool, User};

/// Every option.
///
/// # Errors
///
/// If the number is no number.
#[redis_cached(
    ttl = 300,
    stale_while_revalidate = "1m",
    stale_if_error = "1h",
    soft_timeout = "50ms",
    refresh_ahead = 0.8,
    jitter = 0.1,
    coalesce = "cluster",
    skip(_pool),
    crate = ::renamed
)]
pub async fn number(
    _pool: &Arc<Pool>,
    name: &str,
    (first, mut last): (u64, u64),
    _: &'static str,
    r#type: &[u8],
) -> Result<u64, Box<dyn std::error::Error>> {
    last += r#type.len() as u64;
    let number: u64 = async { name.parse() }.await?;
    Ok(number + first + last)
}

/// Nothing to copy, and nothing beside it.
#[redis_cached(ttl = 60, refresh_ahead = "xfetch", coalesce = "process", companions = none, crate = renamed)]
pub async fn alone(user: User) -> String {
    async { user.name }.await
}

/// A name that is a keyword of later editions.
#[redis_cached(ttl = 60, refresh_ahead = 0.8, key_args(gen, of.gen), crate = renamed)]
pub async fn generation(gen: u64, of: &Generation) -> u64 {
    async { gen + of.gen }.await
}

/// Fields whose names are keywords.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Of some edition.
    pub gen: u64,
    /// Of all.
    pub r#type: String,
}

/// A template knows no raw names.
#[redis_cached(ttl = 60, key = "generation:{of.type}:{of.gen}:{r#type}:{gen}", crate = renamed)]
pub async fn typed(of: Generation, r#type: u8, gen: u8) -> String {
    async { format!("{} {} {}", of.r#type, r#type, gen) }.await
}

/// Methods.
#[derive(Debug, Clone, Serialize)]
pub struct Reports<T> {
    tenant: T,
}

impl<T: Display + Clone + Serialize + Send + Sync + 'static> Reports<T> {
    /// Of a tenant.
    pub const fn new(tenant: T) -> Self {
        Self { tenant }
    }

    /// A report.
    #[redis_cached(ttl = 60, stale_while_revalidate = "1h", crate = renamed)]
    pub async fn report<const N: usize>(&self, lines: &[String]) -> Option<String> {
        async { lines.get(N).map(|line| format!("{} {line}", self.tenant)) }.await
    }

    /// A shared one.
    #[redis_cached(ttl = 60, stale_while_revalidate = "1h", skip(self), crate = renamed)]
    pub async fn shared(
        self: Arc<Self>,
        id: impl Display + Serialize + Send + Sync + 'static,
    ) -> String {
        async { format!("{} {id}", self.tenant) }.await
    }
}
