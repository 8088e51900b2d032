//! A hit takes no more instructions than it did when that was last written down here.
//!
//! The one rule: **what is compared is a count, not a time**, so that a busy machine changes next to nothing.
//!
//! Meant for an optimised build: `bash .ci/instructions`. Where a count is out of its range, the message has
//! the new one; write that down if the change is worth it, or also if it is for the better.
#![allow(missing_docs)]

mod server;

use std::process::Command;

use server::Server;

/// What a hit in the process's store takes beyond a clone of its value, which takes about 1,500.
const IN_PROCESS: i64 = 768;
/// What a hit in Redis takes beyond GET and `serde_json` by hand, which take about 19,000.
const IN_REDIS: i64 = 1_280;
/// What a miss in Redis takes beyond GET and SETEX by hand, which take about 33,000, where the calls before it missed too.
const MISS_IN_REDIS: i64 = 19_500;
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

/// How many instructions one call takes: the median of three counts, because how often a program is woken for an answer
/// of Redis is the system's to decide.
fn instructions(mode: &[&str]) -> i64 {
    let (few, many) = (500, 1_500);
    let mut counts = [(); 3].map(|()| (counted(mode, many) - counted(mode, few)) / (many - few));
    counts.sort_unstable();
    counts[1]
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
fn a_miss_in_redis() {
    let server = Server::start();
    let ours = instructions(&["miss", server.url()]);
    let by_hand = instructions(&["miss-by-hand", server.url()]);
    eprintln!("a miss by hand: {by_hand}");
    assert_near("a miss in Redis", ours - by_hand, MISS_IN_REDIS);
}

#[test]
fn a_hit_in_redis() {
    let server = Server::start();
    // Stores what the one by hand reads.
    let ours = instructions(&["redis", server.url()]);
    let beyond = ours - instructions(&["by-hand", server.url()]);
    assert_near("a hit in Redis", beyond, IN_REDIS);
}
