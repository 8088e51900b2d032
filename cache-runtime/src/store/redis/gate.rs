//! The breaker at work: a lock that calls pass without touching while nothing is amiss, and the one
//! background probe that looks whether Redis is back.
//!
//! The one rule: **there is a probe whenever the breaker is open.** A probe lives on a runtime, and runtimes end or stop
//! being driven. So a probe that has not acted for a while is taken for dead, and a call that is refused then starts
//! another one on its own runtime.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::{
    base::sharded::lock,
    error::{Error, ErrorKind},
    observe::stats::BreakerState,
    store::redis::breaker::{Admission, Breaker},
};

/// How much later than planned a probe may act before another one takes over. The time that its two pings may take is
/// added.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks whether Redis is back; `None`, if nobody has the cache any more.
///
/// All that the gate knows of its owner, which hands it in with no more than a weak reference to itself.
pub(crate) type Ping = Box<dyn Fn() -> Option<BoxFuture<'static, Result<(), Error>>> + Send + Sync>;

/// Whether the breaker has a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Not sent while the breaker is open.
    Ordinary,
    /// Sent in any case: an invalidation is worth a timeout.
    Urgent,
}

/// The breaker of one cache.
pub(crate) struct Gate {
    /// Whether nothing is amiss, so that neither admission nor replies need the lock.
    calm: AtomicBool,
    state: Mutex<State>,
    ping: Ping,
    /// Told of each new token, which ends the pause before the next probe.
    token_renewed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    /// Until when the present probe is believed to live.
    alive_until: Option<Instant>,
    /// [`PATIENCE`], and what the two pings of a probe may take.
    patience: Duration,
    /// Which probe is the present one.
    probe: u64,
    /// Why there is no connection, if that is what opened the breaker.
    why: Option<Error>,
}

/// A guard: leave to ask Redis once; unless disarmed by a reply, its drop says that none came.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    gate: &'a Gate,
    /// Whether the breaker is half-open, and counts this permit until it hears how the request went.
    counted: bool,
}

impl Gate {
    /// `stall_after`: how long an operation waits in vain before that counts. `token_renewed`: what wakes a probe early.
    pub(super) fn new(stall_after: Duration, token_renewed: Arc<Notify>, ping: Ping) -> Self {
        Self {
            ping,
            token_renewed,
            calm: AtomicBool::new(true),
            state: Mutex::new(State {
                breaker: Breaker::new(stall_after),
                alive_until: None,
                patience: PATIENCE + 2 * stall_after,
                probe: 0,
                why: None,
            }),
        }
    }

    /// Leave to ask Redis.
    ///
    /// # Errors
    ///
    /// Why Redis is not asked, while the breaker is open and the request is not urgent.
    pub(super) fn admit(self: &Arc<Self>, urgency: Urgency) -> Result<Permit<'_>, Error> {
        let permit = |counted| Permit {
            gate: self,
            counted,
        };
        if urgency == Urgency::Urgent || self.calm.load(Ordering::Relaxed) {
            return Ok(permit(false));
        }
        let admission = self.update(|state| state.breaker.admit(Instant::now()));
        match admission {
            Admission::Granted => Ok(permit(false)),
            Admission::Counted => Ok(permit(true)),
            Admission::Refused => {
                self.ensure_probe();
                Err(self.refusal())
            }
        }
    }

    /// Why Redis is not asked.
    fn refusal(&self) -> Error {
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
    pub(super) fn connection_failed(self: &Arc<Self>, error: &Error) {
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
            self.ensure_probe();
        }
    }

    /// An operation waited in vain for as long as the breaker allows. `for_token`: no token to log in with has come
    /// yet.
    pub(super) fn stalled(self: &Arc<Self>, for_token: bool) {
        let opened = self.update(|state| {
            let opened = state.breaker.stalled(Instant::now());
            if opened {
                state.why = None;
            }
            opened
        });
        if opened {
            if for_token {
                tracing::warn!(
                    cause = "no token has come yet; see `no new Entra ID token`",
                    "calls run without the cache until there is an Entra ID token"
                );
            } else {
                tracing::warn!(
                    cause =
                        "an operation waited in vain after another one had, and no byte came since",
                    "redis does not answer; calls run without the cache until it does"
                );
            }
            self.ensure_probe();
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
    fn ensure_probe(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let now = Instant::now();
        let number = self.update(|state| {
            let alive = state.alive_until.is_some_and(|until| now < until);
            if state.breaker.state() != BreakerState::Open || alive {
                return None;
            }
            state.probe += 1;
            state.alive_until = Some(now + state.patience);
            Some(state.probe)
        });
        if let Some(number) = number {
            drop(runtime.spawn(probe(Arc::clone(self), number)));
        }
    }

    /// The pause before the next probe, or `None` if probe `number` is not needed any more.
    fn next_pause(&self, number: u64) -> Option<Duration> {
        self.update(|state| {
            if state.probe != number || state.breaker.state() != BreakerState::Open {
                return None;
            }
            let pause = state.breaker.next_pause(fastrand::f64());
            state.alive_until = Some(Instant::now() + pause + state.patience);
            Some(pause)
        })
    }

    fn probe_succeeded(&self, number: u64) {
        self.update(|state| {
            if state.probe == number {
                state.breaker.probe_succeeded(Instant::now());
                state.alive_until = None;
                state.why = None;
            }
        });
    }
}

/// Probe `number`: asks until Redis is back, or nobody needs to know.
async fn probe(gate: Arc<Gate>, number: u64) {
    let mut token = gate.token_renewed.notified();
    while let Some(pause) = gate.next_pause(number) {
        // A new token only ends the pause early; Redis is asked in either case.
        let _token = tokio::time::timeout(pause, token).await;
        // Listened for from here on, so that no token is missed that comes while Redis is asked.
        token = gate.token_renewed.notified();
        let Some(asking) = (gate.ping)() else {
            return;
        };
        match asking.await {
            Ok(()) => {
                gate.probe_succeeded(number);
                tracing::info!("redis is back");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, cause = error.cause(), "redis is not back yet");
            }
        }
    }
}

impl Permit<'_> {
    /// A reply came, be it an error reply.
    pub(crate) fn replied(mut self) {
        if self.disarm() {
            self.gate.update(|state| state.breaker.release(true));
        } else if !self.gate.calm.load(Ordering::Relaxed) {
            self.gate.update(|state| state.breaker.replied());
        }
    }

    /// Takes the permit from its drop. Whether the breaker counts it.
    fn disarm(&mut self) -> bool {
        std::mem::take(&mut self.counted)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.gate.update(|state| state.breaker.release(false));
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calm,
            state,
            ping: _,
            token_renewed: _,
        } = self;
        f.debug_struct("Gate")
            .field("calm", calm)
            .field("state", state)
            .finish()
    }
}
