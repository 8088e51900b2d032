//! One connection to Redis, made and logged in.
//!
//! The rule: nothing here waits for itself or tries again, and whoever calls bounds the time; dropping
//! a call closes its socket. The one exception is the protocol: a server without RESP3 is asked again,
//! on a new socket, for RESP2.
//!
//! No message that a server sends before the login is repeated unexamined, because old servers quote
//! the command that they do not know, and that command holds the password.

mod addresses;
mod stream;
#[cfg(test)]
mod tests;

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Instant};

use redis::{
    AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    sync::Notify,
};

use self::{
    addresses::{Addresses, Reached},
    stream::{Stream, Transport},
};
use super::{
    attempts::Attempts,
    pulse::Pulse,
    pushes::{PushSink, Pushes},
};
#[cfg(feature = "tls")]
use crate::tls::{client_trusting, system_authorities};
use crate::{
    auth::{Authenticator, Credentials, Login},
    config::Endpoint,
    error::{Error, ErrorKind, kind_of, redis_text},
};

/// Moves a connection's bytes: whoever gets one spawns it, and the connection ends with it.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that is logged in.
pub(crate) struct Channel {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Driver,
    /// Who hears what the server pushes, where that was asked for.
    pub(crate) pushes: Option<Arc<Pushes>>,
}

/// Makes connections to one server.
///
/// It keeps what they share: reading the system's certificates takes longer than connecting.
#[derive(Debug)]
pub(crate) struct Connector {
    endpoint: Endpoint,
    auth: Authenticator,
    token_renewed: Arc<Notify>,
    attempts: Attempts,
    addresses: Addresses,
    #[cfg(feature = "tls")]
    tls: std::sync::OnceLock<Arc<rustls::ClientConfig>>,
}

impl Connector {
    /// Checks that the endpoint can be logged in to as configured; makes no connection.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, Error> {
        let token_renewed = Arc::default();
        Ok(Self {
            auth: Authenticator::new(&endpoint.auth, &token_renewed)?,
            token_renewed,
            attempts: Attempts::new(),
            addresses: Addresses::default(),
            endpoint,
            #[cfg(feature = "tls")]
            tls: std::sync::OnceLock::new(),
        })
    }

    /// The server that this connects to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Who knows what connections log in with.
    pub(crate) fn auth(&self) -> &Authenticator {
        &self.auth
    }

    /// Told of each new token: what could not connect before may do so now.
    pub(crate) fn token_renewed(&self) -> &Arc<Notify> {
        &self.token_renewed
    }

    /// When a connection may be tried.
    pub(crate) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Makes a connection that is logged in with `credentials` and has its database selected, and the future that drives it.
    ///
    /// Every byte that it reads marks `pulse`. Its commands have no deadline of their own. With `hears`, what the server
    /// pushes is heard, unless the server has no RESP3.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if there is no connection, [`ErrorKind::Auth`] if the login was refused,
    /// [`ErrorKind::Server`] for any other refusal.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what it opened.
    pub(crate) async fn connect(
        &self,
        credentials: &Credentials,
        pulse: Arc<Pulse>,
        hears: bool,
    ) -> Result<Channel, Error> {
        let found = self
            .resolve()
            .await
            .map_err(|error| self.unreachable(error))?;
        let connected = self.addresses.race(found, |address, reached| {
            self.connect_to(address, reached, credentials, &pulse, hears)
        });
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        match connected.await {
            Some(Ok(connected)) => {
                pulse.logged_in();
                self.auth.accepted(credentials);
                Ok(connected)
            }
            Some(Err(NotMade::Refused(error))) => {
                if refuses_login(&error) {
                    self.auth.refused(credentials);
                } else if kind_of(&error) == ErrorKind::Disconnected {
                    self.auth.suspect(credentials);
                }
                Err(self.refusal(&error, credentials))
            }
            Some(Err(NotMade::NoStream(error))) => Err(error),
            None => Err(self.unreachable(none())),
        }
    }

    /// The addresses of the server's name.
    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        #[cfg(test)]
        if let Some(given) = &self.addresses.given {
            return Ok(given.clone());
        }
        let found = lookup_host((&*self.endpoint.host, self.endpoint.port)).await?;
        Ok(found.collect())
    }

    /// Makes the connection at one address, and says when there was one to log in on.
    async fn connect_to(
        &self,
        address: SocketAddr,
        reached: Reached,
        credentials: &Credentials,
        pulse: &Arc<Pulse>,
        hears: bool,
    ) -> Result<Channel, NotMade> {
        // Of its own, because they end with the attempt.
        let (pushes, sink) = hears.then(Pushes::new).unzip();
        let open = || self.open(address, &reached, Arc::clone(pulse));
        let stream = open().await?;
        let info = self.info(credentials.login(), ProtocolVersion::RESP3);
        let set_up_so = match set_up(&info, stream, sink).await {
            Err(error) if lacks_resp3(&error) => {
                tracing::debug!(endpoint = %self.endpoint, "redis has no RESP3, RESP2 is used");
                let stream = open().await?;
                let info = self.info(credentials.login(), ProtocolVersion::RESP2);
                set_up(&info, stream, None).await
            }
            set_up_so => set_up_so,
        };
        let (connection, driver) = set_up_so.map_err(NotMade::Refused)?;
        Ok(Channel {
            connection,
            driver,
            pushes,
        })
    }

    fn info(&self, login: Option<&Login>, protocol: ProtocolVersion) -> RedisConnectionInfo {
        // A server or a user without `CLIENT SETINFO` refuses it, which redis-rs ignores.
        let info = RedisConnectionInfo::default()
            .set_protocol(protocol)
            .set_db(self.endpoint.db)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        match login {
            None => info,
            Some(Login { username, password }) => {
                let info = info.set_password(password.expose());
                match username {
                    None => info,
                    Some(username) => info.set_username(username),
                }
            }
        }
    }

    async fn open(
        &self,
        address: SocketAddr,
        reached: &Reached,
        pulse: Arc<Pulse>,
    ) -> Result<Stream, Error> {
        let tcp = open_tcp(address)
            .await
            .map_err(|error| self.unreachable(error))?;
        // The second one for one address, where the protocol is another, is none the later for it.
        let _ = reached.set(Instant::now());
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.endpoint.tls {
            let client = match self.tls.get() {
                Some(client) => client,
                None => {
                    // Each for itself: whoever waited for another one's would wait for its runtime, which may be
                    // driven no more.
                    let client = tls_client(tls).await?;
                    self.tls.get_or_init(|| client)
                }
            };
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(client));
            let stream = connector
                .connect(tls.name.clone(), tcp)
                .await
                .map_err(|error| {
                    Error::from_io(
                        ErrorKind::Connect,
                        format!(
                            "no TLS connection with redis at {}{}",
                            self.endpoint,
                            tls_hint(&error)
                        ),
                        error,
                    )
                })?;
            return Ok(Stream {
                transport: Transport::Tls(Box::new(stream)),
                pulse,
            });
        }
        Ok(Stream {
            transport: Transport::Plain(tcp),
            pulse,
        })
    }

    fn unreachable(&self, error: io::Error) -> Error {
        Error::from_io(
            ErrorKind::Connect,
            format!("cannot connect to redis at {}", self.endpoint),
            error,
        )
    }

    /// Says why the server did not take the connection, without what the login sent.
    fn refusal(&self, error: &RedisError, credentials: &Credentials) -> Error {
        let (endpoint, login, hint) = (&self.endpoint, credentials.login(), credentials.hint());
        match kind_of(error) {
            // By `AUTH` alone redis-rs keeps no answer but this.
            ErrorKind::Auth if error.kind() == redis::ErrorKind::AuthenticationFailed => {
                Error::new(
                    ErrorKind::Auth,
                    format!(
                        "redis at {endpoint} refused the login: it does not take the password{hint}"
                    ),
                )
            }
            ErrorKind::Auth if error.detail().is_some_and(|told| told.contains("'select'")) => {
                Error::new(
                    ErrorKind::Auth,
                    format!(
                        "redis at {endpoint} refused the database: {}; give the user the right with `+select`, or use \
                         database 0 (`REDIS_DB`)",
                        harmless(error, login)
                    ),
                )
            }
            ErrorKind::Auth => Error::new(
                ErrorKind::Auth,
                format!(
                    "redis at {endpoint} refused the login: {}{hint}",
                    harmless(error, login).trim_end_matches('.')
                ),
            ),
            ErrorKind::Disconnected => Error::new(
                ErrorKind::Connect,
                format!(
                    "redis at {endpoint} closed the connection before it answered ({error}); \
                     if it expects TLS, ask for it with `REDIS_TLS=true` or `rediss://`"
                ),
            ),
            _ if error.kind() == redis::ErrorKind::Parse => Error::new(
                ErrorKind::Connect,
                // The first byte of a TLS server's refusal is no type of a reply.
                format!(
                    "what answers at {endpoint} is not redis; if it expects TLS, ask for it with `REDIS_TLS=true` or `rediss://`"
                ),
            ),
            kind => Error::new(
                kind,
                format!(
                    "redis at {endpoint} refused the connection: {}",
                    harmless(error, login)
                ),
            ),
        }
    }
}

/// Why there is no connection at one address.
enum NotMade {
    /// There is nobody to talk to.
    NoStream(Error),
    /// The server did not take the login, or hung up on it.
    Refused(RedisError),
}

impl From<Error> for NotMade {
    fn from(error: Error) -> Self {
        Self::NoStream(error)
    }
}

impl addresses::Verdict for NotMade {
    fn is_last_word(&self) -> bool {
        // All addresses are the same server's: asked at each, it would count so many logins that failed.
        matches!(self, Self::Refused(error) if kind_of(error) == ErrorKind::Auth)
    }

    fn weight(&self) -> u8 {
        match self {
            Self::NoStream(_) => 0,
            // By this alone some servers say that they do not take the login.
            Self::Refused(error) if kind_of(error) == ErrorKind::Disconnected => 1,
            Self::Refused(_) => 2,
        }
    }
}

async fn open_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Nagle's algorithm holds a small packet back for a round trip at most, to send more in it. Within a machine that
    // is shorter than the work that it saves on both sides; on a network it is not.
    socket.set_nodelay(!address.ip().is_loopback())?;
    socket.set_keepalive(true)?;
    socket.connect(address).await
}

/// The TLS settings of all connections to one server.
#[cfg(feature = "tls")]
async fn tls_client(tls: &crate::config::Tls) -> Result<Arc<rustls::ClientConfig>, Error> {
    let authorities = match &tls.authorities {
        Some(authorities) => Arc::clone(authorities),
        None => tokio::task::spawn_blocking(system_authorities)
            .await
            .map_err(|error| {
                Error::with_source(
                    ErrorKind::Connect,
                    "the system's certificates were not read",
                    error,
                )
            })??,
    };
    client_trusting(authorities).map(Arc::new)
}

/// What may be wrong where the other side answered something else than TLS.
#[cfg(feature = "tls")]
fn tls_hint(error: &io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => WITHOUT_TLS,
        // It hung up on the greeting.
        None if error.kind() == io::ErrorKind::UnexpectedEof => WITHOUT_TLS,
        _ => "",
    }
}

/// What may be wrong where TLS meets something else.
pub(crate) const WITHOUT_TLS: &str =
    "; if the server is without TLS, write `redis://`, or `REDIS_TLS=false` with a host";

async fn set_up(
    info: &RedisConnectionInfo,
    stream: Stream,
    sink: Option<PushSink>,
) -> Result<(MultiplexedConnection, Driver), RedisError> {
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    if let Some(sink) = sink {
        config = config.set_push_sender(sink);
    }
    let (connection, driver) = MultiplexedConnection::new_with_config(info, stream, config).await?;
    Ok((connection, Box::pin(driver)))
}

/// Whether the server does not know `HELLO`, or not the protocol asked for.
///
/// redis-rs knows one spelling of the first; servers that had the command renamed, and proxies, have others.
fn lacks_resp3(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::RESP3NotSupported
        || error.code() == Some("NOPROTO")
        || error
            .detail()
            .is_some_and(|detail| detail.to_ascii_lowercase().starts_with("unknown command"))
}

/// Whether the server refused the login itself, not a right or a command.
pub(crate) fn refuses_login(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
}

/// So much of a password gives it away; shorter ones are quoted whole or not at all.
const BEGINNING: usize = 8;

/// What the server said, without what it may have quoted of the login.
fn harmless(error: &RedisError, login: Option<&Login>) -> String {
    let text = redis_text(error);
    let Some(password) = login.map(|login| login.password.expose()) else {
        return text;
    };
    if password.is_empty() {
        return text;
    }
    let text = text.replace(password, "<redacted>");
    // Servers cut what they quote: what begins as a token does is one.
    match password.get(..BEGINNING).and_then(|start| text.find(start)) {
        Some(at) => format!("{}<redacted>", &text[..at]),
        None => text,
    }
}
