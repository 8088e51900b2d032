//! The cache that annotated functions use unless they name another.
//!
//! The one rule: **it is made at the first use and lives as long as the process**, whatever becomes
//! of the runtime that first used it.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwapOption;

use crate::{
    base::sharded::lock,
    cache::{Cache, Inner},
    config::{Config, Hint},
    error::Error,
};

static INSTALLED: ArcSwapOption<Cache> = ArcSwapOption::const_empty();
/// The first cache that was installed, which most processes never replace. A look at it writes nothing, where
/// [`INSTALLED`] counts each reader in and out.
static FIRST: OnceLock<First> = OnceLock::new();
/// Whether another cache took the place of the first one.
static REPLACED: AtomicBool = AtomicBool::new(false);
/// What is wrong with the environment. It is kept, so that a call need not read the environment again.
static UNUSABLE: OnceLock<Error> = OnceLock::new();
/// Held while a cache is installed, so that the environment makes one cache at most.
static MAKING: Mutex<()> = Mutex::new(());

/// What is kept of the first cache, for good.
enum First {
    /// It has values in this process. They are dropped with its last handle, and their room stays: some fifty bytes for
    /// each of the entries that were there at once.
    Values(Arc<Inner>),
    /// It has none here.
    Elsewhere,
}

/// Where the values are that the global cache has in this process.
pub(crate) enum AtHand {
    /// It has none, or there is no cache yet.
    Nowhere,
    InFirst(&'static Inner),
    /// In the installed one, for [`with_installed`].
    InInstalled,
}

impl AtHand {
    #[inline]
    pub(crate) fn find() -> Self {
        match FIRST.get() {
            // A call that begins after `set_cache` returned finds the mark, because that was set before.
            Some(_) if REPLACED.load(Ordering::Relaxed) => Self::InInstalled,
            Some(First::Values(inner)) => Self::InFirst(inner),
            Some(First::Elsewhere) | None => Self::Nowhere,
        }
    }
}

impl First {
    fn of(cache: &Cache) -> Self {
        let inner = cache.inner();
        if inner.store.is_at_hand() {
            Self::Values(Arc::clone(inner))
        } else {
            Self::Elsewhere
        }
    }
}

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
    install(cache).map(|previous| Cache::clone(&previous))
}

/// Puts `cache` in the place of the one before. Called while `MAKING` is held.
fn install(cache: Cache) -> Option<Arc<Cache>> {
    if FIRST.set(First::of(&cache)).is_err() {
        REPLACED.store(true, Ordering::Relaxed);
    }
    INSTALLED.swap(Some(cache.into()))
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
    install(cache.clone());
    // The log is told with no lock held, because a subscriber may call a cached function.
    drop(making);
    hints.iter().for_each(Hint::say);
    Ok(cache)
}
