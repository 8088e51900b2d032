//! Real `redis-server` processes, each with a port, a directory and an end of its own.
//!
//! The kit itself talks to a server only through a unix socket in the server's directory, as a user of
//! its own. So what the kit does needs neither the server's password nor its TLS, reaches it past every
//! proxy, and is in no [`CommandLog`]; and whoever answers there *is* the process that was started.

mod admin;
mod command_log;
mod process;
mod start_error;
mod version;

use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use url::Url;

use self::admin::{ADMIN, Admin};
pub use self::command_log::CommandLog;
use self::process::Process;
pub(crate) use self::process::{run_bounded, signal};
use self::start_error::StartError;
pub use self::version::RedisVersion;
use crate::background;
use crate::port::Port;
use crate::proxy::Proxy;
use crate::tls::Tls;

/// How long a server may take to answer, or a `redis-cli` to end.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a server is started with.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    version: RedisVersion,
    tls: bool,
    password: Option<String>,
    options: Vec<Vec<String>>,
}

impl Builder {
    /// Which `redis-server` it is. Default: the one in `PATH`.
    pub fn version(mut self, version: RedisVersion) -> Self {
        self.version = version;
        self
    }

    /// Serves TLS only, with a certificate for `localhost` and `127.0.0.1`. Default: plain TCP.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The password of the user `default`. Default: none is asked for.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.option("requirepass", &[password])
    }

    /// Adds an ACL user, with rules as `ACL SETUSER` takes them: `&["~app:*", "+@all"]`.
    pub fn user(self, name: &str, password: &str, rules: &[&str]) -> Self {
        let password = format!(">{password}");
        let words = [&[name, "on", &password], rules].concat();
        self.option("user", &words)
    }

    /// Refuses writes with `OOM` above this many bytes. Default: no limit.
    pub fn maxmemory(self, bytes: u64) -> Self {
        self.option("maxmemory", &[&bytes.to_string()])
            .option("maxmemory-policy", &["noeviction"])
    }

    /// Any line of `redis.conf`: `option("replicaof", &["127.0.0.1", "1"])`.
    pub fn option(mut self, name: &str, values: &[&str]) -> Self {
        let words =
            std::iter::once(format!("--{name}")).chain(values.iter().map(|v| (*v).to_owned()));
        self.options.push(words.collect());
        self
    }

    /// Starts the server and returns when it answers.
    ///
    /// # Panics
    ///
    /// Panics where `redis-server` is missing or does not start; the message holds what it printed.
    ///
    /// # Cancel safety
    ///
    /// A server whose start was dropped is killed as soon as it answers.
    pub async fn start(self) -> RedisServer {
        background::blocking(|| self.start_blocking()).await
    }

    /// [`start`](Self::start), for tests outside a runtime.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_blocking(self) -> RedisServer {
        let dir = TempDir::with_prefix("redis-").expect("a directory for temporary files");
        let tls = self.tls.then(|| Tls::issue(dir.path()));
        let admin_password = format!("{:032x}", fastrand::u128(..));
        let mut inner = Inner {
            port: Port::reserve(),
            settings: self,
            tls,
            admin_password,
            process: Mutex::new(None),
            dir,
        };
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match inner.launch(deadline) {
                Ok(process) => {
                    *inner.process() = Some(process);
                    return RedisServer {
                        inner: Arc::new(inner),
                    };
                }
                // Somebody outside the kit took the port since it was looked at.
                Err(StartError::PortTaken) if Instant::now() < deadline => {
                    inner.port = Port::reserve();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A running server; dropped, it is killed.
pub struct RedisServer {
    inner: Arc<Inner>,
}

struct Inner {
    // The process ends before its directory goes.
    process: Mutex<Option<Process>>,
    port: Port,
    settings: Builder,
    tls: Option<Tls>,
    admin_password: String,
    dir: TempDir,
}

impl RedisServer {
    /// The builder: `RedisServer::builder().tls().start().await`.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a plain server: TCP, no password, nothing kept on disk.
    ///
    /// # Panics
    ///
    /// As [`Builder::start`].
    ///
    /// # Cancel safety
    ///
    /// As [`Builder::start`].
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Its URL, with the default user's password if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self.inner.settings.password.as_deref();
        self.url_with(self.port(), false, None, password)
    }

    /// Its URL for a user.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(self.port(), false, Some(user), Some(password))
    }

    /// As [`url`](Self::url), but through a proxy.
    #[must_use]
    pub fn url_through(&self, proxy: &Proxy) -> String {
        let password = self.inner.settings.password.as_deref();
        self.url_with(proxy.port(), proxy.has_tls(), None, password)
    }

    fn url_with(&self, port: u16, tls: bool, user: Option<&str>, password: Option<&str>) -> String {
        let scheme = if tls || self.inner.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let mut url = Url::parse(&format!("{scheme}://127.0.0.1:{port}/")).expect("a valid URL");
        // Both fail only for URLs without a host.
        url.set_username(user.unwrap_or_default())
            .expect("the URL has a host");
        url.set_password(password).expect("the URL has a host");
        url.into()
    }

    /// Its port, the same for its whole life.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.inner.port.number()
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.inner.port.addr()
    }

    /// The process it runs as now; `None` while it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.inner.process().as_ref().map(Process::pid)
    }

    /// The CA that signed its certificate, as a PEM file.
    ///
    /// # Panics
    ///
    /// Panics on a server without TLS.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        &self
            .inner
            .tls
            .as_ref()
            .expect("a server built with `.tls()`")
            .ca
    }

    /// A CA that did not sign its certificate, as a PEM file.
    ///
    /// # Panics
    ///
    /// Panics on a server without TLS.
    #[must_use]
    pub fn unrelated_ca_path(&self) -> &Path {
        &self
            .inner
            .tls
            .as_ref()
            .expect("a server built with `.tls()`")
            .unrelated_ca
    }

    /// Freezes it (`SIGSTOP`): the kernel still accepts connections, nobody answers.
    ///
    /// # Panics
    ///
    /// Panics when it is not running.
    pub fn stop(&self) {
        self.inner
            .process()
            .as_ref()
            .expect("a running server")
            .freeze();
    }

    /// Lets it go on (`SIGCONT`).
    ///
    /// # Panics
    ///
    /// Panics when it is not running.
    pub fn cont(&self) {
        self.inner
            .process()
            .as_ref()
            .expect("a running server")
            .thaw();
    }

    /// Kills it (`SIGKILL`); when this returns, its port refuses connections.
    pub fn kill(&self) {
        *self.inner.process() = None;
    }

    /// Starts it again, on the same port and without data; a running one is killed first.
    ///
    /// # Panics
    ///
    /// As [`Builder::start`].
    ///
    /// # Cancel safety
    ///
    /// The restart goes on when this is dropped.
    pub async fn restart(&self) {
        let inner = self.inner.clone();
        background::blocking(move || inner.restart()).await;
    }

    pub(crate) fn restart_blocking(&self) {
        self.inner.restart();
    }

    /// Deletes every key in every database.
    ///
    /// # Panics
    ///
    /// Panics when the server does not answer.
    ///
    /// # Cancel safety
    ///
    /// The keys are deleted also when this is dropped.
    pub async fn empty(&self) {
        let inner = self.inner.clone();
        background::blocking(move || {
            inner
                .admin()
                .command(&["FLUSHALL"])
                .expect("a server that answers FLUSHALL");
        })
        .await;
    }

    /// What the real `redis-cli` prints for a command, without the last line's end.
    ///
    /// # Panics
    ///
    /// Panics where `redis-cli` is missing, fails, or does not end in time.
    pub fn cli(&self, args: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command
            .args([
                "-s",
                self.inner.socket().to_str().expect("a path in UTF-8"),
                "--user",
                ADMIN,
            ])
            .env("REDISCLI_AUTH", &self.inner.admin_password)
            .args(args)
            .stdin(Stdio::null());
        let output = run_bounded(command, START_LIMIT, "redis-cli");
        assert!(
            output.status.success(),
            "redis-cli {args:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
    }

    /// Runs a command as the kit's own user, and blocks meanwhile.
    pub(crate) fn run(&self, args: &[&str]) -> std::io::Result<()> {
        let inner = &self.inner;
        let mut admin = Admin::connect(&inner.socket(), &inner.admin_password)?;
        admin.command(args).map(drop)
    }

    /// A connection for assertions: as the kit's own user, past every proxy, without a time limit.
    ///
    /// # Panics
    ///
    /// Panics when the server does not answer.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn connection(&self) -> MultiplexedConnection {
        let mut url = Url::parse("redis+unix:///").expect("a valid URL");
        url.set_path(self.inner.socket().to_str().expect("a path in UTF-8"));
        url.query_pairs_mut()
            .append_pair("user", ADMIN)
            .append_pair("pass", &self.inner.admin_password);
        let client = redis::Client::open(url.as_str()).expect("a valid URL");
        let unlimited = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        client
            .get_multiplexed_async_connection_with_config(&unlimited)
            .await
            .expect("a server that takes connections")
    }

    /// Records every command that clients send from now on, as `MONITOR` shows them.
    ///
    /// # Panics
    ///
    /// Panics when the server does not answer.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn command_log(&self) -> CommandLog {
        let inner = self.inner.clone();
        background::blocking(move || CommandLog::start(inner.admin(), inner.admin())).await
    }

    /// All that the process printed, its log included.
    #[must_use]
    pub fn printed(&self) -> String {
        self.inner.printed()
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer")
            .field("port", &self.port())
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    fn printed(&self) -> String {
        let bytes = std::fs::read(self.dir.path().join("printed")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn admin(&self) -> Admin {
        Admin::connect(&self.socket(), &self.admin_password).expect("a server that answers")
    }

    fn restart(&self) {
        let mut slot = self.process();
        *slot = None;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match self.launch(deadline) {
                Ok(process) => {
                    *slot = Some(process);
                    return;
                }
                // The kernel may have lent the port to a client of somebody else for a while.
                Err(StartError::PortTaken) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Starts the process and waits until it, and nobody else, answers.
    fn launch(&self, deadline: Instant) -> Result<Process, StartError> {
        let printed = File::create(self.dir.path().join("printed")).expect("a writable directory");
        let version = self.settings.version;
        let mut command = Command::new(version.program());
        command
            .args(self.args())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(printed.try_clone().expect("a second handle of a file"))
            .stderr(printed);
        let child = command
            .spawn()
            .map_err(|error| StartError::Spawn(version, error))?;
        let mut process = Process::watched(child, self.dir.path());
        loop {
            if process.has_ended() {
                let printed = self.printed();
                // The unix socket is made after the ports are bound, so a taken port ends the process.
                return Err(if printed.contains("Address already in use") {
                    StartError::PortTaken
                } else {
                    StartError::Ended(printed)
                });
            }
            if self.answers(process.pid()) {
                return Ok(process);
            }
            if Instant::now() > deadline {
                return Err(StartError::Late(self.printed()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn answers(&self, pid: u32) -> bool {
        let Ok(mut admin) = Admin::connect(&self.socket(), &self.admin_password) else {
            return false;
        };
        let Ok(about) = admin.command(&["INFO", "server"]) else {
            return false;
        };
        let line = format!("process_id:{pid}");
        about.lines().any(|l| l == line)
            && admin.command(&["PING"]).is_ok_and(|pong| pong == "+PONG")
    }

    fn args(&self) -> Vec<String> {
        let socket = self.socket();
        let socket = socket.to_str().expect("a path in UTF-8");
        let port = self.port.number().to_string();
        let mut args: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|w| (*w).to_owned()));
        add(&[
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            socket,
            "--unixsocketperm",
            "700",
        ]);
        add(&["--save", "", "--appendonly", "no"]);
        add(&[
            "--user",
            ADMIN,
            "on",
            &format!(">{}", self.admin_password),
            "~*",
            "&*",
            "+@all",
        ]);
        match &self.tls {
            None => add(&["--port", &port]),
            Some(tls) => {
                add(&[
                    "--port",
                    "0",
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                ]);
                add(&[
                    "--tls-cert-file",
                    &tls.certificate,
                    "--tls-key-file",
                    &tls.key,
                ]);
                add(&[
                    "--tls-ca-cert-file",
                    tls.ca.to_str().expect("a path in UTF-8"),
                ]);
            }
        }
        args.extend(self.settings.options.iter().flatten().cloned());
        args
    }
}
