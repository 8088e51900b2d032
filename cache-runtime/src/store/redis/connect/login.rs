//! The login on a socket that is open.
//!
//! The one rule: **a server without RESP3 is asked again for RESP2, on a new socket**, and nothing else is asked twice.

use std::{net::SocketAddr, sync::Arc};

use redis::{
    AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};

use super::{
    super::{
        pulse::Pulse,
        pushes::{PushSink, Pushes},
    },
    Channel, Connector, Driver,
    addresses::Reached,
    refusal::NotMade,
    stream::Stream,
};
use crate::auth::{Credentials, Login};

impl Connector {
    /// Makes the connection at one address, and says when there was one to log in on.
    pub(super) async fn connect_to(
        &self,
        address: SocketAddr,
        reached: Reached,
        credentials: &Credentials,
        pulse: &Arc<Pulse>,
        hears: bool,
    ) -> Result<Channel, NotMade> {
        // Each attempt has pushes of its own, because they end with the attempt.
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
}

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
pub(super) fn refuses_login(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
}
