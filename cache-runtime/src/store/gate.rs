//! The breaker at work: a lock that calls pass without touching while nothing is amiss, and the one
//! background probe that looks whether Redis is back.
//!
//! The one rule: **there is a probe whenever the breaker is open.** A probe lives on a runtime, and
//! runtimes end or stop being driven, so each has a lease: a call that is refused after the lease
//! ran out starts another probe on its own runtime.

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::redis::RedisStore;
use crate::{
    breaker::{Admission, Breaker, BreakerState},
    error::{Error, ErrorKind},
    sharded::lock,
};

/// How much later than planned a probe may act, beside the time that its two pings may take, before another one takes
/// over.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Gate {
    calm: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    /// Until when the present probe is believed to live.
    lease: Option<Instant>,
    /// [`PATIENCE`], and what the two pings of a probe may take.
    patience: Duration,
    /// Which probe is the present one.
    probe: u64,
    /// Why there is no connection, if that is what opened the breaker.
    why: Option<Error>,
}

/// Leave to ask Redis once; dropping it says that no reply came.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    counted: bool,
}

impl Gate {
    pub(crate) fn new(stall_after: Duration) -> Self {
        Self {
            calm: AtomicBool::new(true),
            state: Mutex::new(State {
                breaker: Breaker::new(stall_after),
                lease: None,
                patience: PATIENCE + 2 * stall_after,
                probe: 0,
                why: None,
            }),
        }
    }

    /// Leave to ask Redis, or `None` while the breaker is open.
    pub(crate) fn admit(&self, store: &Arc<RedisStore>) -> Option<Pass<'_>> {
        if self.calm.load(Ordering::Relaxed) {
            return Some(Pass {
                gate: self,
                counted: false,
            });
        }
        let admission = self.update(|state| state.breaker.admit(Instant::now()));
        match admission {
            Admission::Granted => Some(Pass {
                gate: self,
                counted: false,
            }),
            Admission::Counted => Some(Pass {
                gate: self,
                counted: true,
            }),
            Admission::Refused => {
                self.ensure_probe(store);
                None
            }
        }
    }

    /// Leave to ask Redis whatever the breaker says.
    pub(crate) fn force(&self) -> Pass<'_> {
        Pass {
            gate: self,
            counted: false,
        }
    }

    /// What a call is told that was not admitted.
    pub(crate) fn refusal(&self) -> Error {
        match &lock(&self.state).why {
            Some(why) => Error::with_source(
                ErrorKind::Unavailable,
                "redis is not asked, because no connection could be made",
                why.clone(),
            ),
            None => Error::new(
                ErrorKind::Unavailable,
                "redis is not asked, because it has not been answering",
            ),
        }
    }

    /// No connection could be made.
    pub(crate) fn connection_failed(&self, store: &Arc<RedisStore>, error: &Error) {
        let opened = self.update(|state| {
            state.why = Some(error.clone());
            state.breaker.connection_failed()
        });
        if opened {
            tracing::warn!(
                %error,
                cause = error.cause(),
                "calls run without the cache until redis is back"
            );
            self.ensure_probe(store);
        }
    }

    /// An operation waited in vain for as long as the breaker allows.
    pub(crate) fn stalled(&self, store: &Arc<RedisStore>) {
        let opened = self.update(|state| {
            let opened = state.breaker.stalled(Instant::now());
            if opened {
                state.why = None;
            }
            opened
        });
        if opened {
            if store.connector().auth().has_credentials() {
                tracing::warn!(
                    cause =
                        "an operation waited in vain after another one had, and no byte came since",
                    "redis does not answer; calls run without the cache until it does"
                );
            } else {
                tracing::warn!(
                    cause = "no token has come yet; see `no new Entra ID token`",
                    "calls run without the cache until there is an Entra ID token"
                );
            }
            self.ensure_probe(store);
        }
    }

    pub(crate) fn breaker_state(&self) -> BreakerState {
        lock(&self.state).breaker.state()
    }

    pub(crate) fn times_opened(&self) -> u64 {
        lock(&self.state).breaker.opened()
    }

    fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        self.calm.store(state.breaker.is_calm(), Ordering::Relaxed);
        result
    }

    /// Starts a probe on the caller's runtime, unless the breaker is not open or a probe lives.
    fn ensure_probe(&self, store: &Arc<RedisStore>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let now = Instant::now();
        let number = self.update(|state| {
            let alive = state.lease.is_some_and(|lease| now < lease);
            if state.breaker.state() != BreakerState::Open || alive {
                return None;
            }
            state.probe += 1;
            state.lease = Some(now + state.patience);
            Some(state.probe)
        });
        if let Some(number) = number {
            // A weak reference: a cache that nobody has any more needs no probe.
            let token_renewed = Arc::clone(store.connector().token_renewed());
            drop(runtime.spawn(probe(Arc::downgrade(store), token_renewed, number)));
        }
    }

    /// The pause before the next probe, or `None` if probe `number` is not needed any more.
    fn next_pause(&self, number: u64) -> Option<Duration> {
        self.update(|state| {
            if state.probe != number || state.breaker.state() != BreakerState::Open {
                return None;
            }
            let pause = state.breaker.next_pause(fastrand::f64());
            state.lease = Some(Instant::now() + pause + state.patience);
            Some(pause)
        })
    }

    fn probe_succeeded(&self, number: u64) {
        self.update(|state| {
            if state.probe == number {
                state.breaker.probe_succeeded(Instant::now());
                state.lease = None;
                state.why = None;
            }
        });
    }
}

async fn probe(store: Weak<RedisStore>, token_renewed: Arc<Notify>, number: u64) {
    let mut news = token_renewed.notified();
    loop {
        let Some(pause) = store
            .upgrade()
            .and_then(|store| store.gate().next_pause(number))
        else {
            return;
        };
        // Either way Redis is asked.
        let _news = tokio::time::timeout(pause, news).await;
        // From here on, so that none is missed that comes while Redis is asked.
        news = token_renewed.notified();
        let Some(store) = store.upgrade() else { return };
        match store.probe().await {
            Ok(()) => {
                store.gate().probe_succeeded(number);
                tracing::info!("redis is back");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, cause = error.cause(), "redis is not back yet");
            }
        }
    }
}

impl Pass<'_> {
    /// A reply came, be it an error reply.
    pub(crate) fn replied(mut self) {
        if std::mem::take(&mut self.counted) {
            self.gate.update(|state| state.breaker.release(true));
        } else if !self.gate.calm.load(Ordering::Relaxed) {
            self.gate.update(|state| state.breaker.replied());
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.gate.update(|state| state.breaker.release(false));
        }
    }
}
