//! The examples that need more than a look, run as the README says.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use cache_tests::{RedisServer, within};
use tokio::process::Command;

/// Enough for the example to be built first.
const LIMIT: Duration = Duration::from_secs(1_200);

struct Run {
    ok: bool,
    stdout: String,
    stderr: String,
}

/// `cargo run --example` from the workspace's root.
async fn example(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO"));
    // What cargo tells a test of its package would look to build scripts like another package's.
    for (variable, _) in std::env::vars_os() {
        let bytes = variable.as_encoded_bytes();
        let of_package = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_CRATE_",
            "CARGO_BIN_",
        ];
        let of_redis = ["REDIS_", "AZURE_"];
        let mut unwanted = of_package.iter().chain(&of_redis);
        if unwanted.any(|start| bytes.starts_with(start.as_bytes())) {
            command.env_remove(variable);
        }
    }
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["run", "--quiet", "--example", name, "--"])
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output: Output = within(&format!("the example `{name}`"), LIMIT, command.output())
        .await
        .expect("cargo can be started");
    Run {
        ok: output.status.success(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

async fn entra(arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    example("entra", arguments, variables).await
}

/// The number before this text, on the line that has it.
fn number_before(text: &str, what: &str) -> u64 {
    let before = text.split(what).next().filter(|before| *before != text);
    let number = before.and_then(|before| before.split([' ', '\n', '(']).next_back());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no number before `{what}` in:\n{text}"))
}

#[tokio::test]
async fn entra_shows_rotations_under_load_and_no_call_fails() {
    // What it finds in its environment leads nowhere; the timeout is generous for a busy machine.
    let variables = [
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("REDIS_PASSWORD", "of another server"),
        ("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential"),
        ("AZURE_CLIENT_ID", "of another service"),
        ("REDIS_TIMEOUT", "10s"),
    ];
    let run = entra(&["--local", "--seconds", "8", "--life", "4"], &variables).await;
    let text = format!("{}{}", run.stdout, run.stderr);
    assert!(run.ok, "it failed:\n{text}");
    assert!(
        text.contains("with a token of ManagedIdentityCredential"),
        "{text}"
    );
    assert!(text.contains(", 0 failed; "), "{text}");
    assert!(text.contains("cache errors: none"), "{text}");
    assert!(text.contains("<- rotation 1"), "{text}");
    assert!(number_before(&text, " calls and") > 100, "{text}");
    assert!(number_before(&text, " commands,") > 20, "{text}");
    assert!(number_before(&text, " hits,") > 0, "{text}");
    // Both sides counted them: the service, and the Redis that it logged in to.
    assert!(number_before(&text, " rotations.") >= 1, "{text}");
    assert!(number_before(&text, " tokens, of which") >= 2, "{text}");
    assert!(number_before(&text, " have ended") >= 1, "{text}");
    assert!(text.contains("It refused 0 logins"), "{text}");
}

#[tokio::test]
async fn entra_says_what_to_type() {
    // An empty variable is one that is not set.
    for variables in [&[][..], &[("REDIS_HOST", "")]] {
        let run = entra(&[], variables).await;
        assert!(!run.ok && run.stdout.is_empty(), "{}", run.stdout);
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("REDIS_HOST="), "{lines:#?}");
        assert!(
            lines[1].ends_with("cargo run --example entra -- --local"),
            "{lines:#?}"
        );
    }
}

#[tokio::test]
async fn entra_refuses_what_it_does_not_know() {
    for (arguments, say) in [
        (
            &["--lokal"][..],
            "unknown argument `--lokal`; there are --local, --seconds N, --every N and, with --local, --life N",
        ),
        (
            &["--local", "--seconds"],
            "`--seconds` needs a number; write whole seconds, 1 or more",
        ),
        (
            &["--local", "--life", "3"],
            "`--life` needs a number; write whole seconds, 4 or more",
        ),
        (
            &["--life", "4"],
            "`--life` is for tokens of `--local`; add that, or remove this",
        ),
    ] {
        let run = entra(arguments, &[]).await;
        assert!(!run.ok && run.stdout.is_empty(), "{}", run.stdout);
        assert_eq!(run.stderr, format!("{say}\n"));
    }
}

/// The calls that `freshness` tells of, in three parts: slow, down, back.
fn parts(text: &str) -> [Vec<&str>; 3] {
    let heads = ["The source takes", "It falls over", "It is back."];
    heads.map(|head| {
        let part = text.split(head).nth(1).unwrap_or_default();
        let lines = part.lines().skip_while(|line| !line.contains(" waited "));
        lines.skip(1).take_while(|line| !line.is_empty()).collect()
    })
}

#[tokio::test]
async fn freshness_answers_every_call_while_the_source_is_down() {
    let server = RedisServer::start().await;
    let url = server.url();
    let redis = [("REDIS_URL", url.as_str()), ("REDIS_TIMEOUT", "30s")];
    let (in_process, in_redis) = tokio::join!(
        example("freshness", &[], &[]),
        example("freshness", &[], &redis)
    );
    for (run, place) in [
        (in_process, "Values are kept in this process."),
        (in_redis, "Values are kept in Redis at 127.0.0.1:"),
    ] {
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(run.ok, "it failed:\n{text}");
        assert!(text.starts_with(place), "{text}");
        let [slow, down, back] = parts(&run.stdout);
        // The first call waits; what comes later is told apart by where it is from.
        assert!(slow[0].contains(" edition 1 "), "{text}");
        assert!(slow[0].contains(" Miss "), "{text}");
        assert!(slow.iter().any(|line| line.contains(" Hit ")), "{text}");
        assert!(slow.iter().any(|line| line.ends_with("is asked")), "{text}");
        assert!(down.iter().any(|line| line.contains(" Stale ")), "{text}");
        assert!(!down.iter().any(|line| line.contains(" Miss ")), "{text}");
        assert!(
            back.last().is_some_and(|line| line.contains(" Hit ")),
            "{text}"
        );
        assert!(number_before(&text, " calls,") > 8, "{text}");
        assert_eq!(number_before(&text, " errors."), 0, "{text}");
        assert!(number_before(&text, " times, and failed") >= 4, "{text}");
        assert!(number_before(&text, " times.") >= 2, "{text}");
    }
}
