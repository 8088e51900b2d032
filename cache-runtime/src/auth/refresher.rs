//! The token in hand, and the one task that renews it.
//!
//! The one rule: **whoever needs a token takes the one in hand; only the task asks for the next.** So the
//! identity provider hears one question at a time, however many connections there are. The task lives on
//! a runtime, and runtimes end or stop being driven, so it has a lease: whoever comes after the lease
//! ran out starts another one on its own runtime.
//!
//! A token is replaced, never taken away: until there is another one it is offered, also when it has
//! expired by this machine's clock, for it is the server who judges.

mod state;

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
    sync::{Notify, Semaphore, SemaphorePermit, watch},
    task::AbortHandle,
    time::timeout,
};

pub(super) use self::state::AccessToken;
use self::state::State;
use super::{
    claims,
    credential::{Credentials, Denied, Granted},
    login::{EntraLogin, Login},
    schedule::{Life, Next, Now, Schedule},
    secret::Secret,
};
use crate::{
    error::{Error, ErrorKind},
    sharded::lock,
    stats::TokenStats,
};

/// What one question to the identity provider may take in all; each credential has a bound of its own.
const LONGEST_ASK: Duration = Duration::from_secs(75);
/// How much later than planned the task may act before another one takes over.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection that is being made waits for a token.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The tokens of one cache, one after the other.
pub(crate) struct Tokens {
    settings: EntraLogin,
    /// Told of each new token.
    good_news: Arc<Notify>,
    state: watch::Sender<State>,
    /// Locked before `state` changes, where both do.
    schedule: Mutex<Schedule>,
    task: Mutex<Task>,
    /// Until when the task is believed to live, in milliseconds from `born`.
    lease: AtomicU64,
    born: Instant,
    /// One connection at a time moves to a new token.
    turns: Semaphore,
}

struct Task {
    /// Which task is the present one.
    number: u64,
    abort: Option<AbortHandle>,
    /// As the latest answer left them; a task asks with a copy.
    credentials: Credentials,
    closed: bool,
}

impl Tokens {
    /// Reads the environment where there is no credential in the settings; asks nobody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`].
    pub(super) fn new(settings: EntraLogin, good_news: Arc<Notify>) -> Result<Self, Error> {
        let scope = settings.scope.clone();
        let credentials = match &settings.credential {
            Some(credential) => Credentials::own(credential.clone(), scope),
            None => Credentials::from_environment(scope)?,
        };
        Ok(Self {
            schedule: Mutex::new(Schedule::new(settings.margin)),
            settings,
            good_news,
            state: watch::Sender::default(),
            task: Mutex::new(Task {
                number: 0,
                abort: None,
                credentials,
                closed: false,
            }),
            lease: AtomicU64::new(0),
            born: Instant::now(),
            turns: Semaphore::new(1),
        })
    }

    /// The token in hand; where there is none, or the server refused it, the next one.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<AccessToken>, Error> {
        self.tend(Instant::now());
        let mut states = self.state.subscribe();
        // Past the time, or where the sender has gone: as it is. Dropped, because it is a lock: to read again while
        // somebody waits to write would be for ever.
        drop(timeout(LONGEST_WAIT, states.wait_for(State::is_settled)).await);
        let state = self.state.borrow();
        match (state.offered(), &state.denied) {
            (Some(token), _) => Ok(Arc::clone(token)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err(Error::new(
                ErrorKind::Timeout,
                "no Entra ID token yet: the identity provider has not answered",
            )),
        }
    }

    /// A token that came after `token`.
    pub(super) async fn newer(&self, token: &AccessToken) -> Arc<AccessToken> {
        let mut states = self.state.subscribe();
        let newer = |state: &State| {
            let held = state.token.as_ref()?;
            (held.number > token.number).then(|| Arc::clone(held))
        };
        loop {
            if let Some(token) = newer(&states.borrow_and_update()) {
                return token;
            }
            states
                .changed()
                .await
                .expect("the sender is borrowed with `self`");
        }
    }

    /// Connections move one after the other; one that would be late by that does not wait. `token` is the
    /// one that the connection moves away from: its end is what has to be met.
    pub(super) async fn turn(&self, token: &AccessToken) -> Option<SemaphorePermit<'_>> {
        let left = token.life.move_within(Now::read());
        // Never closed.
        timeout(left, self.turns.acquire()).await.ok()?.ok()
    }

    /// The server took `token`.
    pub(super) fn accepted(&self, token: &Arc<AccessToken>) {
        let mut schedule = lock(&self.schedule);
        self.state.send_if_modified(|state| {
            if !state.holds(token) {
                return false;
            }
            schedule.accepted();
            state.accepted = Some(Arc::clone(token));
            // News to who waits for the next one.
            std::mem::take(&mut state.refused)
        });
    }

    /// The server refused `token`.
    pub(super) fn refused(&self, token: &AccessToken) {
        let mut schedule = lock(&self.schedule);
        let news = self.state.send_if_modified(|state| {
            if (state.accepted.as_ref()).is_some_and(|proved| proved.number == token.number) {
                state.accepted = None;
            }
            let news = state.holds(token) && !state.refused;
            if news {
                state.refused = true;
                state.fail(ErrorKind::Auth);
                let now = Now::read();
                let is_old = schedule.refused(now, fastrand::f64());
                // Said here, so that nobody takes the refused token before the task wakes up.
                state.asking |= is_old && schedule.next(now) == Next::Ask;
            }
            news
        });
        drop(schedule);
        if news {
            tracing::warn!(
                user = token.login.username,
                age = ?token.life.age(Now::read()),
                "redis refused the Entra ID token"
            );
        }
    }

    /// The server hung up on a login with `token`, as some do in place of an answer.
    ///
    /// Nothing is known then; but if the token is old, a fresh one will show.
    pub(super) fn doubted(&self, token: &AccessToken) {
        let mut schedule = lock(&self.schedule);
        self.state.send_if_modified(|state| {
            let held = state.holds(token);
            // Wakes the task, if there is something to ask.
            held && schedule.refused(Now::read(), fastrand::f64())
        });
    }

    /// Whether there is a token, be it an old one.
    pub(super) fn has_any(&self) -> bool {
        self.state.borrow().token.is_some()
    }

    /// How many tokens there have been.
    pub(super) fn refreshes(&self) -> u64 {
        self.state.borrow().refreshes
    }

    /// Starts a task on the present runtime, unless one lives.
    pub(super) fn tend(self: &Arc<Self>, now: Instant) {
        if self.since_born(now) < self.lease.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut task = lock(&self.task);
        if task.closed || self.since_born(now) < self.lease.load(Ordering::Relaxed) {
            return;
        }
        task.number += 1;
        self.extend_lease(PATIENCE);
        // A weak reference: the task ends with the cache.
        let refreshing = runtime.spawn(refresh(
            Arc::downgrade(self),
            task.number,
            self.state.subscribe(),
        ));
        let previous = task.abort.replace(refreshing.abort_handle());
        // What a task drops may want the lock.
        drop(task);
        if let Some(previous) = previous {
            previous.abort();
        }
    }

    pub(super) fn close(&self) {
        let mut task = lock(&self.task);
        task.closed = true;
        let abort = task.abort.take();
        drop(task);
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    pub(super) fn stats(&self) -> TokenStats {
        let state = self.state.borrow();
        let now = Now::read();
        let token = state.token.as_ref();
        TokenStats {
            credential: state.credential,
            user: token.and_then(|token| token.login.username.clone()),
            age: token.map(|token| token.life.age(now)),
            expires_in: token.map(|token| token.life.left(now)),
            refreshes: state.refreshes,
            failures: state.failures,
            last_error: state.last_error,
        }
    }

    /// What task `number` is to do; `None` if it is not the present one.
    fn next(&self, number: u64) -> Option<Next> {
        let task = lock(&self.task);
        if task.number != number || task.closed {
            return None;
        }
        let next = lock(&self.schedule).next(Now::read());
        self.extend_lease(match next {
            Next::Ask => LONGEST_ASK,
            Next::Wait(pause) => pause,
        });
        Some(next)
    }

    /// Task `number` begins to ask.
    fn begin(self: &Arc<Self>, number: u64) -> Option<Asking> {
        let task = lock(&self.task);
        if task.number != number {
            return None;
        }
        self.state.send_modify(|state| state.asking = true);
        Some(Asking {
            tokens: Arc::downgrade(self),
            number,
            credentials: task.credentials.clone(),
        })
    }

    /// What came of the question.
    fn settle(&self, answer: Result<Granted, Denied>, credential: Option<&'static str>) {
        match answer {
            Ok(granted) => self.granted(granted, credential),
            Err(denied) => self.denied(&denied, credential),
        }
    }

    fn granted(&self, granted: Granted, credential: Option<&'static str>) {
        let Granted { token, expires } = granted;
        let mut schedule = lock(&self.schedule);
        let now = Now::read();
        let again =
            (self.state.borrow().token.as_ref()).is_some_and(|held| held.login.password == token);
        let taken = schedule.granted(now, expires, again, fastrand::f64());
        // The schedule has the life of what it took.
        let life = schedule.life().filter(|_| taken);
        let mut user = None;
        self.state.send_modify(|state| {
            state.asking = false;
            state.credential = credential;
            state.denied = None;
            if !taken {
                state.fail(ErrorKind::Identity);
            }
            if let Some(life) = life {
                let token = self.token(token, life, state.token.as_deref());
                user.clone_from(&token.login.username);
                state.token = Some(Arc::new(token));
                state.refused = false;
                state.refreshes += 1;
            }
        });
        drop(schedule);
        let expires_in = expires.duration_since(now.wall).unwrap_or_default();
        if taken {
            tracing::info!(credential, user, ?expires_in, "got an Entra ID token");
            self.good_news.notify_waiters();
        } else if again {
            // Who keeps tokens does so until shortly before their end.
            tracing::debug!(
                credential,
                ?expires_in,
                "the identity provider gave the present Entra ID token again"
            );
        } else {
            tracing::warn!(
                credential,
                "the identity provider gave an Entra ID token that has expired"
            );
        }
    }

    fn denied(&self, denied: &Denied, credential: Option<&'static str>) {
        let Denied {
            error,
            retry_after,
            is_lasting,
        } = denied;
        let mut schedule = lock(&self.schedule);
        let now = Now::read();
        schedule.failed(now, *retry_after, fastrand::f64());
        if *is_lasting {
            schedule.will_last();
        }
        let next_try = match schedule.next(now) {
            Next::Ask => Duration::ZERO,
            Next::Wait(pause) => pause,
        };
        let token_is_valid = schedule.is_valid(now);
        let mut is_known = false;
        self.state.send_modify(|state| {
            state.asking = false;
            state.fail(error.kind());
            let before = state.denied.replace(error.clone());
            let was_valid = std::mem::replace(&mut state.told_valid, token_is_valid);
            is_known = before.is_some_and(|before| before.kind() == error.kind())
                && was_valid == token_is_valid;
        });
        drop(schedule);
        let cause = error.cause();
        // An outage is told when it begins and when it begins to hurt, not every second.
        if is_known {
            tracing::debug!(%error, cause, credential, ?next_try, token_is_valid, "still no new Entra ID token");
        } else {
            tracing::warn!(%error, cause, credential, ?next_try, token_is_valid, "no new Entra ID token");
        }
    }

    /// The token that takes the place of `held`.
    fn token(&self, secret: Secret, life: Life, held: Option<&AccessToken>) -> AccessToken {
        let number = match held {
            // Its life is judged anew, which is no reason to log in again.
            Some(held) if held.login.password == secret => held.number,
            Some(held) => held.number + 1,
            None => 0,
        };
        let named = self.settings.username.clone();
        let username = named.or_else(|| claims::object_id(secret.expose()));
        AccessToken {
            number,
            login: Login {
                // A token that cannot be read names nobody.
                username: Some(username.unwrap_or_else(|| "default".to_owned())),
                password: secret,
            },
            life,
        }
    }

    fn since_born(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }

    fn extend_lease(&self, planned: Duration) {
        let lease = self.since_born(Instant::now() + planned + PATIENCE);
        self.lease.store(lease, Ordering::Relaxed);
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("settings", &self.settings)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

/// The task. It holds no cache while it waits, be it for the time or for an answer.
async fn refresh(tokens: Weak<Tokens>, number: u64, mut states: watch::Receiver<State>) {
    let _ended = Ended {
        tokens: Weak::clone(&tokens),
        number,
    };
    loop {
        // Before the schedule is read, so that no change is missed.
        states.mark_unchanged();
        let Some(next) = tokens.upgrade().and_then(|tokens| tokens.next(number)) else {
            return;
        };
        match next {
            Next::Wait(pause) => {
                // Either way the schedule and the clocks are looked at again.
                let _changed = timeout(pause, states.changed()).await;
            }
            Next::Ask => {
                let asking = tokens.upgrade().and_then(|tokens| tokens.begin(number));
                let Some(asking) = asking else { return };
                asking.ask().await;
            }
        }
    }
}

/// Says that the task has ended, so that the next caller starts another one at once.
struct Ended {
    tokens: Weak<Tokens>,
    number: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(tokens) = self.tokens.upgrade() else {
            return;
        };
        let task = lock(&tokens.task);
        if task.number == self.number {
            tokens.lease.store(0, Ordering::Relaxed);
        }
    }
}

/// One question to the provider; dropped with the task, it says that nobody asks.
struct Asking {
    tokens: Weak<Tokens>,
    number: u64,
    credentials: Credentials,
}

impl Asking {
    async fn ask(mut self) {
        let answer = timeout(LONGEST_ASK, self.credentials.token()).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(Denied {
                error: Error::new(
                    ErrorKind::Timeout,
                    "the identity provider did not answer in time",
                ),
                retry_after: None,
                is_lasting: false,
            })
        });
        let Some(tokens) = self.tokens.upgrade() else {
            return;
        };
        let mut task = lock(&tokens.task);
        // Another task may have taken over from one that was not driven for long; its word counts.
        if task.number != self.number {
            return;
        }
        task.credentials.clone_from(&self.credentials);
        drop(task);
        tokens.settle(answer, self.credentials.name());
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let Some(tokens) = self.tokens.upgrade() else {
            return;
        };
        let task = lock(&tokens.task);
        if task.number == self.number {
            tokens
                .state
                .send_if_modified(|state| std::mem::take(&mut state.asking));
        }
    }
}

#[cfg(test)]
mod tests;
