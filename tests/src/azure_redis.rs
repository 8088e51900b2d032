//! A Redis that takes tokens as Azure's does: a connection lives no longer than the token it logged in with last.
//!
//! Passwords and rights are the real server's. What Redis does not do is the proxy's part: it speaks TLS
//! (the server of version 8.2 has none), and closes connections whose token has ended. All faults of
//! [`Proxy`] are there, by [`proxy`](AzureRedis::proxy).

mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use self::users::Users;
use crate::background;
use crate::proxy::{Answer, Login, Proxy, Secret};
use crate::redis_server::{Builder, RedisServer};
use crate::tls;

/// A server that nobody enters but with a token; dropped, it is killed.
///
/// Neither the user `default` nor any other has a password in the beginning.
pub struct AzureRedis {
    inner: Arc<Inner>,
}

struct Inner {
    // Connections end before the server does.
    proxy: Proxy,
    server: RedisServer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    users: Users,
    /// It is killed, and is told everything when it comes back.
    is_away: bool,
}

impl AzureRedis {
    /// Starts the server in `PATH`.
    ///
    /// # Panics
    ///
    /// As [`Builder::start`].
    ///
    /// # Cancel safety
    ///
    /// As [`Builder::start`].
    pub async fn start() -> Self {
        Self::start_with(RedisServer::builder()).await
    }

    /// Starts a server of a certain version, or with other options; it must not have TLS or a password.
    ///
    /// # Panics
    ///
    /// As [`Builder::start`].
    ///
    /// # Cancel safety
    ///
    /// As [`Builder::start`].
    pub async fn start_with(server: Builder) -> Self {
        background::blocking(|| Self::start_blocking(server)).await
    }

    /// [`start_with`](Self::start_with), for tests outside a runtime.
    ///
    /// # Panics
    ///
    /// As [`Builder::start`].
    #[must_use]
    pub fn start_blocking(server: Builder) -> Self {
        // From the start, and after each restart: without this, `default` needs no password.
        let rules = ["default", "on", "~*", "&*", "+@all"];
        let server = server.option("user", &rules).start_blocking();
        let proxy = Proxy::with_tls(&server);
        let state = Mutex::default();
        Self {
            inner: Arc::new(Inner {
                proxy,
                server,
                state,
            }),
        }
    }

    /// Its URL: TLS, without user and token.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.proxy.url()
    }

    /// The port on 127.0.0.1 at which clients find it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.inner.proxy.port()
    }

    /// The CA that signed its certificate, as a PEM file.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        self.inner.proxy.ca_path()
    }

    /// The CA that signed its certificate.
    ///
    /// # Panics
    ///
    /// Panics when the file cannot be read.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        std::fs::read_to_string(self.ca_path()).expect("a file that the kit wrote")
    }

    /// An ordinary client, without time limits; its first command is the login.
    ///
    /// # Errors
    ///
    /// What the client says when it is refused or cannot connect.
    ///
    /// # Cancel safety
    ///
    /// The connection may be made also when this is dropped; it is closed then.
    pub async fn connect(&self, user: &str, token: &str) -> RedisResult<MultiplexedConnection> {
        let login = redis::RedisConnectionInfo::default()
            .set_username(user)
            .set_password(token)
            .set_protocol(redis::ProtocolVersion::RESP3);
        let unlimited = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connector = TlsConnector::from(Arc::new(tls::trusting(self.ca_path())));
        let port = self.port();
        let connect = background::spawn(async move {
            let socket = TcpStream::connect(("127.0.0.1", port)).await?;
            let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
            let stream = connector.connect(name, socket).await?;
            let (connection, driver) =
                MultiplexedConnection::new_with_config(&login, stream, unlimited).await?;
            background::spawn(driver);
            Ok(connection)
        });
        connect.await.expect("nothing in it panics")
    }

    /// What stands before the server: its faults, and what it has seen.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.inner.proxy
    }

    /// The server itself, past the proxy; to kill or restart it, there is [`AzureRedis`]'s own.
    #[must_use]
    pub fn server(&self) -> &RedisServer {
        &self.inner.server
    }

    /// What gives users their tokens; it does not keep the server alive.
    #[must_use]
    pub fn grants(&self) -> Grants {
        Grants {
            inner: Arc::downgrade(&self.inner),
        }
    }

    /// Gives a user a token until it expires; the user is made if it is new. See [`Grants::grant`].
    ///
    /// # Cancel safety
    ///
    /// The token is given also when this is dropped.
    pub async fn grant(&self, user: &str, token: &str, expires: SystemTime) {
        self.grants().grant(user, token, expires).await;
    }

    /// Ends a token before its time; its connections are closed when this returns, and it never serves again.
    ///
    /// # Cancel safety
    ///
    /// The token is revoked also when this is dropped.
    pub async fn revoke(&self, token: &str) {
        let token = token.to_owned();
        self.change(move |inner, state| {
            state.users.revoke(&token);
            inner.tell(state);
            inner.proxy.withdraw(Secret::of(&token));
        })
        .await;
    }

    /// Whether the server refuses every login (`WRONGPASS`), tokens that are given meanwhile included.
    ///
    /// Connections that are logged in stay so until their token ends.
    ///
    /// # Cancel safety
    ///
    /// It is done also when this is dropped.
    pub async fn refuse_logins(&self, on: bool) {
        self.change(move |inner, state| {
            state.users.refuse_logins = on;
            inner.tell(state);
        })
        .await;
    }

    /// Whether a user is logged in but may do nothing (`NOPERM`), from now on and whatever its token.
    ///
    /// # Cancel safety
    ///
    /// It is done also when this is dropped.
    pub async fn no_perm(&self, user: &str, on: bool) {
        let user = user.to_owned();
        self.change(move |inner, state| {
            state.users.set_rights(&user, !on);
            inner.tell(state);
        })
        .await;
    }

    /// Closes (`FIN`) every connection that is open now; for `RST` there is [`Proxy::reset`].
    pub fn kill_connections(&self) {
        self.inner.proxy.close();
    }

    /// Kills the server; connections end, and new ones are closed at once.
    ///
    /// # Cancel safety
    ///
    /// It is done also when this is dropped.
    pub async fn kill(&self) {
        self.change(|inner, state| {
            state.is_away = true;
            inner.server.kill();
        })
        .await;
    }

    /// Starts the server again without data, with the tokens that are valid; a running one is killed first.
    ///
    /// # Panics
    ///
    /// As [`Builder::start`].
    ///
    /// # Cancel safety
    ///
    /// It is done also when this is dropped.
    pub async fn restart(&self) {
        self.change(|inner, state| {
            // Nobody may be refused because the server does not know the tokens yet.
            inner.proxy.lead_to(NOWHERE.into());
            inner.server.restart_blocking();
            state.is_away = false;
            inner.tell(state);
            inner.proxy.lead_to(inner.server.addr());
        })
        .await;
    }

    /// How many different tokens the server has accepted.
    #[must_use]
    pub fn rotations(&self) -> usize {
        let accepted = |login: &Login| login.answer == Some(Answer::Accepted);
        let logins = self.inner.proxy.logins();
        let secrets = logins.iter().filter(|login| accepted(login));
        secrets
            .map(|login| login.secret)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// How many logins came on a connection that was logged in already.
    #[must_use]
    pub fn logins_in_place(&self) -> usize {
        let logins = self.inner.proxy.logins();
        logins.iter().filter(|login| login.in_place).count()
    }

    /// The logins of each connection, in order.
    #[must_use]
    pub fn logins_by_connection(&self) -> BTreeMap<u64, Vec<Login>> {
        let mut by_connection: BTreeMap<u64, Vec<Login>> = BTreeMap::new();
        for login in self.inner.proxy.logins() {
            by_connection
                .entry(login.connection)
                .or_default()
                .push(login);
        }
        by_connection
    }

    async fn change(&self, change: impl FnOnce(&Inner, &mut State) + Send + 'static) {
        let inner = self.inner.clone();
        background::blocking(move || change(&inner, &mut inner.state())).await;
    }
}

/// Where nobody listens.
const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

impl fmt::Debug for AzureRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureRedis")
            .field("proxy", &self.inner.proxy)
            .field("server", &self.inner.server)
            .finish_non_exhaustive()
    }
}

/// Gives users their tokens, for as long as the server is there.
#[derive(Clone)]
pub struct Grants {
    inner: Weak<Inner>,
}

impl Grants {
    /// Gives a user one more token, until it expires; ready when the server takes it.
    ///
    /// A token that is expired or was revoked is not given. Nothing borrows from the arguments, so what an
    /// identity provider issues is given in one line:
    ///
    /// ```no_run
    /// # use std::{future::Future, pin::Pin, time::SystemTime};
    /// # struct Issued { oid: Option<String>, token: String, expires: SystemTime }
    /// # struct Provider;
    /// # impl Provider {
    /// #     fn on_issue(&self, _: impl Fn(Issued) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static) {}
    /// # }
    /// # async fn joined(provider: Provider) {
    /// let azure = cache_tests::AzureRedis::start().await;
    /// let grants = azure.grants();
    /// provider.on_issue(move |i| Box::pin(grants.grant(i.oid.as_deref().unwrap_or("default"), &i.token, i.expires)));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Once polled, the token is given also when this is dropped.
    pub fn grant(
        &self,
        user: &str,
        token: &str,
        expires: SystemTime,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (inner, user, token) = (self.inner.clone(), user.to_owned(), token.to_owned());
        background::blocking(move || {
            if let Some(inner) = inner.upgrade() {
                inner.grant(&user, token, expires);
            }
        })
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants").finish_non_exhaustive()
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(self: &Arc<Self>, user: &str, token: String, expires: SystemTime) {
        let mut state = self.state();
        if !state.users.grant(user, &token, expires, SystemTime::now()) {
            return;
        }
        self.proxy.reinstate(Secret::of(&token));
        self.tell(&state);
        let inner = Arc::downgrade(self);
        background::spawn(async move {
            while let Some(left) = until(expires) {
                // In short steps, so that the clock's jumps are seen and a server that is gone is not waited for.
                tokio::time::sleep(left.min(Duration::from_secs(1))).await;
                if inner.strong_count() == 0 {
                    return;
                }
            }
            let expire = move || inner.upgrade().map(|inner| inner.expire(&token));
            background::blocking(expire).await;
        });
    }

    fn expire(&self, token: &str) {
        let mut state = self.state();
        self.tell(&state);
        // It may have been given again, for longer.
        if state.users.has_ended(token, SystemTime::now()) {
            self.proxy.withdraw(Secret::of(token));
        }
    }

    /// Gives the server every user as it is to be now.
    fn tell(&self, state: &State) {
        if state.is_away {
            return;
        }
        for command in state.users.commands(SystemTime::now()) {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            self.server
                .run(&words)
                .expect("a server that takes users; use AzureRedis' own kill, or Proxy::swallow to have it hang");
        }
    }
}

fn until(time: SystemTime) -> Option<Duration> {
    let left = time.duration_since(SystemTime::now()).unwrap_or_default();
    (!left.is_zero()).then_some(left)
}
