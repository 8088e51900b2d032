//! The stand-ins for `az` and `azd`: shell scripts that ask the provider through pipes, and print what it says.
//!
//! Each is, as the real `az` is, a launcher whose work a child process does: who ends only the launcher
//! leaves the other behind. The child holds its own pipe open until it ends, so the provider sees that.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Weak};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, Interest};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::behaviour::Source;
use super::issued::Issued;
use super::shared::{Answer, Asked, Shared, UnderWay};
use crate::background;

/// The scripts; dropped, those that still wait fail.
pub(super) struct Tools {
    folder: PathBuf,
    _end: watch::Sender<()>,
}

impl Tools {
    /// Writes the scripts into a folder, and answers them.
    pub(super) fn new(folder: PathBuf, shared: Arc<Shared>) -> Self {
        fs::create_dir(&folder).expect("a writable directory");
        let requests = folder.join("requests");
        let made = Command::new("mkfifo").arg(&requests).status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "cannot make the pipe {}; is `mkfifo` installed?",
            requests.display()
        );
        write_script(&folder.join("ask"), &asking(&folder));
        for tool in ["az", "azd"] {
            write_script(&folder.join(tool), &launching(&folder, tool));
        }
        // Open for writing as well: the pipe then has no end while nobody asks.
        let requests = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&requests)
            .expect("the pipe that was just made");
        let (end, ended) = watch::channel(());
        background::spawn(listen(requests, folder.clone(), shared, ended));
        Self { folder, _end: end }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        // Who has not yet asked shall find nobody to ask, rather than wait.
        let _ = fs::remove_file(self.folder.join("requests"));
    }
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .expect("a writable directory");
}

fn launching(folder: &Path, tool: &str) -> String {
    let folder = folder.display();
    format!("#!/bin/sh\n/bin/sh '{folder}/ask' {tool} \"$@\"\nexit \"$?\"\n")
}

/// The answer is a line with the exit status, then lines to print, then a dot.
fn asking(folder: &Path) -> String {
    format!(
        r#"#!/bin/sh
PATH=/usr/bin:/bin:$PATH
cd '{}' || exit 3
mkfifo "$$" || exit 3
exec 3<>"$$"
test -p requests || exit 3
printf '%s\n' "$$ $*" >requests || exit 3
IFS= read -r status <&3
while IFS= read -r line <&3 && [ "$line" != . ]; do
    if [ "$status" = 0 ]; then
        printf '%s\n' "$line"
    else
        printf '%s\n' "$line" >&2
    fi
done
rm -f "$$"
exit "$status"
"#,
        folder.display()
    )
}

async fn listen(
    requests: File,
    folder: PathBuf,
    shared: Arc<Shared>,
    mut ended: watch::Receiver<()>,
) {
    let requests = pipe::Receiver::from_file(requests).expect("a pipe that can be read");
    let mut lines = BufReader::new(requests).lines();
    let mut calls: Vec<Weak<Call>> = Vec::new();
    loop {
        let line = tokio::select! {
            // In this order: who has asked before the end is told of it.
            biased;
            line = lines.next_line() => line,
            // Its sender never sends: it only goes away.
            _ = ended.changed() => return,
        };
        let Ok(Some(line)) = line else { return };
        let Some((pid, words)) = line.split_once(' ') else {
            continue;
        };
        // An error means that the script has ended already.
        let Ok(pipe) = pipe::OpenOptions::new().open_sender(folder.join(pid)) else {
            continue;
        };
        // A process may have ended whose task has not heard of it yet: they did not run at once.
        calls.retain(|call| call.upgrade().is_some_and(|call| !call.end_if_closed()));
        let Some(asked) = asked(pid, words) else {
            let text = format!("ERROR: '{words}' is not in the command group.");
            background::spawn(async move { print(&pipe, Printed { status: 2, text }).await });
            continue;
        };
        let call = Arc::new(Call {
            source: asked.source,
            under_way: shared.receive(asked),
            pipe,
        });
        calls.push(Arc::downgrade(&call));
        let (shared, ended) = (shared.clone(), ended.clone());
        background::spawn(async move { call.serve(&shared, ended).await });
    }
}

/// What a tool prints, as output where it succeeds, else as errors.
struct Printed {
    status: u8,
    text: String,
}

impl Printed {
    fn failure(text: &str) -> Self {
        Self {
            status: 1,
            text: text.to_owned(),
        }
    }
}

/// A script's run.
struct Call {
    source: Source,
    under_way: UnderWay,
    pipe: pipe::Sender,
}

impl Call {
    async fn serve(&self, shared: &Shared, mut ended: watch::Receiver<()>) {
        let is_down = shared.state().is_down;
        let printed = if is_down {
            Printed::failure("ERROR: Failed to establish a new connection: Connection refused")
        } else {
            tokio::select! {
                () = self.closed() => return,
                _ = ended.changed() => Printed::failure("ERROR: the identity provider is gone."),
                answer = self.under_way.answer(None) => self.printed(answer, &shared.tenant),
            }
        };
        // Before the process hears of it: once it has ended, the next may ask.
        self.under_way.end();
        print(&self.pipe, printed).await;
    }

    fn printed(&self, answer: Answer, tenant: &str) -> Printed {
        match answer {
            Answer::Token(issued) => token(self.source, &issued, tenant),
            Answer::Unknown => logged_out(self.source),
            Answer::Reply(reply) => Printed::failure(&format!("ERROR: {}", reply.body)),
            Answer::Garbage => Printed {
                status: 0,
                text: "WARNING: a new version is out".to_owned(),
            },
        }
    }

    /// Returns when the script's side is closed: when its process has ended.
    async fn closed(&self) {
        // The kernel tells the writer of a pipe that nobody reads any more as an error.
        let _ = self.pipe.ready(Interest::ERROR).await;
    }

    /// As [`closed`](Self::closed), but at once, whatever the runtime has heard by now.
    fn end_if_closed(&self) -> bool {
        let mut pipes = [PollFd::new(&self.pipe, PollFlags::empty())];
        let at_once = Timespec::default();
        let is_closed =
            poll(&mut pipes, Some(&at_once)).is_ok() && pipes[0].revents().contains(PollFlags::ERR);
        if is_closed {
            self.under_way.end();
        }
        is_closed
    }
}

/// What a process asks for, if it asks as one asks the real tools for a token.
fn asked(pid: &str, words: &str) -> Option<Asked> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let (source, rest) = match words.as_slice() {
        ["az", "account", "get-access-token", rest @ ..] => (Source::AzureCli, rest),
        ["azd", "auth", "token", rest @ ..] => (Source::AzureDeveloperCli, rest),
        _ => return None,
    };
    let after = |name: &str| rest.iter().skip_while(|word| **word != name).nth(1);
    let is_json = after("-o").or(after("--output")) == Some(&"json");
    let scope = after("--scope").filter(|_| is_json)?;
    Some(Asked {
        source,
        client_id: None,
        resource: (*scope).to_owned(),
        pid: Some(pid.parse().ok()?),
    })
}

fn token(source: Source, issued: &Issued, tenant: &str) -> Printed {
    let time = humantime::format_rfc3339_seconds(issued.expires).to_string();
    let text = if source == Source::AzureCli {
        json!({
            "accessToken": issued.token,
            // The local time, as the real one writes it: nobody can tell which.
            "expiresOn": format!("{}.000000", time.replace('T', " ").trim_end_matches('Z')),
            "expires_on": issued.expires_on(),
            "subscription": "00000000-0000-4000-8000-000000000000",
            "tenant": tenant,
            "tokenType": "Bearer",
        })
    } else {
        json!({ "token": issued.token, "expiresOn": time })
    };
    Printed {
        status: 0,
        text: format!("{text:#}"),
    }
}

fn logged_out(source: Source) -> Printed {
    if source == Source::AzureCli {
        return Printed::failure("ERROR: Please run 'az login' to setup account.");
    }
    let message = "\nERROR: not logged in, run `azd auth login` to login\n";
    let line = json!({
        "type": "consoleMessage",
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "data": { "message": message },
    });
    Printed::failure(&line.to_string())
}

async fn print(pipe: &pipe::Sender, printed: Printed) {
    let text = format!("{}\n{}\n.\n", printed.status, printed.text);
    let mut rest = text.as_bytes();
    while !rest.is_empty() && pipe.writable().await.is_ok() {
        match pipe.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // The script has ended.
            Err(_) => return,
        }
    }
}
