//! The caches of scopes: of a future, with all that it polls itself, and of a tokio runtime.
//!
//! The one rule: **a call that is in no scope pays for none**: it asks [`control`](crate::observe::control) whether it is in any, as it
//! does for directives, and looks at [one number](DETOURS) for all else.
//!
//! A cache is installed in a runtime until its guard is dropped or the runtime ends, whichever comes first, because tokio may
//! give the number of a runtime that has ended to another one.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use tokio::{
    runtime::{self, Id},
    task::AbortHandle,
};

use super::{Cache, Handle};
use crate::{base::sharded::lock, observe::control::scoped};

tokio::task_local! {
    static CACHE: Cache;
}

/// The caches that are installed in a runtime, in the order in which they were. It holds none of them, because who looks at it keeps it
/// for a moment, also where another runtime's cache is just taken out.
static INSTALLED: ArcSwapOption<Vec<Installed>> = ArcSwapOption::const_empty();

/// The reasons why a call that names no cache may have another one than the first global one: two for each that is installed in a
/// runtime, and for each time that the global one was replaced; and one, for good, once there was a future in a scope. A reason is
/// counted before there is something to find, so that a call which begins after that looks.
static DETOURS: AtomicUsize = AtomicUsize::new(0);

const SCOPES: usize = 1;
const DETOUR: usize = 2;

#[derive(Clone)]
struct Installed {
    number: u64,
    runtime: Id,
    cache: Weak<Handle>,
}

/// Keeps a cache installed in a runtime; [`Cache::install_in_this_runtime`] makes one.
///
/// It may be dropped anywhere, also after its runtime has ended, and in another order than others were made. Calls under way keep
/// the cache that they began with; one that begins later, such as that of a task which is left, has the global one.
#[derive(Debug)]
#[must_use = "the cache is installed for as long as its guard lives"]
pub struct RuntimeGuard {
    installation: Arc<Installation>,
    /// The task that ends with the runtime.
    end: AbortHandle,
}

/// A cache that is installed in a runtime.
#[derive(Debug)]
struct Installation {
    number: u64,
    /// `None` once it is taken out.
    cache: Mutex<Option<Cache>>,
}

/// Takes a cache out of its runtime when that ends.
struct EndOfRuntime(Arc<Installation>);

impl Cache {
    /// Runs `future`, in which this is the cache of every call that names none, of every [`Entry`](crate::Entry) of such a
    /// function, and of [`get_cache`](crate::get_cache).
    ///
    /// The innermost scope counts. What is spawned in it does not inherit it, unless [`in_scope`] hands it on; a body that runs in
    /// the background does. The scope holds a handle on the cache, so that it may outlive all others. A hit in process takes
    /// some more steps in a scope, because calls in a scope go the whole way to it.
    ///
    /// [`install_in_this_runtime`](Self::install_in_this_runtime) reaches what is spawned as well.
    ///
    /// ```
    /// use cache_runtime::{Cache, redis_cached};
    /// # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// # static RUNS: AtomicU32 = AtomicU32::new(0);
    ///
    /// #[redis_cached(ttl = 60)]
    /// async fn runs() -> u32 {
    ///     RUNS.fetch_add(1, Relaxed) + 1
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cache_runtime::Error> {
    /// let own = Cache::builder().in_memory().build()?;
    /// assert_eq!(runs().await, 1);
    /// assert_eq!(own.scope(runs()).await, 2);
    /// assert_eq!(own.scope(runs()).await, 2);
    /// assert_eq!(runs().await, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As `future`.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        within(self.clone(), Box::pin(future))
    }

    /// Makes this the cache of every call on the present tokio runtime that names none and is in no [`scope`](Self::scope), of every
    /// [`Entry`](crate::Entry) of such a function, and of [`get_cache`](crate::get_cache), until the guard is dropped or the
    /// runtime ends.
    ///
    /// Each `#[tokio::test]` has a runtime of its own, so tests that run side by side do not meet, nor what they spawn, such as a
    /// server. If several are installed, the latest one that still is counts.
    ///
    /// It spawns a task that waits for the end of the runtime. While a cache is installed in any runtime of the process, each call that
    /// names none looks which runtime it is on.
    ///
    /// ```
    /// use cache_runtime::{Cache, redis_cached};
    /// # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// # static RUNS: AtomicU32 = AtomicU32::new(0);
    ///
    /// #[redis_cached(ttl = 60)]
    /// async fn runs() -> u32 {
    ///     RUNS.fetch_add(1, Relaxed) + 1
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let guard = Cache::builder().in_memory().build()?.install_in_this_runtime();
    /// assert_eq!(runs().await, 1);
    /// assert_eq!(tokio::spawn(runs()).await?, 1);
    /// drop(guard);
    /// assert_eq!(runs().await, 2); // in the global cache
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[track_caller]
    pub fn install_in_this_runtime(&self) -> RuntimeGuard {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let Ok(runtime) = runtime::Handle::try_current() else {
            panic!("`install_in_this_runtime` is called outside of a tokio runtime");
        };
        let installed = Installed {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            runtime: runtime.id(),
            cache: Arc::downgrade(&self.0),
        };
        let installation = Arc::new(Installation {
            number: installed.number,
            cache: Mutex::new(Some(self.clone())),
        });
        add_detour();
        INSTALLED.rcu(|all| {
            let all = all.iter().flat_map(|all| all.iter());
            Some(Arc::new(
                all.chain([&installed]).cloned().collect::<Vec<_>>(),
            ))
        });
        let end_of_runtime = EndOfRuntime(Arc::clone(&installation));
        let end = runtime.spawn(async move {
            let _end_of_runtime = end_of_runtime;
            pending::<()>().await;
        });
        RuntimeGuard {
            installation,
            end: end.abort_handle(),
        }
    }
}

/// Hands the [scope of a cache](Cache::scope) on to a future that runs somewhere else, as one that is spawned does.
///
/// The scope is that in which this function is called; where it is called in none, nothing changes. Only the cache is
/// handed on: a [`CacheControl`](crate::CacheControl), [`only_if_cached`](crate::only_if_cached) and
/// [`Outcome::of`](crate::Outcome::of) speak of calls of their own task.
///
/// ```
/// use cache_runtime::{Cache, get_cache, in_scope};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let own = Cache::builder().in_memory().prefix("own").build()?;
/// let key = own.scope(async {
///     tokio::spawn(in_scope(async { get_cache().await?.entry::<u32>("a").key() })).await
/// });
/// assert_eq!(&*key.await??, "own:a");
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// As `future`.
pub fn in_scope<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let cache = of_future();
    let future = Box::pin(future);
    async move {
        match cache {
            Some(cache) => within(cache, future).await,
            None => future.await,
        }
    }
}

/// A run in the background, in the scope of the call that begins it.
pub(crate) fn handed_on(
    run: Pin<Box<dyn Future<Output = ()> + Send>>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    match of_future() {
        Some(cache) => Box::pin(within(cache, run)),
        None => run,
    }
}

async fn within<F: Future>(cache: Cache, future: F) -> F::Output {
    // Looked at first, so that the scopes of a service write nothing that all its calls read.
    if DETOURS.load(Ordering::Relaxed) & SCOPES == 0 {
        DETOURS.fetch_or(SCOPES, Ordering::Relaxed);
    }
    CACHE.scope(cache, scoped(future)).await
}

impl Installation {
    /// Takes the cache out of its runtime, unless that was done.
    fn end(&self) {
        let Some(cache) = lock(&self.cache).take() else {
            return;
        };
        INSTALLED.rcu(|all| {
            let others = all.iter().flat_map(|all| all.iter());
            let others = others.filter(|other| other.number != self.number);
            let others: Vec<_> = others.cloned().collect();
            (!others.is_empty()).then(|| Arc::new(others))
        });
        DETOURS.fetch_sub(DETOUR, Ordering::Relaxed);
        // With no lock held, because the user's values may go with it.
        drop(cache);
    }
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        self.installation.end();
        self.end.abort();
    }
}

impl Drop for EndOfRuntime {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The cache of the innermost scope, else that of the present runtime. It is not lent, because what is polled meanwhile may be a scope
/// itself.
#[inline]
pub(super) fn present() -> Option<Cache> {
    match DETOURS.load(Ordering::Relaxed) {
        0 => None,
        _ => find(),
    }
}

#[cold]
fn find() -> Option<Cache> {
    of_future().or_else(of_runtime)
}

fn of_future() -> Option<Cache> {
    CACHE.try_with(Cache::clone).ok()
}

fn of_runtime() -> Option<Cache> {
    let all = INSTALLED.load();
    let all = all.as_deref()?;
    let runtime = runtime::Handle::try_current().ok()?.id();
    let here = all
        .iter()
        .rev()
        .filter(|installed| installed.runtime == runtime);
    let mut caches = here.filter_map(|installed| installed.cache.upgrade());
    caches.next().map(Cache)
}

/// Whether a call that is in the scope of no future may have another cache than the first global one.
#[inline]
pub(super) fn has_detours() -> bool {
    DETOURS.load(Ordering::Relaxed) > SCOPES
}

/// Counts a detour.
pub(super) fn add_detour() {
    DETOURS.fetch_add(DETOUR, Ordering::Relaxed);
}
