//! The socket of one connection, with TLS where the endpoint says so.
//!
//! The one rule: **where the endpoint has TLS, nothing is sent without it.**

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use tokio::net::{TcpSocket, TcpStream};

use super::{
    super::pulse::Pulse,
    Connector,
    addresses::Reached,
    stream::{Stream, Transport},
};
use crate::error::Error;
#[cfg(feature = "tls")]
use crate::{
    error::ErrorKind,
    tls::{client_trusting, system_authorities},
};

impl Connector {
    pub(super) async fn open(
        &self,
        address: SocketAddr,
        reached: &Reached,
        pulse: Arc<Pulse>,
    ) -> Result<Stream, Error> {
        let tcp = open_tcp(address)
            .await
            .map_err(|error| self.unreachable(error))?;
        // A second socket at one address, for the older protocol, leaves the time of the first.
        let _ = reached.set(Instant::now());
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.endpoint.tls {
            let client = match self.tls.get() {
                Some(client) => client,
                None => {
                    // Each attempt makes the client for itself, because an attempt that waited for another's would wait
                    // for a runtime that may be driven no more.
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
        // The server hung up on the greeting.
        None if error.kind() == io::ErrorKind::UnexpectedEof => WITHOUT_TLS,
        _ => "",
    }
}

/// What may be wrong where TLS meets something else.
pub(crate) const WITHOUT_TLS: &str =
    "; if the server is without TLS, write `redis://`, or `REDIS_TLS=false` with a host";
