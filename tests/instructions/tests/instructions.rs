//! A hit takes no more instructions than it did when that was last written down here.
//!
//! The one rule: **what is compared is a count, not a time**: it is the same on a busy machine.
//!
//! Meant for an optimised build: `bash .ci/instructions`. Where a count is out of its range, the message has
//! the new one; write that down if the change is worth it, or also if it is for the better.
#![allow(missing_docs)]

use std::{
    io,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// What a hit in the process's store takes beyond a clone of its value, which takes about 1,500.
const IN_PROCESS: i64 = 1_370;
/// What a hit in Redis takes beyond GET and `serde_json` by hand, which take about 19,000.
const IN_REDIS: i64 = 2_620;
/// Processors and allocators differ a little.
const TOLERANCE: f64 = 0.1;

#[track_caller]
fn assert_near(what: &str, counted: i64, written: i64) {
    eprintln!("{what}: {counted} instructions a call; written down: {written}");
    let off = (counted - written).abs() as f64 / written as f64;
    assert!(
        off <= TOLERANCE,
        "{what} takes {counted} instructions a call, and {written} were written down",
    );
}

/// How many instructions one call takes.
fn instructions(mode: &[&str]) -> i64 {
    let (few, many) = (500, 1_500);
    (counted(mode, many) - counted(mode, few)) / (many - few)
}

/// How many instructions the program takes with this number of calls.
fn counted(mode: &[&str], calls: i64) -> i64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env!("CARGO_BIN_EXE_cache-instructions"))
        .args(mode)
        .arg(calls.to_string())
        .output()
        .expect("valgrind, which `bash .ci/instructions` installs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.expect("callgrind says what it collected");
    count.trim().parse().expect("a number")
}

#[test]
fn a_hit_in_process() {
    let beyond = instructions(&["process"]) - instructions(&["clone"]);
    assert_near("a hit in process", beyond, IN_PROCESS);
}

#[test]
fn a_hit_in_redis() {
    let server = Server::start();
    // Stores what the one by hand reads.
    let ours = instructions(&["redis", &server.url]);
    let beyond = ours - instructions(&["by-hand", &server.url]);
    assert_near("a hit in Redis", beyond, IN_REDIS);
}

/// A `redis-server` that ends with this.
struct Server {
    process: Child,
    url: String,
    _directory: TempDir,
}

impl Server {
    fn start() -> Self {
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
