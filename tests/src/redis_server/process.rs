//! A child process never outlives the test, however the test ends.
//!
//! A drop kills it. Where no drop runs (a static, `exit`, an abort, a killed test run), its watchdog does: a
//! shell that waits for the end of a pipe whose other end only this process has. Signals go to children
//! that are not reaped yet, so a process id is never somebody else's.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Kills the process and removes its directory when standard input ends; a terminal's Ctrl-C reaches all
/// processes of a run at once, and must not end the watchdog before its work is done.
const WATCHDOG: &str = r#"trap '' INT HUP TERM; read -r _; kill -KILL "$1"; rm -rf "$2""#;

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    watchdog: Child,
}

impl Process {
    /// Takes over a child that works in `dir`, a temporary directory.
    pub(super) fn watched(mut child: Child, dir: &Path) -> Self {
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match watchdog {
            Ok(watchdog) => Self { child, watchdog },
            Err(error) => {
                end(&mut child);
                panic!("cannot start sh: {error}");
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns when the process stands still.
    pub(super) fn freeze(&self) {
        signal(&self.child, Signal::STOP);
        let pid = Pid::from_child(&self.child);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !matches!(waitid(WaitId::Pid(pid), options), Ok(Some(status)) if status.stopped()) {
            assert!(Instant::now() < deadline, "process {pid:?} does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn thaw(&self) {
        signal(&self.child, Signal::CONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: it must not see the id of a process that is reaped.
        end(&mut self.watchdog);
        end(&mut self.child);
    }
}

/// Kills, also a frozen process, and reaps.
fn end(child: &mut Child) {
    // Both fail only for a child that has ended and is reaped.
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends a signal to a child that is not reaped yet.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal)
        .unwrap_or_else(|error| panic!("cannot send {signal:?} to a child: {error}"));
}

/// Runs a command to its end, at most for `limit`.
pub(crate) fn run_bounded(mut command: Command, limit: Duration, name: &str) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => panic!("{name} is missing; type: bash .ci/test"),
        _ => panic!("{name} cannot be started: {error}"),
    });
    let pid = Pid::from_child(&child);
    let (done, result) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more only after the limit.
        let _ = done.send(child.wait_with_output());
    });
    match result.recv_timeout(limit) {
        Ok(output) => output.unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => {
            // It is not reaped: the thread above still waits for it.
            let _ = kill_process(pid, Signal::KILL);
            // Its own children may keep its pipes.
            let printed = match result.recv_timeout(Duration::from_secs(5)) {
                Ok(Ok(output)) => [output.stdout, output.stderr].concat(),
                _ => Vec::new(),
            };
            let printed = String::from_utf8_lossy(&printed);
            panic!("{name} did not end within {limit:?}; it printed: {printed}");
        }
    }
}
