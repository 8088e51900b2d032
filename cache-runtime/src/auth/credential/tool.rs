//! Runs `az` and `azd`.
//!
//! The one rule: **a tool ends with the request that started it.** `az` is a script that starts Python, so the
//! whole group of processes is ended: one that is left would hold the locks of the tool's files against the next run.

use std::{
    ffi::OsStr,
    io,
    process::{Output, Stdio},
};

use azure_identity::Executor;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

use super::failure::TokenFailure;

/// The most bytes that are read of a tool's output. A token is a few KiB long, and a tool may write without end.
const OUTPUT: u64 = 1 << 20;

/// The status with which a shell says that there is no program of that name (POSIX, XCU 2.8.2).
const NOT_FOUND: i32 = 127;

/// Runs the commands of the tool with this name, and says why one failed.
#[derive(Debug)]
pub(super) struct Tool(pub(super) &'static str);

#[async_trait::async_trait]
impl Executor for Tool {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let output = RunningTool::start(program, args)?.output().await?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let text = if output.status.code() == Some(NOT_FOUND) || said.contains("is not recognized")
        {
            format!("`{}` was not found on PATH", self.0)
        } else {
            match complaint(&said) {
                Some(complaint) => format!("`{}` says: {complaint}", self.0),
                None => format!("`{}` failed ({})", self.0, output.status),
            }
        };
        Err(io::Error::other(TokenFailure::refused(text)))
    }
}

/// The line of the standard error that says why a tool failed: `az` writes warnings before that line, `azd` writes JSON.
fn complaint(said: &str) -> Option<String> {
    let lines = || {
        said.lines()
            .filter_map(|line| {
                let Ok(record) = serde_json::from_str::<Value>(line) else {
                    return Some(line.to_owned());
                };
                Some(record.pointer("/data/message")?.as_str()?.to_owned())
            })
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
    };
    let error = |line: String| {
        line.strip_prefix("ERROR:")
            .map(|rest| rest.trim().to_owned())
    };
    lines().find_map(error).or_else(|| lines().next())
}

/// A running tool, in a group of processes of its own, which is ended when this is dropped.
struct RunningTool(Child);

impl RunningTool {
    fn start(program: &OsStr, args: &[&OsStr]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(args)
            // Nobody is there to answer a question.
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map(Self)
    }

    async fn output(mut self) -> io::Result<Output> {
        let stdout = self.0.stdout.take();
        let stderr = self.0.stderr.take();
        let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
        // Waited for last, because from then on its number may be that of another process.
        Ok(Output {
            status: self.0.wait().await?,
            stdout,
            stderr,
        })
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

impl Drop for RunningTool {
    fn drop(&mut self) {
        // On other systems `kill_on_drop` ends the tool's first process. `id` is `None` once a child was waited for, so no
        // other process is hit.
        #[cfg(unix)]
        if let Some(group) = self
            .0
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?))
        {
            // Fails if all processes of the group have ended.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests;
