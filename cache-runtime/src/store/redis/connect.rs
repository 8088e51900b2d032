//! One connection to Redis, made and logged in.
//!
//! The one rule: **an attempt to connect neither bounds its time nor tries again by itself**: its caller does, and
//! dropping an attempt closes its sockets.
//!
//! | file | what it does |
//! |---|---|
//! | this one | resolves the name, and has an attempt made at its addresses |
//! | `login` | logs in on a socket, for RESP3 or RESP2 |
//! | `refusal` | says why there is no connection |
//! | `socket` | opens a socket, with TLS or without |
//! | `stream` | the bytes of a connection |
//! | `addresses` | which address is tried when |
//!
//! Imports go down this table.

mod addresses;
mod login;
mod refusal;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

use redis::aio::MultiplexedConnection;
use tokio::{net::lookup_host, sync::Notify};

use self::{addresses::Addresses, login::refuses_login, refusal::NotMade};
use super::{attempts::Attempts, pulse::Pulse, pushes::Pushes};
use crate::{
    auth::{Authenticator, Credentials},
    config::Endpoint,
    error::{Error, ErrorKind, kind_of},
};

pub(crate) use self::socket::WITHOUT_TLS;

/// Moves a connection's bytes: its owner spawns it, and the connection ends with it.
pub(crate) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that is logged in.
pub(crate) struct Channel {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Driver,
    /// The waiters for what the server pushes, where that was asked for.
    pub(crate) pushes: Option<Arc<Pushes>>,
}

/// Makes connections to one server.
///
/// It keeps what they share, because reading the system's certificates takes longer than connecting.
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

    /// What connections log in with.
    pub(crate) fn auth(&self) -> &Authenticator {
        &self.auth
    }

    /// Notified of each new token, with which an attempt that failed before may succeed.
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

    fn unreachable(&self, error: io::Error) -> Error {
        Error::from_io(
            ErrorKind::Connect,
            format!("cannot connect to redis at {}", self.endpoint),
            error,
        )
    }
}
