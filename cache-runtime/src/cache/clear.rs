//! All entries of a cache, taken away at once, for a test that is to begin or to end with none.
//!
//! The one rule: **the rights to store go before the values**, as they do for one entry, so that no body which runs meanwhile
//! stores its value afterwards.

use redis::Cmd;

use super::{Cache, connection::Connection};
use crate::error::{Error, ErrorKind};

/// What only keys of leases and locks have in them; see the protocol's T and L.
const GUARDS: &str = "%[tl]";

/// How many keys of the server a step looks at, and how many are deleted at once.
const STEP: usize = 1000;

impl Cache {
    /// Takes away every entry of this cache, its own and those of other processes with the same prefix, for tests.
    ///
    /// No call that begins after it has returned `Ok` sees a value whose body began before it was called. A key whose value was too
    /// large is tried again. Counters go on.
    ///
    /// On Redis every key that begins with the prefix and a `:` is deleted, by `SCAN` and `DEL`; also those of a cache whose
    /// prefix is longer by a `:` and a name. The server is looked through as a whole, so it is for tests.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cache_runtime::Cache;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cache_runtime::Error> {
    /// let cache = Cache::builder().in_memory().build()?;
    /// cache.set_ex("greeting", &"hello".to_owned(), Duration::from_secs(60)).await?;
    /// cache.clear().await?;
    /// assert_eq!(cache.get::<String>("greeting").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] on a Redis without a prefix, because what is not the cache's would be deleted too; else why
    /// Redis does not do it.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped has taken away some entries, and may be called again.
    pub async fn clear(&self) -> Result<(), Error> {
        let inner = self.inner();
        let prefix = inner.prefix.as_str();
        if inner.store.is_outside() && prefix.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "`clear` deletes all keys that begin with the prefix, and this cache has none; set `prefix` or `REDIS_KEY_PREFIX`",
            ));
        }
        inner.store.meet(self.deadline()).await?;
        inner.too_large.clear();
        inner.flights.detach_all();
        inner.store.clear();
        if inner.store.is_outside() {
            let mut server = self.connection()?;
            let begin = escaped(prefix);
            delete(&mut server, &format!("{begin}:*{GUARDS}*")).await?;
            delete(&mut server, &format!("{begin}:*")).await?;
        }
        Ok(())
    }
}

/// Deletes the keys that fit `pattern`: those that are there before this begins and until it ends, as `SCAN` has it, and maybe
/// some others.
async fn delete(server: &mut Connection, pattern: &str) -> Result<(), Error> {
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern);
        scan.arg("COUNT").arg(STEP);
        let (next, keys): (u64, Vec<Vec<u8>>) = ask(server, &scan).await?;
        for keys in keys.chunks(STEP) {
            let mut del = redis::cmd("DEL");
            del.arg(keys);
            let _deleted: u64 = ask(server, &del).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

async fn ask<T: redis::FromRedisValue>(server: &mut Connection, command: &Cmd) -> Result<T, Error> {
    let answer = command.query_async(server).await;
    answer.map_err(|error| Error::from_redis(&error))
}

/// A text as a pattern that fits it alone.
fn escaped(text: &str) -> String {
    let special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-');
    let escape = |c: char| special(c).then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escape).collect()
}
