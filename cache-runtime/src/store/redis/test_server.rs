//! A real server for the tests of this crate's own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use super::{connect::Connector, server::Server};
use crate::{
    auth::{Auth, Login, Secret},
    config::Endpoint,
};

/// A real server on a port of its own, killed when dropped.
pub(super) struct TestServer {
    child: Child,
    pub(super) port: u16,
    /// Open as long as the server writes to it.
    stdout: BufReader<ChildStdout>,
}

impl TestServer {
    pub(super) fn start(options: &[&str]) -> Self {
        // Below the ports that systems give to clients; a server whose port is taken ends, and the
        // next is tried.
        for _ in 0..20 {
            let port = fastrand::u16(10_000..32_000);
            let mut child = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"])
                .args(["--port", &port.to_string()])
                .args(options)
                .stdout(Stdio::piped())
                .spawn()
                .expect("redis-server is installed");
            let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
            let mut server = Self {
                child,
                port,
                stdout,
            };
            let mut line = String::new();
            while server.stdout.read_line(&mut line).expect("a log line") > 0 {
                if line.contains("Ready to accept connections") {
                    return server;
                }
                line.clear();
            }
        }
        panic!("redis-server does not start with {options:?}");
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the links of one cache share; its breaker has no probe.
pub(super) fn server(connector: Connector, timeout: Duration) -> Arc<Server> {
    Arc::new(Server::new(connector, timeout, Box::new(|| None)))
}

pub(super) fn endpoint(port: u16, auth: Auth) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".to_owned(),
        port,
        #[cfg(feature = "tls")]
        tls: None,
        auth,
        db: 0,
    }
}

pub(super) fn password(username: Option<&str>, password: &str) -> Auth {
    Auth::Password(Login {
        username: username.map(str::to_owned),
        password: Secret::new(password),
    })
}
