//! The cache that annotated functions use unless they name another.
//!
//! The one rule: **it is made at the first use and lives as long as the process**, whatever becomes
//! of the runtime that first used it.

use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwapOption;

use crate::{
    base::sharded::lock,
    cache::Cache,
    config::{Config, Hint},
    error::Error,
};

static INSTALLED: ArcSwapOption<Cache> = ArcSwapOption::const_empty();
/// What is wrong with the environment. It is kept, so that a call need not read the environment again.
static UNUSABLE: OnceLock<Error> = OnceLock::new();
/// Held while a cache is installed, so that the environment makes one cache at most.
static MAKING: Mutex<()> = Mutex::new(());

/// The global cache; at the first use it is made from the environment.
///
/// Cheap enough to be called per request, and the handle may be kept. No connection is made here.
///
/// # Errors
///
/// A variable with a bad value: the message names it and says what is accepted.
///
/// # Cancel safety
///
/// Dropping the future changes nothing.
pub async fn get_cache() -> Result<Cache, Error> {
    installed_or_made()
}

/// Installs `cache` as the global one and gives back the one before, if there was one.
///
/// Calls under way keep the cache that they began with.
pub fn set_cache(cache: Cache) -> Option<Cache> {
    // Waits for a cache that is being made of the environment, because that would take this one's place.
    let _making = lock(&MAKING);
    INSTALLED
        .swap(Some(cache.into()))
        .map(|previous| Cache::clone(&previous))
}

/// What `look` finds in the global cache, which is lent and not cloned; `None` also if there is no cache yet.
pub(crate) fn with_installed<T>(look: impl FnOnce(&Cache) -> Option<T>) -> Option<T> {
    INSTALLED.load().as_deref().and_then(look)
}

/// The global cache for an annotated function; `None` if the environment is not in order.
pub(crate) fn installed() -> Option<Cache> {
    match installed_or_made() {
        Ok(cache) => Some(cache),
        Err(error) => {
            static WARNED: AtomicBool = AtomicBool::new(false);
            if !WARNED.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, cause = error.cause(), "calls run without the cache");
            }
            None
        }
    }
}

/// Makes a cache of the environment, and the hints that the log is to be told.
fn made() -> Result<(Cache, Vec<Hint>), Error> {
    let mut config = Config::from_environment(|name| std::env::var_os(name))?;
    let hints = std::mem::take(&mut config.hints);
    Ok((Cache::new(config)?, hints))
}

/// The global cache, made from the environment at the first use.
pub(crate) fn installed_or_made() -> Result<Cache, Error> {
    if let Some(cache) = &*INSTALLED.load() {
        return Ok(Cache::clone(cache));
    }
    if let Some(error) = UNUSABLE.get() {
        return Err(error.clone());
    }
    let making = lock(&MAKING);
    if let Some(cache) = &*INSTALLED.load() {
        return Ok(Cache::clone(cache));
    }
    let (cache, hints) = made()
        // Is set once, because that happens here alone, while `making` is held.
        .inspect_err(|error| drop(UNUSABLE.set(error.clone())))?;
    INSTALLED.store(Some(cache.clone().into()));
    // The log is told with no lock held, because a subscriber may call a cached function.
    drop(making);
    hints.iter().for_each(Hint::say);
    Ok(cache)
}
