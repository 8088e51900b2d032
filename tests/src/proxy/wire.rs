//! The client's side: plain, or the inside of TLS. How it ends is the same for both.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::End;

/// How long a client that reads nothing may keep its connection from closing.
const CLOSING: Duration = Duration::from_millis(200);

/// What carries a client's bytes.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for Box<TlsStream<TcpStream>> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Begins TLS; nothing if the client does not want it or the connection has ended meanwhile.
pub(super) async fn shake_hands(
    tls: &TlsAcceptor,
    client: TcpStream,
    mut end: watch::Receiver<Option<End>>,
) -> Option<Box<TlsStream<TcpStream>>> {
    let mut handshake = tls.accept(client);
    let how = tokio::select! {
        done = &mut handshake => return done.ok().map(Box::new),
        how = end.wait_for(Option::is_some) => how.ok().and_then(|how| *how),
    };
    if let (Some(End::Reset), Some(socket)) = (how, handshake.get_ref()) {
        reset_when_dropped(socket);
    }
    None
}

/// Ends the client's side in its way.
pub(super) async fn end(mut client: impl Wire, how: Option<End>) {
    if how == Some(End::Reset) {
        reset_when_dropped(client.socket());
    } else {
        // Either error means that the client is past caring.
        let _ = tokio::time::timeout(CLOSING, client.shutdown()).await;
    }
}

fn reset_when_dropped(socket: &TcpStream) {
    // Fails only for a connection that is gone.
    let _ = socket.set_zero_linger();
}
