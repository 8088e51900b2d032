//! What a server was asked, in the order in which it executed it.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::admin::Admin;
use crate::background;
use crate::wait::{SOON, bounded, within};

/// A recording of `MONITOR`: lines such as `"SET" "user:42" "7"`, without time, database and address.
///
/// Commands inside scripts are there too. What the kit sends is not, and neither is what `MONITOR`
/// leaves out (`AUTH`, for example).
pub struct CommandLog {
    lines: watch::Receiver<Vec<String>>,
    markers: watch::Receiver<u64>,
    admin: Arc<Mutex<Admin>>,
    monitor: UnixStream,
}

/// What the kit says to find its place in the recording.
const MARKER: &str = "cache-tests-marker-";

impl CommandLog {
    pub(super) fn start(mut monitor: Admin, admin: Admin) -> Self {
        monitor
            .command(&["MONITOR"])
            .expect("a server that answers MONITOR");
        let stream = monitor.into_stream().expect("an open socket");
        let (lines_in, lines) = watch::channel(Vec::new());
        let (markers_in, markers) = watch::channel(0);
        let reader = BufReader::new(stream.try_clone().expect("a second handle of a socket"));
        std::thread::Builder::new()
            .name("command-log".to_owned())
            .spawn(move || {
                // Ends when the server does, or with the log.
                for line in reader.lines().map_while(Result::ok) {
                    match parse(&line) {
                        Some(Line::Client(command)) => {
                            lines_in.send_modify(|lines| lines.push(command.to_owned()));
                        }
                        Some(Line::Marker(n)) => {
                            markers_in.send_replace(n);
                        }
                        None => {}
                    }
                }
            })
            .expect("a thread can be started");
        Self {
            lines,
            markers,
            admin: Arc::new(Mutex::new(admin)),
            monitor: stream,
        }
    }

    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// The lines of everything that the server executed before this call.
    ///
    /// # Panics
    ///
    /// Panics when the server does not answer.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn settled(&self) -> Vec<String> {
        let n = fastrand::u64(1..);
        let admin = self.admin.clone();
        background::blocking(move || {
            let mut admin = admin.lock().expect("no command panics");
            admin
                .command(&["ECHO", &format!("{MARKER}{n}")])
                .expect("a server that answers ECHO");
        })
        .await;
        let mut markers = self.markers.clone();
        within(
            "the recording to reach its marker",
            SOON,
            markers.wait_for(|seen| *seen == n),
        )
        .await
        .expect("a server that is still there");
        self.lines()
    }

    /// Waits for a line, also one that is already there, and returns it.
    ///
    /// # Panics
    ///
    /// Panics when none comes in time, with the lines that did.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_for(&self, matches: impl Fn(&str) -> bool) -> String {
        let mut lines = self.lines.clone();
        let find = |lines: &Vec<String>| lines.iter().find(|line| matches(line)).cloned();
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
                "the server did not see the command; it saw {:#?}",
                self.lines()
            ),
        }
    }
}

impl Drop for CommandLog {
    fn drop(&mut self) {
        // Ends the reader's thread; the socket may be gone already.
        let _ = self.monitor.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for CommandLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLog")
            .field("lines", &self.lines.borrow())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, PartialEq)]
enum Line<'a> {
    Client(&'a str),
    Marker(u64),
}

/// `+1700000000.123456 [0 127.0.0.1:41000] "GET" "a"`
fn parse(line: &str) -> Option<Line<'_>> {
    let (head, command) = line.split_once("] ")?;
    let (_, from) = head.split_once(" [")?;
    let (_, address) = from.split_once(' ')?;
    if !address.starts_with("unix:") {
        return Some(Line::Client(command));
    }
    let (_, marker) = command.split_once(MARKER)?;
    marker.trim_end_matches('"').parse().ok().map(Line::Marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_clients_and_scripts_send_is_recorded() {
        let client = r#"+1700000000.123456 [0 127.0.0.1:41000] "GET" "a] b""#;
        assert_eq!(parse(client), Some(Line::Client(r#""GET" "a] b""#)));
        assert_eq!(
            parse(r#"+1.2 [0 lua] "DEL" "a""#),
            Some(Line::Client(r#""DEL" "a""#))
        );
        assert_eq!(parse(r#"+1.2 [0 unix:/tmp/x/redis.sock] "FLUSHALL""#), None);
        let marker = r#"+1.2 [0 unix:/tmp/x/redis.sock] "ECHO" "cache-tests-marker-7""#;
        assert_eq!(parse(marker), Some(Line::Marker(7)));
    }
}
