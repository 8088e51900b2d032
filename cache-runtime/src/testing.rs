//! Faults that a test asks for.
//!
//! The one rule: **a fault is met before a store is asked, by whoever asks it**, and is no part of any store: what
//! stands there stays, unless the fault says otherwise, and is there again when the fault is over.
//!
//! [`Injected`] is what a cache has of them. Without the feature `testing` it has no size, and no code meets it.

#[cfg(feature = "testing")]
use std::{
    io,
    time::{Duration, Instant},
};

#[cfg(feature = "testing")]
use tokio::{sync::watch, time::timeout_at};

#[cfg(feature = "testing")]
use crate::{
    base::runtime::has_timers,
    error::{Error, ErrorKind},
};

/// Breaks a cache on demand, for a test of what code does when its cache is broken.
///
/// It is given to a builder ([`CacheBuilder::faults`](crate::CacheBuilder::faults)), works on the store in process as well as over
/// Redis, and may be changed while calls are under way. Clones are the same faults. One fault holds at a time: the one that was
/// said last. At first there is none.
///
/// ```
/// use std::time::Duration;
/// use cache_runtime::{Cache, Faults, redis_cached};
///
/// #[redis_cached(ttl = 60)]
/// async fn price(article: u64) -> u64 {
///     article * 2
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cache_runtime::Error> {
/// let faults = Faults::new();
/// let cache = Cache::builder().in_memory().faults(&faults).build()?;
/// let _guard = cache.install_in_this_runtime();
///
/// faults.down();
/// assert_eq!(price(4).await, 8); // runs the body, as whenever the cache fails
/// assert!(price_entry(4).invalidate().await.is_err()); // tells its caller
///
/// faults.slow(Duration::from_secs(60));
/// assert_eq!(price(4).await, 8); // waits for the timeout first, 250 ms
///
/// faults.none();
/// assert_eq!(price(4).await, 8); // runs the body once more, and stores what it returns
/// assert_eq!(price_entry(4).get().await?, Some(8));
/// # Ok(())
/// # }
/// ```
///
/// # What is done under a fault
///
/// A call never fails for it, as for no other failure of the cache.
///
/// | | [`down`](Self::down) | [`slow`](Self::slow) beyond the timeout | [`full`](Self::full) | [`garbage`](Self::garbage) | [`refuses_to_store`](Self::refuses_to_store) |
/// |---|---|---|---|---|---|
/// | a call | runs its body | waits for the timeout, then runs its body | answers with what is stored, else runs its body | runs its body | answers with what is stored, else runs its body |
/// | what a body returns | is not stored | is not stored | is not stored | is stored | is not stored, and what stood there is gone |
/// | [`get`](crate::Entry::get) | is an error | is an error | answers | is `None` | answers |
/// | [`ttl`](crate::Entry::ttl), [`ping`](crate::Cache::ping) | is an error | is an error | answers | answers | answers |
/// | [`put`](crate::Entry::put) | is an error | is an error | is an error | stores | is `Ok`, and nothing stays |
/// | [`put_with`](crate::Entry::put_with) | writes, and is an error | writes, and is an error | writes, is `Ok`, and nothing stays | writes and stores | writes, is `Ok`, and nothing stays |
/// | [`clear`](crate::Cache::clear) | is an error | is an error | is `Ok` | is `Ok` | is `Ok` |
/// | [`invalidate`](crate::Entry::invalidate) | tries until the timeout, then is an error | is an error | is `Ok` | is `Ok` | is `Ok` |
///
/// An invalidation that failed is remembered, and done when the fault is over, before this process reads the key again.
/// The kinds of the errors, what [`stats`](crate::Cache::stats) counts for a function, and the lines of the log about a call are
/// those of a Redis in the same state.
///
/// # What is not simulated
///
/// - The breaker and the connections: they know nothing of a fault, so `stats` shows a store that is well, calls try under
///   [`down`](Self::down) as often as they come, and the log does not say that Redis is back.
/// - Commands of the user's own, on a [`Connection`](crate::Connection).
/// - Over Redis, the renewal of a right to store while a body runs for long, the wait for another process with
///   `coalesce = "cluster"`, and the question for the server's time.
/// - Half a reply, a connection that is cut, a failover. A test of those needs a Redis, and something between.
///
/// A store in process under faults is asked as Redis is. So no call is answered at its first poll, and an invalidation can fail.
#[cfg(feature = "testing")]
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Its receivers are those who wait because the store is slow.
    present: watch::Sender<Fault>,
}

/// What is wrong with a store; made to be matched on.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    Nothing,
    Down,
    Slow(Duration),
    Full,
    Garbage,
    RefusesToStore,
}

#[cfg(feature = "testing")]
impl Faults {
    /// Faults of which none holds yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is reached: whatever is asked is an error of the kind [`Connect`](crate::ErrorKind::Connect) at once, as of a
    /// host that refuses connections.
    pub fn down(&self) {
        self.set(Fault::Down);
    }

    /// Each question waits for so long first, and is an error of the kind [`Timeout`](crate::ErrorKind::Timeout) where that is
    /// more than is left of the call's timeout. A call mostly asks twice before its body runs, and once after it.
    ///
    /// The wait is by tokio's clock. Whoever waits goes on at once when the fault is changed.
    pub fn slow(&self, by: Duration) {
        self.set(Fault::Slow(by));
    }

    /// There is no room: what reads or deletes is done, and what stores is an error of the kind
    /// [`Server`](crate::ErrorKind::Server), as Redis refuses it with `OOM`.
    pub fn full(&self) {
        self.set(Fault::Full);
    }

    /// What is read cannot be decoded, which counts as an error of the kind [`Decode`](crate::ErrorKind::Decode). What is
    /// stored stays, and can be read when the fault is over.
    pub fn garbage(&self) {
        self.set(Fault::Garbage);
    }

    /// The right to store is gone when a value comes, as if another process invalidated the key while each body and each
    /// write ran.
    pub fn refuses_to_store(&self) {
        self.set(Fault::RefusesToStore);
    }

    /// All is well from here on.
    pub fn none(&self) {
        self.set(Fault::Nothing);
    }

    fn set(&self, fault: Fault) {
        self.present.send_replace(fault);
    }

    /// Waits as the fault says, at most until the `deadline`; the fault that holds then.
    async fn meet(&self, deadline: Instant) -> Result<Fault, Error> {
        let began = Instant::now();
        let mut changes = self.present.subscribe();
        loop {
            let fault = *changes.borrow_and_update();
            let by = match fault {
                // As of Redis. What is tried again after a refusal waits by the timers, too.
                Fault::Down | Fault::Slow(_) if !has_timers() => return Err(no_timers()),
                Fault::Down => return Err(refused()),
                Fault::Slow(by) => by,
                Fault::Nothing | Fault::Full | Fault::Garbage | Fault::RefusesToStore => {
                    return Ok(fault);
                }
            };
            let over = began.checked_add(by).filter(|over| *over <= deadline);
            // The sender is in `self`, so what ends the wait is a change.
            match timeout_at(over.unwrap_or(deadline).into(), changes.changed()).await {
                Ok(_) => {}
                Err(_) if over.is_some() => return Ok(fault),
                Err(_) => return Err(too_late()),
            }
        }
    }
}

/// The faults that a cache was given, if it was given any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Injected {
    #[cfg(feature = "testing")]
    faults: Option<Faults>,
}

impl Injected {
    #[cfg(feature = "testing")]
    pub(crate) fn new(faults: &Faults) -> Self {
        Self {
            faults: Some(faults.clone()),
        }
    }

    /// Whether the cache was given any, so that its store may fail wherever it keeps the values.
    #[inline]
    pub(crate) fn are_given(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.faults.is_some();
        #[cfg(not(feature = "testing"))]
        false
    }
}

#[cfg(feature = "testing")]
impl Injected {
    /// The fault that holds.
    pub(crate) fn present(&self) -> Fault {
        let faults = self.faults.as_ref();
        faults.map_or(Fault::Nothing, |faults| *faults.present.borrow())
    }

    /// Whether nothing proves that nobody came between.
    pub(crate) fn take_proofs(&self) -> bool {
        matches!(self.present(), Fault::Down | Fault::RefusesToStore)
    }

    /// What comes before a question to the store: the wait of one that is slow, or the error of one that is down. The fault
    /// that holds after it.
    ///
    /// # Errors
    ///
    /// If the store is to seem out of reach, or not to answer before the `deadline`.
    pub(crate) async fn meet(&self, deadline: Instant) -> Result<Fault, Error> {
        match &self.faults {
            Some(faults) => faults.meet(deadline).await,
            None => Ok(Fault::Nothing),
        }
    }

    /// What comes before a question to the store that takes room there.
    ///
    /// # Errors
    ///
    /// As [`meet`](Self::meet), and if the store is to seem full.
    pub(crate) async fn meet_storing(&self, deadline: Instant) -> Result<Fault, Error> {
        match self.meet(deadline).await? {
            Fault::Full => Err(Error::out_of_memory()),
            fault => Ok(fault),
        }
    }
}

#[cfg(feature = "testing")]
fn refused() -> Error {
    Error::from_io(
        ErrorKind::Connect,
        "cannot connect to redis, as `Faults::down` says",
        io::ErrorKind::ConnectionRefused.into(),
    )
}

#[cfg(feature = "testing")]
fn too_late() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "redis did not answer within the timeout, as `Faults::slow` says",
    )
}

#[cfg(feature = "testing")]
fn no_timers() -> Error {
    Error::new(
        ErrorKind::NoRuntime,
        "the tokio runtime has no timers; build it with `enable_all()`",
    )
}
