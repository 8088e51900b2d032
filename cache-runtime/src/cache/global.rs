//! The cache that annotated functions use unless they name another.
//!
//! The one rule: **it is that of the [`scope`], else the global one**, which is made at the first use and lives as long as the process, whatever becomes of the runtime that first used it.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwapOption;

use crate::{
    base::sharded::lock,
    cache::{Cache, Inner, scope},
    config::{Config, Hint},
    error::Error,
};

static INSTALLED: ArcSwapOption<Cache> = ArcSwapOption::const_empty();
/// The first cache that was installed, which most processes never replace. A look at it writes nothing, where
/// [`INSTALLED`] counts each reader in and out.
static FIRST: OnceLock<First> = OnceLock::new();
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

/// Where the values are that the cache of a call which is in no scope has in this process.
pub(crate) enum AtHand {
    /// It has none, or there is no cache yet.
    Nowhere,
    InFirst(&'static Inner),
    /// In another one, if it has any, for [`with_installed`].
    InInstalled,
}

impl AtHand {
    #[inline]
    pub(crate) fn find() -> Self {
        match FIRST.get() {
            _ if scope::has_detours() => Self::InInstalled,
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

/// The cache of the [`scope`](Cache::scope) that this is called in, else of the [runtime](Cache::install_in_this_runtime), else the
/// global one; that is made from the environment at the first use.
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
/// Calls under way keep the cache that they began with. A test takes a [`scope`](Cache::scope), or a cache for its
/// [runtime](Cache::install_in_this_runtime): the global one is every test's.
pub fn set_cache(cache: Cache) -> Option<Cache> {
    // Waits for a cache that is being made of the environment, because that would take this one's place.
    let _making = lock(&MAKING);
    install(cache).map(|previous| Cache::clone(&previous))
}

/// Puts `cache` in the place of the one before. Called while `MAKING` is held.
fn install(cache: Cache) -> Option<Arc<Cache>> {
    if FIRST.set(First::of(&cache)).is_err() {
        scope::add_detour();
    }
    INSTALLED.swap(Some(cache.into()))
}

/// What `look` finds in the cache of the call that is polled, unless the call names one; `None` also if there is no cache yet. The
/// global one is lent and not cloned.
#[inline]
pub(crate) fn with_installed<T>(look: impl FnOnce(&Cache) -> Option<T>) -> Option<T> {
    let (own, global);
    let cache = match scope::present() {
        Some(cache) => {
            own = cache;
            Some(&own)
        }
        None => {
            global = INSTALLED.load();
            global.as_deref()
        }
    };
    cache.and_then(look)
}

/// The cache for an annotated function that names none; `None` if the environment is not in order.
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

/// The same; the global one is made from the environment at the first use.
///
/// # Errors
///
/// If the environment is not in order.
pub(crate) fn installed_or_made() -> Result<Cache, Error> {
    if let Some(cache) = with_installed(|cache| Some(cache.clone())) {
        return Ok(cache);
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
