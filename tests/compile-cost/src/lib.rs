//! Forty functions as a service has them, for `.ci/compile-cost` to count the code that the compiler makes of them.
//!
//! The one rule: **with the feature `bare` the same functions stand here without the attribute**, so that the difference
//! is the attribute's.

use std::{future::Future, pin::Pin};

/// A call, driven by nobody: made so that its code is.
pub type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a source fails with.
#[derive(Debug, Clone)]
pub struct Failed;

/// The source.
async fn row(table: &str, id: u64) -> Result<String, Failed> {
    tokio::task::yield_now().await;
    match id {
        0 => Err(Failed),
        id => Ok(format!("{table} {id}")),
    }
}

/// Ten functions: each shape of what a function returns, and methods, with one parameter and with two; one of them
/// refreshes behind its callers.
macro_rules! ten {
    ($table:ident) => {
        /// Ten functions around one type of value.
        pub mod $table {
            #[cfg(not(feature = "bare"))]
            use cache_runtime::redis_cached;
            use serde::{Deserialize, Serialize};

            use crate::{Call, Failed, row};

            /// A row.
            #[derive(Debug, Clone, Serialize, Deserialize)]
            pub struct Row {
                id: u64,
                name: String,
                active: bool,
            }

            impl Row {
                fn new(id: u64, name: String) -> Self {
                    let active = true;
                    Self { id, name, active }
                }
            }

            /// Has methods.
            #[derive(Debug)]
            pub struct Repository;

            const TABLE: &str = stringify!($table);

            #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300))]
            async fn plain(id: u64) -> Row {
                Row::new(id, row(TABLE, id).await.unwrap_or_default())
            }

            #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300))]
            async fn plain_of(tenant: &str, id: u64) -> Row {
                Row::new(id, row(tenant, id).await.unwrap_or_default())
            }

            #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300))]
            async fn option(id: u64) -> Option<Row> {
                Some(Row::new(id, row(TABLE, id).await.ok()?))
            }

            #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300))]
            async fn option_of(tenant: &str, id: u64) -> Option<Row> {
                Some(Row::new(id, row(tenant, id).await.ok()?))
            }

            #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300))]
            async fn result(id: u64) -> Result<Row, Failed> {
                Ok(Row::new(id, row(TABLE, id).await?))
            }

            #[cfg_attr(
                not(feature = "bare"),
                redis_cached(ttl = 300, stale_while_revalidate = "1m")
            )]
            async fn result_of(tenant: &str, id: u64) -> Result<Row, Failed> {
                Ok(Row::new(id, row(tenant, id).await?))
            }

            #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300))]
            async fn maybe(id: u64) -> Result<Option<Row>, Failed> {
                let name = row(TABLE, id).await?;
                Ok((!name.is_empty()).then_some(Row::new(id, name)))
            }

            #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300))]
            async fn maybe_of(tenant: &str, id: u64) -> Result<Option<Row>, Failed> {
                let name = row(tenant, id).await?;
                Ok((!name.is_empty()).then_some(Row::new(id, name)))
            }

            impl Repository {
                #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300, skip(self)))]
                async fn method(&self, id: u64) -> Result<Row, Failed> {
                    Ok(Row::new(id, row(TABLE, id).await?))
                }

                #[cfg_attr(not(feature = "bare"), redis_cached(ttl = 300, skip(self)))]
                async fn method_of(&self, tenant: &str, id: u64) -> Result<Row, Failed> {
                    Ok(Row::new(id, row(tenant, id).await?))
                }
            }

            /// A call of each.
            pub fn calls() -> Vec<Call> {
                vec![
                    Box::pin(async { drop(plain(1).await) }),
                    Box::pin(async { drop(plain_of("acme", 1).await) }),
                    Box::pin(async { drop(option(1).await) }),
                    Box::pin(async { drop(option_of("acme", 1).await) }),
                    Box::pin(async { drop(result(1).await) }),
                    Box::pin(async { drop(result_of("acme", 1).await) }),
                    Box::pin(async { drop(maybe(1).await) }),
                    Box::pin(async { drop(maybe_of("acme", 1).await) }),
                    Box::pin(async { drop(Repository.method(1).await) }),
                    Box::pin(async { drop(Repository.method_of("acme", 1).await) }),
                ]
            }
        }
    };
}

ten!(users);
ten!(orders);
ten!(products);
ten!(invoices);
