//! What all ways to the provider share: who asked, what they got, and how the next is to be answered.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::behaviour::{Behaviour, Behaviours, Fault, Reply, Source, Whom, guid};
use super::issued::{Issued, random_part};
use crate::background;

/// A request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// By which means.
    pub source: Source,
    /// For whom; `None` for the system-assigned identity and for who is logged in to a tool.
    pub client_id: Option<String>,
    /// For what: a managed identity's resource, else the scope.
    pub resource: String,
    /// The process that asks, where a tool does.
    pub pid: Option<u32>,
}

impl Asked {
    /// Whom it concerns, in the order in which what was said of them counts.
    fn whoms(&self) -> [Whom; 3] {
        [
            Whom::Identity(self.client_id.clone()),
            Whom::Source(self.source),
            Whom::All,
        ]
    }

    pub(super) fn concerns(&self, whom: &Whom) -> bool {
        self.whoms().contains(whom)
    }
}

/// What is told of a new token before anybody has it.
type Listener = Arc<dyn Fn(Issued) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// How many requests are under way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) now: usize,
    pub(super) most: usize,
}

/// What changes while the provider runs.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) behaviours: Behaviours,
    pub(super) asked: Vec<Asked>,
    pub(super) issued: Vec<Issued>,
    pub(super) tallies: HashMap<Whom, Tally>,
    /// The assertions that clients have used up.
    pub(super) assertions: HashSet<String>,
    pub(super) is_down: bool,
}

/// What its doors, its tools and its test share.
pub(super) struct Shared {
    state: Mutex<State>,
    listeners: Mutex<Vec<Listener>>,
    /// Changes with every request, its end, and every token.
    news: watch::Sender<()>,
    pub(super) tenant: String,
    pub(super) client_secret: String,
    pub(super) identity_header: String,
    pub(super) federated_token_file: PathBuf,
}

impl Shared {
    pub(super) fn new(federated_token_file: PathBuf) -> Self {
        Self {
            state: Mutex::default(),
            listeners: Mutex::default(),
            news: watch::Sender::new(()),
            tenant: guid(fastrand::u128(..)),
            client_secret: random_part(30),
            identity_header: random_part(24),
            federated_token_file,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    pub(super) fn listen(&self, listener: Listener) {
        self.listeners().push(listener);
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request in; it is under way until what is returned is dropped.
    pub(super) fn receive(self: &Arc<Self>, asked: Asked) -> UnderWay {
        let mut state = self.state();
        let behaviour = state.behaviours.take(&asked.whoms());
        for whom in asked.whoms() {
            let tally = state.tallies.entry(whom).or_default();
            tally.now += 1;
            tally.most = tally.most.max(tally.now);
        }
        state.asked.push(asked.clone());
        drop(state);
        self.news.send_replace(());
        UnderWay {
            shared: self.clone(),
            asked,
            behaviour,
            has_ended: AtomicBool::new(false),
        }
    }

    async fn issue(&self, issued: Issued) {
        let listeners = self.listeners().clone();
        for listener in listeners {
            listener(issued.clone()).await;
        }
        self.state().issued.push(issued);
        self.news.send_replace(());
    }
}

/// What a request is answered with.
pub(super) enum Answer {
    Token(Issued),
    Reply(Reply),
    /// Who asks is unknown.
    Unknown,
    Garbage,
}

/// A request that is being answered.
pub(super) struct UnderWay {
    shared: Arc<Shared>,
    asked: Asked,
    behaviour: Behaviour,
    has_ended: AtomicBool,
}

impl UnderWay {
    /// The answer, after the time that it is to take; `refusal` is what an honest provider would say, if not yes.
    pub(super) async fn answer(&self, refusal: Option<Reply>) -> Answer {
        tokio::time::sleep(self.behaviour.slow).await;
        match (&self.behaviour.fault, refusal) {
            (Fault::Hang, _) => std::future::pending().await,
            (Fault::Refuse, _) => Answer::Unknown,
            (Fault::Garbage, _) => Answer::Garbage,
            (Fault::Answer { reply, .. }, _) => Answer::Reply(reply.clone()),
            (_, Some(refusal)) => Answer::Reply(refusal),
            (Fault::Nothing | Fault::IssueExpired | Fault::RepeatToken, None) => {
                Answer::Token(self.token().await)
            }
        }
    }

    async fn token(&self) -> Issued {
        if let (Fault::RepeatToken, Some(last)) = (&self.behaviour.fault, self.last_token()) {
            return last;
        }
        let issued = Issued::new(&self.asked, &self.behaviour, &self.shared.tenant);
        let (shared, told) = (self.shared.clone(), issued.clone());
        // On a task of its own: who is told hears it to the end, also when the client goes away.
        if let Err(failure) = background::spawn(async move { shared.issue(told).await }).await {
            std::panic::resume_unwind(failure.into_panic());
        }
        issued
    }

    fn last_token(&self) -> Option<Issued> {
        let state = self.shared.state();
        let is_it = |issued: &&Issued| {
            (issued.source, &issued.client_id) == (self.asked.source, &self.asked.client_id)
        };
        state.issued.iter().rev().find(is_it).cloned()
    }

    /// Is under way no more; dropped, it is not either.
    pub(super) fn end(&self) {
        if self.has_ended.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut state = self.shared.state();
        for whom in self.asked.whoms() {
            state.tallies.entry(whom).or_default().now -= 1;
        }
        drop(state);
        self.shared.news.send_replace(());
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.end();
    }
}
