//! A door on a loopback port: clients come in only while it is open, and the port stays its own while it is shut.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::background;
use crate::port::Port;

/// What the accepting task is told; it answers when it is done.
enum Order {
    Shut,
    Open(TcpListener),
}

/// The accepting task's handle; dropped, the door is shut for good.
pub(crate) struct Door {
    port: Port,
    orders: mpsc::UnboundedSender<(Order, std::sync::mpsc::Sender<()>)>,
    is_open: Mutex<bool>,
}

impl Door {
    /// An open door on a port of its own; `on_client` is called for each client, on the kit's runtime.
    ///
    /// # Panics
    ///
    /// Panics when no loopback port is free.
    pub(crate) fn open(on_client: impl FnMut(TcpStream) + Send + 'static) -> Self {
        // Somebody outside the kit may take the port between the two steps.
        let (port, listener) = (0..100)
            .find_map(|_| {
                let port = Port::reserve();
                TcpListener::bind(port.addr()).ok().map(|l| (port, l))
            })
            .expect("a free loopback port to listen on");
        let (orders, inbox) = mpsc::unbounded_channel();
        background::spawn(accept(inbox, on_client));
        let door = Self {
            port,
            orders,
            is_open: Mutex::new(true),
        };
        door.tell(Order::Open(listener));
        door
    }

    /// The port that it listens on, for its whole life.
    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// When this returns, connections are refused; `on_client` has been called for those that were not.
    pub(crate) fn shut(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.tell(Order::Shut);
    }

    /// Ends [`shut`](Self::shut).
    ///
    /// # Panics
    ///
    /// Panics when the port cannot be had again.
    pub(crate) fn reopen(&self) {
        let mut is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_open {
            return;
        }
        let addr = self.addr();
        // The kernel may have lent the port to somebody's client for a while.
        let deadline = Instant::now() + Duration::from_secs(10);
        let listener = loop {
            match TcpListener::bind(addr) {
                Ok(listener) => break listener,
                Err(error) => assert!(
                    Instant::now() < deadline,
                    "cannot listen on {addr}: {error}"
                ),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        self.tell(Order::Open(listener));
        *is_open = true;
    }

    fn tell(&self, order: Order) {
        let (done, is_done) = std::sync::mpsc::channel();
        if self.orders.send((order, done)).is_ok() {
            // An error means that the task has ended, and with it the listener.
            let _ = is_done.recv();
        }
    }
}

/// Refuses connections from here on.
///
/// Closing is not enough: a process that is just being started has a copy of the socket until it
/// runs its own program, and the kernel goes on taking connections for it.
fn stop_listening(listener: &tokio::net::TcpListener) {
    // Only Linux ends listening this way; elsewhere the socket's end does.
    let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
}

async fn accept(
    mut inbox: mpsc::UnboundedReceiver<(Order, std::sync::mpsc::Sender<()>)>,
    mut on_client: impl FnMut(TcpStream) + Send,
) {
    let mut listener: Option<tokio::net::TcpListener> = None;
    loop {
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = inbox.recv() => match order {
                None => return,
                Some((order, done)) => {
                    if let Some(listener) = listener.take() {
                        stop_listening(&listener);
                    }
                    listener = match order {
                        Order::Shut => None,
                        Order::Open(listener) => {
                            listener.set_nonblocking(true).expect("a socket can be non-blocking");
                            Some(tokio::net::TcpListener::from_std(listener).expect("a listening socket"))
                        }
                    };
                    // The other side may be a test that has panicked.
                    let _ = done.send(());
                }
            },
            accepted = next => match accepted {
                Ok((client, _)) => on_client(client),
                // Out of file descriptors, for example: others may give theirs back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}
