//! What one call, and everything below it on the same task, may do with the cache; and what it did.
//!
//! The one rule: **a scope is inherited by everything that its future polls itself, and by nothing that
//! is spawned**. Without a scope, a call only finds out that there is none.
//!
//! What a scope runs is boxed: each scope around it would double its size otherwise.

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use super::event::{BodyEnd, Event, Served, Tier};
use crate::base::sharded::lock;

/// A directive for every cached call below it on the same task, as RFC 9111, section 5.2.1 names them.
///
/// The innermost scope counts. What is spawned below it does not inherit it, nor does a refresh in the
/// background.
///
/// ```
/// use cache_runtime::{CacheControl, redis_cached};
/// # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// # static RUNS: AtomicU32 = AtomicU32::new(0);
///
/// #[redis_cached(ttl = 60)]
/// async fn runs() -> u32 {
///     RUNS.fetch_add(1, Relaxed) + 1
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(runs().await, 1);
/// assert_eq!(CacheControl::NoStore.scope(runs()).await, 2); // goes round the cache
/// assert_eq!(runs().await, 1);
/// assert_eq!(CacheControl::NoCache.scope(runs()).await, 3); // recomputes, and stores
/// assert_eq!(runs().await, 3);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheControl {
    /// Nothing is answered from the cache; what the body returns is stored, in the place of what is there.
    NoCache,
    /// Neither answers from the cache nor stores.
    NoStore,
}

impl CacheControl {
    /// Runs `future` under this directive.
    ///
    /// # Cancel safety
    ///
    /// As `future`.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        let scope = Scope {
            directive: Some(self),
            ..Scope::inherited()
        };
        SCOPE.scope(Arc::new(scope), Box::pin(future)).await
    }
}

/// Runs `future`, in which no body runs: `None` as soon as a cached call would need one.
///
/// The cached call that would is parked, and `future` dropped; what it spawned is not its own. A value past its ttl is an answer within
/// `stale_while_revalidate`, and nothing is refreshed because of it.
///
/// ```
/// use cache_runtime::{only_if_cached, redis_cached};
///
/// #[redis_cached(ttl = 60)]
/// async fn double(n: u32) -> u32 {
///     n * 2
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(only_if_cached(double(4)).await, None);
/// double(4).await;
/// assert_eq!(only_if_cached(double(4)).await, Some(8));
/// # }
/// ```
///
/// # Cancel safety
///
/// As `future`.
pub async fn only_if_cached<F: Future>(future: F) -> Option<F::Output> {
    let missed = Arc::new(AtomicBool::new(false));
    let scope = Scope {
        missed: Some(Arc::clone(&missed)),
        ..Scope::inherited()
    };
    let mut scoped = pin!(SCOPE.scope(Arc::new(scope), Box::pin(future)));
    poll_fn(|cx| match scoped.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if missed.load(Ordering::Relaxed) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// What a future gave, and where the first cached call that it polled itself had its answer from.
///
/// A call on a task that the future spawned is not its own; of two that it polls side by side the one that is polled first counts.
///
/// ```
/// use cache_runtime::{Outcome, Source, redis_cached};
///
/// #[redis_cached(ttl = 60)]
/// async fn triple(n: u32) -> u32 {
///     n * 3
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let first = Outcome::of(triple(4)).await;
/// assert_eq!((first.value, first.source), (12, Source::Miss));
/// let second = Outcome::of(triple(4)).await;
/// assert_eq!((second.value, second.source), (12, Source::Hit));
/// assert!(second.ttl.is_some());
///
/// let both = Outcome::of(async { tokio::join!(biased; triple(4), triple(5)) }).await;
/// assert_eq!((both.value, both.source), ((12, 15), Source::Hit)); // of `triple(4)`
/// let spawned = Outcome::of(async { tokio::spawn(triple(4)).await.unwrap() }).await;
/// assert_eq!((spawned.value, spawned.source), (12, Source::Bypass));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome<T> {
    /// What the future gave.
    pub value: T,
    /// Where the answer was from; [`Source::Bypass`] also where nothing was cached at all.
    pub source: Source,
    /// The store that had the value; `None` if none had.
    pub tier: Option<Tier>,
    /// How long ago the value was stored; `None` if it was not, or nothing says when. What Redis holds
    /// with no more than its ttl (plain JSON) does not say.
    pub age: Option<Duration>,
    /// How much longer the value is fresh, zero for a stale one; `None` if it was not stored by this call,
    /// or nothing says so.
    pub ttl: Option<Duration>,
    /// The key, as Redis has it; `None` for [`Source::Bypass`].
    pub key: Option<Arc<str>>,
}

/// Where an answer was from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A fresh value of the cache.
    Hit,
    /// A value of the cache past its ttl.
    Stale,
    /// The body, or another call's that was waited for.
    Miss,
    /// The body, without the cache.
    Bypass,
}

impl<T> Outcome<T> {
    /// Runs `future`, and says of the first cached call that it polls itself how that was answered.
    ///
    /// For a value that is plain JSON in Redis, the rest of its ttl is asked for: one command more.
    ///
    /// # Cancel safety
    ///
    /// As `future`.
    pub async fn of(future: impl Future<Output = T>) -> Self {
        let slot = Arc::new(Mutex::new(ReportPlace::Free));
        let mut scope = Scope::inherited();
        scope.reports.push(Arc::clone(&slot));
        let value = SCOPE.scope(Arc::new(scope), Box::pin(future)).await;
        let report = match std::mem::replace(&mut *lock(&slot), ReportPlace::Taken) {
            ReportPlace::Told(report) => report,
            ReportPlace::Free | ReportPlace::Taken => Report::bypass(),
        };
        let Report {
            source,
            tier,
            age,
            ttl,
            key,
        } = report;
        Self {
            value,
            source,
            tier,
            age,
            ttl,
            key,
        }
    }
}

/// Runs `future` in a scope that changes nothing, so that its calls find out that they are in one: for scopes of another kind,
/// of which a call in no scope is not to ask for each.
///
/// # Cancel safety
///
/// As `future`.
pub(crate) async fn scoped<F: Future>(future: F) -> F::Output {
    let scope = SCOPE.try_with(Arc::clone).unwrap_or_default();
    SCOPE.scope(scope, future).await
}

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

#[derive(Debug, Clone, Default)]
struct Scope {
    directive: Option<CacheControl>,
    /// Where a call says that it would need a body.
    missed: Option<Arc<AtomicBool>>,
    /// The places for a report, one of each [`Outcome::of`] that the call is in.
    reports: Vec<Arc<Mutex<ReportPlace>>>,
}

impl Scope {
    fn inherited() -> Self {
        SCOPE
            .try_with(|scope| Self::clone(scope))
            .unwrap_or_default()
    }
}

/// The place for one call's report.
#[derive(Debug)]
enum ReportPlace {
    Free,
    /// A call is about to tell.
    Taken,
    Told(Report),
}

impl ReportPlace {
    /// Whether no call was before this one, which is to tell.
    fn take(place: &Mutex<Self>) -> bool {
        let mut place = lock(place);
        let is_free = matches!(*place, Self::Free);
        if is_free {
            *place = Self::Taken;
        }
        is_free
    }
}

/// How one call was answered.
#[derive(Debug, Clone)]
struct Report {
    source: Source,
    tier: Option<Tier>,
    age: Option<Duration>,
    ttl: Option<Duration>,
    key: Option<Arc<str>>,
}

impl Report {
    fn of_value(source: Source, served: Served, key: &Arc<str>) -> Self {
        let Served {
            tier,
            age_of_ttl,
            left,
        } = served;
        Self {
            source,
            tier: Some(tier),
            age: age_of_ttl.map(|(age, _)| age),
            ttl: age_of_ttl
                .map(|(age, ttl)| ttl.saturating_sub(age))
                .or(left),
            key: Some(Arc::clone(key)),
        }
    }

    /// `ttl`: for how long what the body returned is fresh, if it was stored.
    fn of_body(ttl: Option<Duration>, key: &Arc<str>) -> Self {
        Self {
            source: Source::Miss,
            tier: None,
            age: ttl.map(|_| Duration::ZERO),
            ttl,
            key: Some(Arc::clone(key)),
        }
    }

    fn bypass() -> Self {
        Self {
            source: Source::Bypass,
            tier: None,
            age: None,
            ttl: None,
            key: None,
        }
    }
}

/// One call's view of the scopes that it is in.
#[derive(Debug)]
pub(crate) struct Control {
    scope: Option<Arc<Scope>>,
    /// Where this call, and no other, is to report.
    reports: Vec<Arc<Mutex<ReportPlace>>>,
    /// For how long what its body returned is fresh; `None` until it is stored.
    stored: Option<Duration>,
    bypasses: bool,
}

impl Control {
    /// Of the call that is being polled.
    pub(crate) fn of_this_call() -> Self {
        match SCOPE.try_with(Arc::clone) {
            Ok(scope) => Self::in_scope(scope),
            // Most calls are in no scope.
            Err(_) => Self::none(),
        }
    }

    #[cold]
    fn in_scope(scope: Arc<Scope>) -> Self {
        let places = scope.reports.iter();
        let reports = places
            .filter(|place| ReportPlace::take(place))
            .cloned()
            .collect();
        Self {
            scope: Some(scope),
            reports,
            stored: None,
            bypasses: false,
        }
    }

    /// Whether the call that is being polled is in any scope.
    pub(crate) fn is_scoped() -> bool {
        SCOPE.try_with(|_| ()).is_ok()
    }

    /// Of a run that is nobody's call.
    pub(crate) fn none() -> Self {
        Self {
            scope: None,
            reports: Vec::new(),
            stored: None,
            bypasses: false,
        }
    }

    pub(crate) fn directive(&self) -> Option<CacheControl> {
        self.scope.as_ref()?.directive
    }

    /// Whether no body may run.
    pub(crate) fn is_only_if_cached(&self) -> bool {
        let missed = |scope: &Arc<Scope>| scope.missed.is_some();
        self.scope.as_ref().is_some_and(missed)
    }

    /// Waits for the scope to drop the call, which would need a body.
    pub(crate) async fn park(&self) -> Infallible {
        if let Some(missed) = self.scope.as_ref().and_then(|scope| scope.missed.as_ref()) {
            missed.store(true, Ordering::Relaxed);
        }
        pending().await
    }

    /// Whether somebody wants to know how the call is answered.
    pub(crate) fn reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Reports what an event says of how the call is answered. `key`: the call's; a call that goes round the cache has
    /// none.
    #[inline]
    pub(super) fn hear(&mut self, event: &Event<'_>, key: Option<&Arc<str>>) {
        if self.reports() {
            self.hear_for_report(event, key);
        }
    }

    #[cold]
    fn hear_for_report(&mut self, event: &Event<'_>, key: Option<&Arc<str>>) {
        match (event, key) {
            (Event::Hit(served), Some(key)) => {
                self.report(&Report::of_value(Source::Hit, *served, key));
            }
            (Event::Stale(served), Some(key)) => {
                self.report(&Report::of_value(Source::Stale, *served, key));
            }
            (Event::Stored { fresh_for }, _) => self.stored = Some(*fresh_for),
            (Event::Miss | Event::Coalesced, Some(key)) => {
                self.report(&Report::of_body(self.stored, key));
            }
            (Event::Bypass, _) => self.bypasses = true,
            // Only now, so that a call that is given up leaves the report to the next one.
            (
                Event::BodyEnded {
                    end: BodyEnd::Finished,
                    ..
                },
                _,
            ) if self.bypasses => self.report(&Report::bypass()),
            _ => {}
        }
    }

    fn report(&mut self, report: &Report) {
        for slot in self.reports.drain(..) {
            *lock(&slot) = ReportPlace::Told(report.clone());
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // A call that was given up leaves the report to the next one.
        for slot in &self.reports {
            *lock(slot) = ReportPlace::Free;
        }
    }
}
