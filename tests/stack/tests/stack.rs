//! P11: the stack that a call takes does not grow with its value by more than a small factor, and a cached function
//! may call itself.
//!
//! The one rule: **what is measured is the smallest stack of a thread that is enough**, found by halving; too
//! little ends a process, so each try has one of its own.
#![allow(missing_docs)]

#[path = "../../instructions/tests/server/mod.rs"]
mod server;

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
};

use server::Server;

/// What is allowed, which is what was reached and a little more.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The stack for a value of n bytes beyond that for a small one, in n.
    times: usize,
    /// So many levels of a function that calls itself fit into the stack of a worker of tokio's.
    levels: usize,
}

const fn limits(times: usize, levels: usize) -> Limits {
    Limits { times, levels }
}

/// In process, in Redis, and under `NoStore`.
const LIMITS: [Limits; 3] = match cfg!(debug_assertions) {
    false => [limits(4, 1_400), limits(4, 1_400), limits(4, 1_700)],
    // A build that is not optimised has a copy of the value for each frame that hands it on.
    true => [limits(15, 500), limits(15, 500), limits(16, 600)],
};
const IN_PROCESS: Limits = LIMITS[0];
const IN_REDIS: Limits = LIMITS[1];
const UNDER_NO_STORE: Limits = LIMITS[2];

const KIB: usize = 1024;
const VALUES: [usize; 3] = [KIB, 32 * KIB, 256 * KIB];
/// A thread has no less.
const LEAST: usize = 16 * KIB;
/// Tokio's own, of each worker.
const WORKER: usize = 2 * KIB * KIB;

/// Whether so much stack is enough for the call.
fn is_enough(place: &str, what: &str, much: usize, stack: usize) -> bool {
    let output = Command::new("sh")
        // What a crash leaves behind would fill the disk.
        .args(["-c", "ulimit -c 0 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_cache-stack"))
        .args([place, what, &much.to_string(), &stack.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    let is_overflow = output.status.signal().is_some();
    assert!(
        output.status.success() || is_overflow,
        "{what} {much} with {stack} bytes of stack: {}\n{said}",
        output.status
    );
    !is_overflow
}

/// The smallest stack that is enough, to within `step`.
fn stack(place: &str, what: &str, much: usize, step: usize) -> usize {
    let mut enough = 64 * KIB;
    while !is_enough(place, what, much, enough) {
        enough *= 2;
        assert!(enough <= 1024 * KIB * KIB, "{what} {much} has no end");
    }
    let mut little = if enough == 64 * KIB {
        LEAST
    } else {
        enough / 2
    };
    while enough - little > step {
        let middle = little.midpoint(enough);
        if is_enough(place, what, much, middle) {
            enough = middle;
        } else {
            little = middle;
        }
    }
    enough
}

/// The most levels that fit into a worker's stack.
fn levels(place: &str) -> usize {
    let is_enough = |levels| is_enough(place, "depth", levels, WORKER);
    let (mut fits, mut many) = (0, 64);
    while is_enough(many) {
        fits = many;
        many *= 2;
    }
    while many - fits > 1 {
        let middle = fits.midpoint(many);
        if is_enough(middle) {
            fits = middle;
        } else {
            many = middle;
        }
    }
    fits
}

#[track_caller]
fn check_values(name: &str, place: &str, limits: Limits) {
    // What a call takes whatever its value, with all that lies below it.
    let alone = stack(place, "value", 1, KIB);
    eprintln!("{name}: {} KiB of stack for a small value", alone / KIB);
    let mut over = Vec::new();
    for bytes in VALUES {
        let beyond = stack(place, "value", bytes, bytes.max(8 * KIB) / 8).saturating_sub(alone);
        let times = beyond as f64 / bytes as f64;
        let line = format!(
            "{name}: {times:.1} times a value of {} KiB; at most {}",
            bytes / KIB,
            limits.times
        );
        eprintln!("{line}");
        if beyond > limits.times * bytes {
            over.push(line);
        }
    }
    assert!(over.is_empty(), "too much stack:\n{}", over.join("\n"));
}

#[track_caller]
fn check_levels(name: &str, place: &str, limits: Limits) {
    let fit = levels(place);
    let line = format!(
        "{name}: {fit} levels in 2 MiB of stack; at least {}",
        limits.levels
    );
    eprintln!("{line}");
    assert!(fit >= limits.levels, "{line}");
}

#[test]
fn p11_the_stack_for_a_value_in_process() {
    check_values("in process", "process", IN_PROCESS);
}

#[test]
fn p11_the_stack_for_a_value_in_redis() {
    let server = Server::start();
    check_values("in Redis", server.url(), IN_REDIS);
}

#[test]
fn p11_the_stack_for_a_value_under_no_store() {
    check_values("under `NoStore`", "bypass", UNDER_NO_STORE);
}

#[test]
fn p11_levels_of_a_function_that_calls_itself_in_process() {
    check_levels("in process", "process", IN_PROCESS);
}

#[test]
fn p11_levels_of_a_function_that_calls_itself_in_redis() {
    let server = Server::start();
    check_levels("in Redis", server.url(), IN_REDIS);
}

#[test]
fn p11_levels_of_a_function_that_calls_itself_under_no_store() {
    check_levels("under `NoStore`", "bypass", UNDER_NO_STORE);
}
