//! A test never sets its own process' environment: it starts its binary again, with an environment of its own.
//!
//! ```no_run
//! # use cache_tests::{Child, child};
//! // As a test: the same function is the parent and the child.
//! fn a_bad_port_is_named() {
//!     if child::role().is_some() {
//!         // … reads the configuration and prints the error …
//!         return;
//!     }
//!     let child = Child::of_test("a_bad_port_is_named").env("REDIS_PORT", "x").run();
//!     assert!(child.text().contains("REDIS_PORT"));
//! }
//! ```

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;

use crate::redis_server::{run_bounded, signal};
use crate::wait::{SOON, bounded};

/// How long a child may run.
const LIMIT: Duration = Duration::from_secs(120);

/// The variable by which a child knows that it is one.
const ROLE: &str = "CACHE_TESTS_ROLE";

/// The role that this process has as a child; `None` in the test run itself.
#[must_use]
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Prints a line for the parent: one of its own, whatever the test harness prints.
pub fn tell(line: &str) {
    // A parent that has gone reads nothing.
    let _ = std::io::stdout().write_all(format!("\n{line}\n").as_bytes());
}

/// A child process to be: one test of this binary, with no `REDIS_*` and `AZURE_*` variable but those it is given.
#[derive(Debug)]
#[must_use = "a child does nothing until `run` or `spawn`"]
pub struct Child {
    command: Command,
    test: String,
}

impl Child {
    /// The test with this name, its module's path included: `config::a_bad_port_is_named`.
    ///
    /// # Panics
    ///
    /// Panics when the test binary's own path is unknown.
    pub fn of_test(name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the path of this binary"));
        command
            .args([
                name,
                "--exact",
                "--include-ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(ROLE, "child")
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let bytes = name.as_encoded_bytes();
            if bytes.starts_with(b"REDIS_") || bytes.starts_with(b"AZURE_") {
                command.env_remove(name);
            }
        }
        Self {
            command,
            test: name.to_owned(),
        }
    }

    /// What [`role`] returns in the child. Default: `child`.
    pub fn role(self, role: &str) -> Self {
        self.env(ROLE, role)
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<V: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Self {
        self.command.envs(variables);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// Panics when it does not end in time, or when there is no such test.
    #[must_use]
    pub fn run(self) -> Ended {
        let output = run_bounded(self.command, LIMIT, "the child process");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ended = Ended {
            status: output.status,
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        assert!(
            ended.stdout.contains("running 1 test\n"),
            "there is no test `{}`: {}",
            self.test,
            ended.text()
        );
        ended
    }

    /// Starts it and returns at once.
    ///
    /// # Panics
    ///
    /// Panics when it cannot be started.
    #[must_use]
    pub fn spawn(mut self) -> Running {
        let (lines_in, lines) = watch::channel(Vec::new());
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this binary can be started again");
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("a pipe"));
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("a pipe"));
        for pipe in [stdout, stderr] {
            let lines_in = lines_in.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    lines_in.send_modify(|lines: &mut Vec<String>| lines.push(line));
                }
            });
        }
        Running { child, lines }
    }
}

/// A child process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it printed as errors; panics are here.
    pub stderr: String,
}

impl Ended {
    /// All that it printed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Asserts that the child's test passed.
    ///
    /// # Panics
    ///
    /// Panics where it did not, with all that it printed.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.status.success(), "the child failed:\n{}", self.text());
    }
}

/// A child process that runs; dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: std::process::Child,
    lines: watch::Receiver<Vec<String>>,
}

impl Running {
    /// Waits for a line that it prints, also one that is already there, and returns it.
    ///
    /// # Panics
    ///
    /// Panics when none comes in time, with all that it printed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for_line(&self, part: &str) -> String {
        let mut lines = self.lines.clone();
        let find = |lines: &Vec<String>| lines.iter().find(|line| line.contains(part)).cloned();
        let arrival = bounded(SOON, async {
            lines
                .wait_for(|lines| find(lines).is_some())
                .await
                .ok()
                .and_then(|lines| find(&lines))
        });
        match arrival.await.flatten() {
            Some(line) => line,
            None => panic!(
                "the child did not print `{part}`; it printed {:#?}",
                self.lines()
            ),
        }
    }

    /// The lines that it printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Freezes it (`SIGSTOP`).
    pub fn stop(&self) {
        signal(&self.child, Signal::STOP);
    }

    /// Lets it go on (`SIGCONT`).
    pub fn cont(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Kills it (`SIGKILL`) and waits for its end.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
