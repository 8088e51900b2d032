use super::*;
use crate::error::ErrorKind;

/// Runs a script as azure_identity runs `az`.
async fn run(script: &str) -> Result<Output, TokenFailure> {
    let args = [OsStr::new("-c"), OsStr::new(script)];
    let ran = Tool("az").run(OsStr::new("/bin/sh"), &args).await;
    ran.map_err(|error| TokenFailure::of(&error.into()))
}

#[tokio::test]
async fn a_tool_that_serves_gives_its_output() {
    let output = run("echo out; echo err >&2").await.expect("an output");
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
}

#[tokio::test]
async fn a_tool_that_fails_says_why() {
    for (script, text) in [
        (
            "echo 'WARNING: old' >&2; echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1",
            "`az` says: Please run 'az login' to setup account.",
        ),
        ("echo; echo 'not good' >&2; exit 2", "`az` says: not good"),
        (
            r#"printf '%s\n' '{"type":"consoleMessage","data":{"message":"\nERROR: not logged in"}}' >&2; exit 1"#,
            "`az` says: not logged in",
        ),
        ("no-such-tool-as-this", "`az` was not found on PATH"),
        ("exit 3", "`az` failed (exit status: 3)"),
    ] {
        let failure = run(script).await.expect_err(script);
        assert_eq!(failure.text, text);
        assert_eq!(failure.kind, ErrorKind::Identity);
    }
}

#[tokio::test]
async fn a_tool_that_writes_without_end_is_ended() {
    let failure = run("while :; do echo 0123456789012345678901234567890123456789; done").await;
    // The shell is told that nobody reads any more.
    assert!(failure.is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_tool_ends_with_the_request_and_so_does_what_it_started() {
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, test_kill_process};
    use tokio::io::AsyncBufReadExt as _;

    /// A process that nobody waited for has ended as well.
    fn runs(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            let state = stat.rsplit(')').next().unwrap_or_default();
            !state.trim_start().starts_with('Z')
        })
    }

    let args = [OsStr::new("-c"), OsStr::new("sleep 1000 & echo $!; wait")];
    let mut running = RunningTool::start(OsStr::new("/bin/sh"), &args).expect("a shell");
    let shell = running.0.id().expect("it runs");
    let stdout = running.0.stdout.take().expect("a pipe");
    let mut lines = tokio::io::BufReader::new(stdout).lines();
    let sleep = lines.next_line().await.expect("a line").expect("a number");
    let sleep: u32 = sleep.parse().expect("a number");
    assert!(runs(shell) && runs(sleep));

    drop(running);
    let pid = Pid::from_raw(i32::try_from(shell).expect("a pid")).expect("not 0");
    let start = Instant::now();
    while runs(sleep) || test_kill_process(pid).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "they still run");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
