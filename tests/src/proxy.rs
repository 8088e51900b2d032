//! A TCP proxy whose every fault is one that a network can show.
//!
//! TCP keeps its order, and so does the proxy: what lies behind a held reply waits with it, and what lies
//! behind a lost byte never arrives. A fault that a test asks for by a matcher hits one command: the first
//! that matches after the call.

mod connection;
mod fault;
mod ledger;
mod replies;
mod rewrite;
mod sessions;
mod shared;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

pub use self::fault::{Cut, Held};
use self::fault::{CutState, Hold};
pub use self::sessions::{Answer, Failure, Login, Secret};
use self::shared::Shared;
use crate::background;
use crate::door::Door;
use crate::redis_server::RedisServer;
use crate::tls::{self, Tls};
use crate::wait::{SOON, bounded};

/// Says of a command's arguments, its name first, whether it is the one.
pub trait Matcher: Fn(&[Vec<u8>]) -> bool + Send + Sync + 'static {}

impl<F: Fn(&[Vec<u8>]) -> bool + Send + Sync + 'static> Matcher for F {}

/// Matches every command.
pub fn any() -> impl Matcher {
    |_: &[Vec<u8>]| true
}

/// Matches by the command's name, in any case.
pub fn named(name: &str) -> impl Matcher + use<> {
    let name = name.to_owned();
    move |args: &[Vec<u8>]| {
        args.first()
            .is_some_and(|a| a.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Matches what asks for, uses or gives back a right to store: a script, by its text or by its hash, or a SET under a condition.
pub fn script() -> impl Matcher + use<> {
    let (by_text, by_hash, set) = (named("EVAL"), named("EVALSHA"), named("SET"));
    move |args: &[Vec<u8>]| {
        by_text(args) || by_hash(args) || set(args) && args.get(3).is_some_and(|a| a == b"NX")
    }
}

/// Matches by the command's name and one of its arguments: `about("GET", "user:42")`.
pub fn about(name: &str, arg: &str) -> impl Matcher + use<> {
    let (is_it, arg) = (named(name), arg.to_owned());
    move |args: &[Vec<u8>]| is_it(args) && args[1..].iter().any(|a| a == arg.as_bytes())
}

/// Matches every login: an `AUTH`, or a `HELLO` with one.
pub fn login() -> impl Matcher {
    |args: &[Vec<u8>]| sessions::credentials(args).is_some()
}

/// A proxy in front of one address; dropped, it closes all connections.
pub struct Proxy {
    shared: Arc<Shared>,
    door: Door,
    tls: Option<Certified>,
}

/// What a proxy that speaks TLS shows its clients.
struct Certified {
    files: Tls,
    _dir: TempDir,
}

impl Proxy {
    /// A proxy in front of a server.
    ///
    /// # Panics
    ///
    /// Panics when no loopback port is free.
    #[must_use]
    pub fn before(server: &RedisServer) -> Self {
        Self::to(server.addr())
    }

    /// A proxy in front of an address.
    ///
    /// # Panics
    ///
    /// Panics when no loopback port is free.
    #[must_use]
    pub fn to(upstream: SocketAddr) -> Self {
        Self::open(upstream, None, None)
    }

    /// A proxy in front of a server without TLS, to which clients speak TLS.
    ///
    /// So it sees what TLS hides from [`before`](Self::before), and all its faults are there.
    ///
    /// # Panics
    ///
    /// Panics when no loopback port is free.
    #[must_use]
    pub fn with_tls(server: &RedisServer) -> Self {
        let url = server.url();
        assert!(
            url.starts_with("redis://"),
            "a server without TLS, not {url}"
        );
        let dir = TempDir::with_prefix("proxy-").expect("a directory for temporary files");
        let files = Tls::issue(dir.path());
        let acceptor = tls::acceptor(Path::new(&files.certificate), Path::new(&files.key));
        let certified = Certified { files, _dir: dir };
        Self::open(server.addr(), Some(acceptor), Some(certified))
    }

    fn open(upstream: SocketAddr, acceptor: Option<TlsAcceptor>, tls: Option<Certified>) -> Self {
        let shared = Arc::new(Shared::new(upstream, acceptor));
        let of_each = shared.clone();
        let door = Door::open(move |client| {
            let shared = of_each.clone();
            let (id, end) = shared.sessions().enter();
            background::spawn(async move {
                let unanswered = connection::serve(client, &shared, id, end).await;
                shared.sessions().leave(id, unanswered);
            });
        });
        Self { shared, door, tls }
    }

    /// Its URL, without user and password; for those, see [`RedisServer::url_through`].
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.has_tls() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}/", self.port())
    }

    /// Whether clients speak TLS with the proxy itself.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The CA that signed its certificate, as a PEM file.
    ///
    /// # Panics
    ///
    /// Panics on a proxy without TLS of its own.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        let tls = self.tls.as_ref();
        &tls.expect("a proxy made by `with_tls`").files.ca
    }

    /// The port that it listens on, for its whole life.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.door.port()
    }

    /// Where new connections lead from now on.
    pub fn lead_to(&self, upstream: SocketAddr) {
        self.shared.settings().upstream = upstream;
    }

    /// Keeps back what the server sends for this long; zero ends it. Commands are not delayed.
    pub fn delay(&self, delay: Duration) {
        self.shared.settings().delay = delay;
    }

    /// Passes the first `bytes` of the reply to the next command, then closes that connection.
    #[must_use = "`happened` tells when it is done"]
    pub fn cut_in_reply(&self, bytes: usize) -> Cut {
        self.cut_in_reply_to(any(), bytes)
    }

    /// As [`cut_in_reply`](Self::cut_in_reply), for the reply to one command.
    #[must_use = "`happened` tells when it is done"]
    pub fn cut_in_reply_to(&self, command: impl Matcher, bytes: usize) -> Cut {
        let state = Arc::new(CutState::new(Box::new(command), bytes));
        self.shared.faults().cuts.push(state.clone());
        Cut::new(state)
    }

    /// Resets (`RST`) every connection that is open now. What the client had sent may still be executed.
    pub fn reset(&self) {
        self.shared.sessions().end_all(connection::End::Reset);
    }

    /// Closes (`FIN`) every connection that is open now.
    pub fn close(&self) {
        self.shared.sessions().end_all(connection::End::Close);
    }

    /// Whether logins are lost: they and what comes behind them do not reach the server, and nothing is answered.
    ///
    /// What came before them on their connection is answered; a connection that lost one stays that way.
    pub fn swallow_auth(&self, on: bool) {
        self.shared.settings().swallow_auth = on;
    }

    /// Whether a login closes its connection (`FIN`) instead of reaching the server.
    pub fn cut_in_auth(&self, on: bool) {
        self.shared.settings().cut_in_auth = on;
    }

    /// Closes (`FIN`) every connection whose last accepted login offered this, now and from now on.
    pub fn withdraw(&self, secret: Secret) {
        self.shared.sessions().withdraw(secret);
    }

    /// Ends [`withdraw`](Self::withdraw).
    pub fn reinstate(&self, secret: Secret) {
        self.shared.sessions().reinstate(secret);
    }

    /// Accepts and reads, but passes nothing on in either direction.
    ///
    /// A connection that lost a byte stays dead after [`accept`](Self::accept), as TCP would have it.
    pub fn swallow(&self) {
        self.shared.settings().swallow = true;
    }

    /// Stops listening: when this returns, connections are refused. Open ones go on.
    pub fn refuse(&self) {
        self.door.shut();
    }

    /// Ends [`refuse`](Self::refuse) and [`swallow`](Self::swallow).
    ///
    /// # Panics
    ///
    /// Panics when the port cannot be had again.
    pub fn accept(&self) {
        self.shared.settings().swallow = false;
        self.door.reopen();
    }

    /// Holds one command back from the server; what its connection sends later waits behind it.
    pub fn hold(&self, command: impl Matcher) -> Held {
        self.add_hold(command, false)
    }

    /// Holds one command back from the server, and lets its connection's later commands pass it.
    ///
    /// The client gets the replies in the order in which it asked, so the later ones wait for the held one's.
    pub fn hold_letting_later_pass(&self, command: impl Matcher) -> Held {
        self.add_hold(command, true)
    }

    fn add_hold(&self, command: impl Matcher, later_pass: bool) -> Held {
        let hold = Arc::new(Hold::new(Box::new(command), later_pass));
        self.shared.faults().commands.push(hold.clone());
        Held::new(hold)
    }

    /// Lets one command be executed but holds its reply; replies behind it on its connection wait as well.
    ///
    /// [`Held::arrived`] then says that the reply is here, so the server has executed the command.
    pub fn hold_reply(&self, command: impl Matcher) -> Held {
        let hold = Arc::new(Hold::new(Box::new(command), false));
        self.shared.faults().replies.push(hold.clone());
        Held::new(hold)
    }

    /// Gives the server `new` in the place of `old`, wherever clients send that from now on: in a script's text, say.
    ///
    /// A script whose text was rewritten has another hash than its client thinks, so it is never sent by its hash
    /// for long: the server does not know that one.
    ///
    /// # Panics
    ///
    /// Panics when `old` is empty.
    pub fn rewrite(&self, old: &str, new: &str) {
        self.shared.rewrites().add(old, new);
    }

    /// Adds this many whole seconds to what the server answers to `TIME` from now on, as if its clock were ahead.
    ///
    /// A script that asks for the time is told the server's.
    pub fn clock_ahead(&self, by: Duration) {
        self.shared.settings().clock_ahead = by.as_secs();
    }

    /// How often [`rewrite`](Self::rewrite) has found its text.
    #[must_use]
    pub fn rewritten(&self) -> u64 {
        self.shared.rewrites().done()
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.sessions().accepted()
    }

    /// How many connections are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.sessions().open()
    }

    /// The most connections that were open at once.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.shared.sessions().most_open()
    }

    /// Every login that clients sent, in order, with the server's answer.
    #[must_use]
    pub fn logins(&self) -> Vec<Login> {
        self.shared.sessions().logins()
    }

    /// Of each open connection that is logged in, what its last accepted login offered.
    #[must_use]
    pub fn in_use(&self) -> BTreeMap<u64, Secret> {
        self.shared.sessions().in_use()
    }

    /// The last 10,000 commands that the server answered with an error, except a client's greetings.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        self.shared.sessions().failures()
    }

    /// How many commands had no reply yet when their connection ended, whoever ended it.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.shared.sessions().unanswered()
    }

    /// How many commands of this name clients have sent, in any case; swallowed and held ones count.
    #[must_use]
    pub fn seen(&self, name: &str) -> u64 {
        self.shared.ledger().seen(name)
    }

    /// How many scripts clients have sent, by their text or by their hash.
    #[must_use]
    pub fn scripts_seen(&self) -> u64 {
        self.seen("EVAL") + self.seen("EVALSHA")
    }

    /// How many commands clients have sent.
    #[must_use]
    pub fn seen_in_all(&self) -> u64 {
        self.shared.ledger().in_all()
    }

    /// The last 10,000 commands, each argument as text.
    #[must_use]
    pub fn commands(&self) -> Vec<Vec<String>> {
        self.shared.ledger().texts()
    }

    /// Sets the counters to zero and forgets the commands, so that what comes next is counted alone.
    pub fn forget(&self) {
        self.shared.forget();
    }

    /// Waits for a command, also one among the last 10,000, and returns its arguments.
    ///
    /// # Panics
    ///
    /// Panics when none comes in time, with the names of those that did.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for_command(&self, command: impl Matcher) -> Vec<Vec<u8>> {
        let mut news = self.shared.news();
        let arrival = bounded(SOON, async {
            loop {
                news.borrow_and_update();
                if let Some(args) = self.shared.ledger().find(&command) {
                    return args;
                }
                news.changed()
                    .await
                    .expect("the proxy lives as long as its borrow");
            }
        });
        match arrival.await {
            Some(args) => args,
            None => panic!(
                "the command did not come; these did: {:?}",
                self.shared.ledger().counts()
            ),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("port", &self.port())
            .field("connections", &self.connections())
            .field("open", &self.open_connections())
            .finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.door.shut();
        self.close();
    }
}
