//! A Redis for tests that need nothing else of one.

use std::{
    io,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A `redis-server` that ends with this.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    url: String,
    _directory: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().expect("a directory");
        let port = free_port().expect("a port");
        let process = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
            ])
            .arg(port.to_string())
            .current_dir(&directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which `bash .ci/test` installs");
        let server = Self {
            process,
            url: format!("redis://127.0.0.1:{port}"),
            _directory: directory,
        };
        let limit = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "redis-server does not answer");
            sleep(Duration::from_millis(10));
        }
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of its own id, which is kept until it was waited for.
        self.process.kill().expect("a process of this test");
        self.process.wait().expect("its end");
    }
}

/// A port that nobody listens on right now.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
