//! Body runs that no caller waits for, and how often a key may have one.
//!
//! The one rule: **a run is counted before it begins, over the whole process and for its function in this cache, and
//! is ended by `shutdown`**. A key backs off for a while after a run that failed, and while another process computes it.
//!
//! That there is one run per key is the flight's business.

use std::{
    collections::HashMap,
    future::Future,
    ops::RangeInclusive,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{AbortHandle, Abortable},
};
use tokio::{
    runtime::{Handle, Id},
    sync::watch,
};
use tracing::{Instrument as _, Span};

use crate::{
    base::{clock::Clock, runtime::has_timers, sharded::lock, slab::Slab},
    site::Site,
};

/// How many keys back off at most. A key that is forgotten is tried earlier.
const BACKOFFS: usize = 10_000;

/// How many runs there are, of all caches.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// The background runs of one cache.
#[derive(Debug)]
pub(crate) struct Background {
    limit: usize,
    limit_of_function: usize,
    /// How many runs each function has in this cache now.
    running: Slab<AtomicUsize>,
    /// The runs by their numbers; `None` when no more may begin.
    tasks: Mutex<Option<HashMap<u64, AbortHandle>>>,
    begun: AtomicU64,
    /// How many runs have begun and were not dropped yet, which takes a moment after their end.
    alive: watch::Sender<usize>,
    backoffs: quick_cache::sync::Cache<Arc<str>, KeyBackoff>,
    pauses: RangeInclusive<Duration>,
    clock: Clock,
    /// The runtime that was last looked at, and whether it has timers.
    timers: Mutex<Option<(Id, bool)>>,
}

#[derive(Debug, Clone, Copy)]
struct KeyBackoff {
    /// How many runs failed in a row.
    failures: u32,
    until: Instant,
}

/// The right to one background run.
#[derive(Debug)]
pub(crate) struct RunPermit {
    background: Arc<Background>,
    function: &'static Site,
}

/// The place of a run on the list, which its drop takes off.
#[derive(Debug)]
struct Listed {
    background: Weak<Background>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let Some(background) = self.background.upgrade() else {
            return;
        };
        if let Some(tasks) = &mut *lock(&background.tasks) {
            tasks.remove(&self.number);
        }
        background.alive.send_modify(|alive| *alive -= 1);
    }
}

impl Drop for RunPermit {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        self.background
            .running_of(self.function)
            .fetch_sub(1, Ordering::Relaxed);
    }
}

impl RunPermit {
    /// The span of the run. It is a root, because a span lasts as long as the spans inside it, so that the caller's would
    /// last as long as the run and not as the call.
    fn span(&self) -> Span {
        let span = tracing::info_span!(
            parent: None,
            "run_behind",
            function = %self.function.place(),
        );
        span.follows_from(Span::current());
        span
    }
}

impl Background {
    /// `limit`: while so many run in this process, none begins here. `limit_of_function`: while so many of
    /// one function run in this cache, none of it begins. `pauses`: the first one after a failure, and the longest.
    pub(crate) fn new(
        limit: usize,
        limit_of_function: usize,
        pauses: RangeInclusive<Duration>,
        clock: Clock,
    ) -> Self {
        Self {
            limit,
            limit_of_function,
            running: Slab::new(),
            tasks: Mutex::new(Some(HashMap::new())),
            begun: AtomicU64::new(0),
            alive: watch::Sender::new(0),
            backoffs: quick_cache::sync::Cache::new(BACKOFFS),
            pauses,
            clock,
            timers: Mutex::new(None),
        }
    }

    /// How many runs there are in this process, whichever cache began them.
    pub(crate) fn running() -> usize {
        RUNNING.load(Ordering::Relaxed)
    }

    /// Whether a run could begin at all: there is a runtime, and it can end what takes too long.
    pub(crate) fn is_possible(&self) -> bool {
        lock(&self.tasks).is_some() && self.has_timers()
    }

    /// Whether there is a runtime, and it has timers.
    pub(crate) fn has_timers(&self) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let id = runtime.id();
        let known = lock(&self.timers).filter(|(known, _)| *known == id);
        let (_, has) = known.unwrap_or_else(|| {
            let found = (id, has_timers());
            *lock(&self.timers) = Some(found);
            found
        });
        has
    }

    /// How many runs a function has in this cache now.
    fn running_of(&self, function: &Site) -> &AtomicUsize {
        self.running
            .get_or_make(function.number(), || AtomicUsize::new(0))
    }

    /// The right to begin a run of a function; `None` while there are as many as there may be.
    pub(crate) fn permit(self: &Arc<Self>, function: &'static Site) -> Option<RunPermit> {
        let of_function = self.running_of(function);
        let counted = |running: &AtomicUsize, limit| {
            let one_more = |running| (running < limit).then_some(running + 1);
            running
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                .is_ok()
        };
        if !counted(of_function, self.limit_of_function) {
            return None;
        }
        if !counted(&RUNNING, self.limit) {
            of_function.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(RunPermit {
            background: Arc::clone(self),
            function,
        })
    }

    /// Begins `run` on the present runtime, in a span of its own. A panic of it reaches the log alone. It is boxed, so that
    /// this is compiled once.
    pub(crate) fn begin(
        self: &Arc<Self>,
        permit: RunPermit,
        run: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let (handle, registration) = AbortHandle::new_pair();
        match &mut *lock(&self.tasks) {
            Some(tasks) => drop(tasks.insert(number, handle)),
            None => return,
        }
        self.alive.send_modify(|alive| *alive += 1);
        let listed = Listed {
            background: Arc::downgrade(self),
            number,
        };
        let (function, span) = (permit.function, permit.span());
        let run = async move {
            let _ended = (permit, listed);
            // Nobody sees a broken invariant, because all that a panic leaves half done is dropped with the run.
            let run = AssertUnwindSafe(Abortable::new(run, registration));
            if run.catch_unwind().await.is_err() {
                // The message is left out, because it may hold an argument; the panic hook was given it.
                tracing::error!(
                    function = %function.place(),
                    cause = "a panic, whose message went to the panic hook",
                    "a body panicked in the background"
                );
            }
        };
        drop(runtime.spawn(run.instrument(span)));
    }

    /// Ends every run, and lets none begin.
    pub(crate) fn close(&self) {
        let tasks = lock(&self.tasks).take();
        for task in tasks.into_iter().flatten() {
            task.1.abort();
        }
    }

    /// Waits until every run has been dropped, and with it what it held.
    pub(crate) async fn ended(&self) {
        // Cannot fail, because `self` holds the sender.
        let _ = self.alive.subscribe().wait_for(|alive| *alive == 0).await;
    }

    /// Whether `key` backs off, so that no body of it should begin now.
    pub(crate) fn backs_off(&self, key: &str) -> bool {
        self.backoffs
            .get(key)
            .is_some_and(|backoff| self.clock.now() < backoff.until)
    }

    /// The latest backoff of `key`, unless it ended so long ago that its failures do not count any more.
    fn last(&self, key: &str, now: Instant) -> Option<KeyBackoff> {
        let matters_for = *self.pauses.end() + Duration::from_secs(60);
        self.backoffs
            .get(key)
            .filter(|backoff| now < backoff.until + matters_for)
    }

    /// Lets `key` back off after a failed body: for the first pause, doubled with each further failure in a row up to the
    /// longest pause, and up to a tenth longer.
    pub(crate) fn failed(&self, key: &Arc<str>) {
        let now = self.clock.now();
        let last = self.last(key, now);
        // Bodies that ran side by side count as one failure.
        if last.is_some_and(|backoff| backoff.failures > 0 && now < backoff.until) {
            return;
        }
        let failures = last.map_or(0, |backoff| backoff.failures);
        let longest = *self.pauses.end();
        let pause = self
            .pauses
            .start()
            .saturating_mul(2_u32.saturating_pow(failures))
            .min(longest);
        let backoff = KeyBackoff {
            failures: failures.saturating_add(1),
            until: now + pause.mul_f64(1.0 + fastrand::f64() / 10.0),
        };
        self.backoffs.insert(Arc::clone(key), backoff);
    }

    /// Lets `key` back off for `left` at least, because another process computes it.
    pub(crate) fn defer(&self, key: &Arc<str>, left: Duration) {
        let now = self.clock.now();
        let until = now + left;
        let last = self.last(key, now);
        let backoff = KeyBackoff {
            failures: last.map_or(0, |backoff| backoff.failures),
            until: last.map_or(until, |backoff| backoff.until.max(until)),
        };
        self.backoffs.insert(Arc::clone(key), backoff);
    }

    /// Ends the backoff of `key`, because a body of it succeeded or its value was changed.
    pub(crate) fn end_backoff(&self, key: &str) {
        if self.backoffs.contains_key(key) {
            self.backoffs.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;

    static FUNCTION: Site = Site::new("function", &());
    /// Held by a test that counts the runs of the process.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(4);

    fn background(clock: &ManualClock) -> Arc<Background> {
        Arc::new(Background::new(
            4,
            2,
            FIRST..=LONGEST,
            Clock::manual(clock.clone()),
        ))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let (clock, key) = (ManualClock::new(), Arc::from("k"));
        let background = background(&clock);
        assert!(!background.backs_off("k"));
        for pause in [1, 2, 4, 4] {
            let pause = Duration::from_secs(pause);
            background.failed(&key);
            clock.advance(pause - Duration::from_millis(1));
            assert!(background.backs_off("k"), "{pause:?}");
            // Another run of the same moment is no further failure.
            background.failed(&key);
            clock.advance(pause / 10 + Duration::from_millis(1));
            assert!(!background.backs_off("k"), "{pause:?}");
        }
        background.end_backoff("k");
        background.failed(&key);
        clock.advance(FIRST.mul_f64(1.1));
        assert!(!background.backs_off("k"));
    }

    #[test]
    fn a_key_that_is_left_to_somebody_else_has_not_failed() {
        let (clock, key) = (ManualClock::new(), Arc::from("k"));
        let background = background(&clock);
        background.defer(&key, Duration::from_secs(2));
        assert!(background.backs_off("k"));
        clock.advance(Duration::from_secs(2));
        assert!(!background.backs_off("k"));
        background.failed(&key);
        clock.advance(FIRST.mul_f64(1.1));
        assert!(!background.backs_off("k"), "the first pause");
    }

    #[tokio::test]
    async fn a_function_has_so_many_runs_in_each_cache() {
        static BUSY: Site = Site::new("busy", &());
        static OTHER: Site = Site::new("other", &());
        let _alone = ALONE.lock().await;
        let clock = ManualClock::new();
        let (here, there) = (background(&clock), background(&clock));
        let [first, _second] = [(); 2].map(|()| here.permit(&BUSY).expect("room"));
        assert!(here.permit(&BUSY).is_none(), "as many as there may be");
        assert!(there.permit(&BUSY).is_some(), "another cache has its own");
        drop(first);
        assert!(here.permit(&BUSY).is_some(), "one has ended");
        assert!(here.permit(&OTHER).is_some(), "another function");
    }

    #[tokio::test]
    async fn a_run_that_panics_or_is_ended_gives_its_permit_back() {
        let _alone = ALONE.lock().await;
        let background = background(&ManualClock::new());
        let before = Background::running();
        let begin = |run| background.begin(background.permit(&FUNCTION).unwrap(), run);
        begin(Box::pin(async { panic!("on purpose") }));
        begin(Box::pin(std::future::pending()));
        assert_eq!(Background::running(), before + 2);
        while Background::running() > before + 1 {
            tokio::task::yield_now().await;
        }
        background.close();
        while Background::running() > before {
            tokio::task::yield_now().await;
        }
        begin(Box::pin(async { panic!("never runs") }));
        assert!(!background.is_possible());
    }
}
