//! An entry that is taken away.
//!
//! The one rule: **the value goes, and with it the right to store of every body that runs**.

use super::Entry;
use crate::{error::Error, observe::event::Event};

impl<R> Entry<R> {
    /// Takes the value away, and the right to store from every body that runs.
    ///
    /// Call it after the change to the source is committed. It is tried even while Redis does not
    /// answer. [`invalidate_logged`](Self::invalidate_logged) is for callers that can do nothing about an error.
    ///
    /// # Errors
    ///
    /// If Redis does not confirm it in time. This process then deletes the value before it next reads
    /// it, and keeps trying in the background; other processes may read the old value meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped after its first poll counts as one that failed.
    pub async fn invalidate(&self) -> Result<(), Error> {
        self.invalidate_for(true).await
    }

    /// `is_callers`: whether the caller is told of an error; else the log is.
    async fn invalidate_for(&self, is_callers: bool) -> Result<(), Error> {
        let invalidated = match self.place() {
            Ok((cache, key)) => {
                let cache = cache.inner();
                cache.invalidate(&key, self.timeout(cache)).await
            }
            Err(error) => Err(error),
        };
        self.question.tell(&match &invalidated {
            Ok(()) => Event::Invalidated,
            Err(error) => Event::NotInvalidated { error, is_callers },
        });
        invalidated
    }

    /// As [`invalidate`](Self::invalidate), but an error goes to the log, and is counted among the function's
    /// [`errors`](crate::SiteStats::errors).
    ///
    /// It is for the time after the source's commit, when the change is made and an error of the cache would say that it is
    /// not. [`invalidate`](Self::invalidate) says what a failed invalidation leaves behind; use it where no reader may see
    /// the old value.
    ///
    /// The log has a warning once a minute and function, with `function` and `cause`, and a line at the level debug for each
    /// of the others. No line holds the key.
    ///
    /// ```
    /// use cache_runtime::redis_cached;
    ///
    /// #[redis_cached(ttl = 60)]
    /// async fn name(id: u64) -> String {
    ///     format!("user {id}")
    /// }
    ///
    /// # async fn write(_: u64, _: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// async fn rename(id: u64, name: &str) -> Result<(), std::io::Error> {
    ///     write(id, name).await?; // committed
    ///     name_entry(id).invalidate_logged().await;
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # name(7).await;
    /// rename(7, "Ada").await?;
    /// assert_eq!(name_entry(7).get().await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped after its first poll counts as an invalidation that failed, of which no line tells.
    pub async fn invalidate_logged(&self) {
        // An error was told to the log.
        drop(self.invalidate_for(false).await);
    }
}
