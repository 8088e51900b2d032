//! The task that asks for tokens, and who starts it.
//!
//! The one rule: **one task asks, and a task that has not acted for longer than it planned is replaced**, because it
//! lives on a runtime, and a runtime may end, or be driven no more, without a word. So a task says, each time it acts,
//! until when it is believed to live; a later caller starts another task on its own runtime. An answer that the old
//! task still gets counts for nothing.

use std::{
    fmt,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::AbortHandle,
    time::timeout,
};

use super::{
    super::{
        credential::{CredentialChain, TokenDenial},
        login::EntraLogin,
        schedule::NextAsk,
    },
    hand::AccessToken,
    state::State,
    tokens::Tokens,
};
use crate::{
    base::sharded::lock,
    error::{Error, ErrorKind},
};

/// How long one question to the identity provider may take in all; each credential has a bound of its own.
const LONGEST_ASK: Duration = Duration::from_secs(75);
/// How much later than planned the task may act before another one takes over.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tokens of one cache, and the task that renews them.
pub(crate) struct Refresher {
    tokens: Tokens,
    task: Mutex<Task>,
    /// Until when the task is believed to live, in milliseconds from `born`.
    believed_until: AtomicU64,
    born: Instant,
}

struct Task {
    /// Tells the present task from those before it.
    number: u64,
    abort: Option<AbortHandle>,
    /// The credentials as the latest answer left them; a task asks with a copy.
    credentials: CredentialChain,
    closed: bool,
}

impl Refresher {
    /// Reads the environment where there is no credential in the settings; asks nobody. `token_renewed` is notified of
    /// each new token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`].
    pub(crate) fn new(settings: EntraLogin, token_renewed: Arc<Notify>) -> Result<Self, Error> {
        let EntraLogin {
            username,
            scope,
            margin,
            credential,
        } = settings;
        let credentials = match credential {
            Some(credential) => CredentialChain::own(credential, scope),
            None => CredentialChain::from_environment(scope)?,
        };
        Ok(Self {
            tokens: Tokens::new(username, margin, token_renewed),
            task: Mutex::new(Task {
                number: 0,
                abort: None,
                credentials,
                closed: false,
            }),
            believed_until: AtomicU64::new(0),
            born: Instant::now(),
        })
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The token in hand; where there is none, or the server refused it, the next one.
    ///
    /// # Errors
    ///
    /// If there is no token, and the last question for one brought none, or no answer came in time.
    pub(crate) async fn current(self: &Arc<Self>) -> Result<Arc<AccessToken>, Error> {
        self.ensure_task(Instant::now());
        self.tokens.current().await
    }

    /// Starts a task on the present runtime, unless one lives.
    pub(crate) fn ensure_task(self: &Arc<Self>, now: Instant) {
        if self.is_believed(now) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut task = lock(&self.task);
        if task.closed || self.is_believed(now) {
            return;
        }
        task.number += 1;
        self.believe_for(PATIENCE);
        // A weak reference, so that the task ends with the cache.
        let running = runtime.spawn(run(
            Arc::downgrade(self),
            task.number,
            self.tokens.subscribe(),
        ));
        let previous = task.abort.replace(running.abort_handle());
        // The lock is given back first, because what a task drops may want it.
        drop(task);
        if let Some(previous) = previous {
            previous.abort();
        }
    }

    /// Ends the task, for good.
    pub(crate) fn close(&self) {
        let mut task = lock(&self.task);
        task.closed = true;
        let abort = task.abort.take();
        drop(task);
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    /// What task `number` is to do; `None` if it is not the present one.
    fn next(&self, number: u64) -> Option<NextAsk> {
        let task = lock(&self.task);
        if task.number != number || task.closed {
            return None;
        }
        let next = self.tokens.next();
        self.believe_for(match next {
            NextAsk::Now => LONGEST_ASK,
            NextAsk::Wait(pause) => pause,
        });
        Some(next)
    }

    /// Task `number` begins to ask; `None` if it is not the present one.
    fn begin(self: &Arc<Self>, number: u64) -> Option<Asking> {
        let task = lock(&self.task);
        if task.number != number {
            return None;
        }
        self.tokens.asked();
        Some(Asking {
            refresher: Arc::downgrade(self),
            number,
            credentials: task.credentials.clone(),
        })
    }

    fn is_believed(&self, now: Instant) -> bool {
        self.since_born(now) < self.believed_until.load(Ordering::Relaxed)
    }

    /// The task acts again within `planned`, and some patience beyond.
    fn believe_for(&self, planned: Duration) {
        let until = self.since_born(Instant::now() + planned + PATIENCE);
        self.believed_until.store(until, Ordering::Relaxed);
    }

    fn since_born(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher")
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// Task `number`. It holds no cache while it waits, be it for the time or for an answer.
async fn run(refresher: Weak<Refresher>, number: u64, mut states: watch::Receiver<State>) {
    let _ended = Ended {
        refresher: Weak::clone(&refresher),
        number,
    };
    loop {
        // Before the schedule is read, so that no change is missed.
        states.mark_unchanged();
        let next = refresher
            .upgrade()
            .and_then(|refresher| refresher.next(number));
        let Some(next) = next else { return };
        match next {
            NextAsk::Wait(pause) => {
                // Either way the schedule and the clocks are looked at again.
                let _changed = timeout(pause, states.changed()).await;
            }
            NextAsk::Now => {
                let asking = refresher
                    .upgrade()
                    .and_then(|refresher| refresher.begin(number));
                let Some(asking) = asking else { return };
                asking.ask().await;
            }
        }
    }
}

/// Says, when it is dropped, that the task has ended, so that the next caller starts another one at once.
struct Ended {
    refresher: Weak<Refresher>,
    number: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(refresher) = self.refresher.upgrade() else {
            return;
        };
        let task = lock(&refresher.task);
        if task.number == self.number {
            refresher.believed_until.store(0, Ordering::Relaxed);
        }
    }
}

/// One question to the provider. Dropped, with the task or after the answer, it says that nobody asks.
struct Asking {
    refresher: Weak<Refresher>,
    number: u64,
    credentials: CredentialChain,
}

impl Asking {
    async fn ask(mut self) {
        let answer = timeout(LONGEST_ASK, self.credentials.token()).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(TokenDenial {
                error: Error::new(
                    ErrorKind::Timeout,
                    "the identity provider did not answer in time",
                ),
                retry_after: None,
                is_lasting: false,
            })
        });
        let Some(refresher) = self.refresher.upgrade() else {
            return;
        };
        let mut task = lock(&refresher.task);
        // Another task may have taken over from one that was not driven for long; the other's word counts.
        if task.number != self.number {
            return;
        }
        task.credentials.clone_from(&self.credentials);
        drop(task);
        refresher.tokens.answered(answer, self.credentials.name());
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let Some(refresher) = self.refresher.upgrade() else {
            return;
        };
        let task = lock(&refresher.task);
        if task.number == self.number {
            refresher.tokens.rest();
        }
    }
}
