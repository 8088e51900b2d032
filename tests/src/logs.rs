//! Every log line at TRACE, and the proof that no secret is in it.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Captured log lines, with the fields of their spans; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    text: Arc<Mutex<Vec<u8>>>,
}

impl Logs {
    /// Captures what this thread logs, until the guard is dropped.
    ///
    /// That is all of a test only on a current-thread runtime; else see [`global`](Self::global).
    #[must_use]
    pub fn of_this_thread() -> (Self, DefaultGuard) {
        // What an event's place in the code asks once, as others run there without a subscriber, is remembered. This
        // one, which nobody writes to, says from then on that somebody may want it.
        static SOMEBODY: LazyLock<Dispatch> =
            LazyLock::new(|| Dispatch::new(Logs::default().subscriber()));
        LazyLock::force(&SOMEBODY);
        let logs = Self::default();
        let guard = tracing::subscriber::set_default(logs.subscriber());
        (logs, guard)
    }

    /// Captures what every thread of this process logs, from the first call on, by `tracing` and by `log`.
    ///
    /// # Panics
    ///
    /// Panics when something else has set the global subscriber or logger.
    #[must_use]
    pub fn global() -> Self {
        static GLOBAL: LazyLock<Logs> = LazyLock::new(|| {
            let logs = Logs::default();
            tracing::subscriber::set_global_default(logs.subscriber())
                .expect("the first global subscriber of this process");
            log::set_boxed_logger(Box::new(logs.clone()))
                .expect("the first logger of this process");
            log::set_max_level(log::LevelFilter::Trace);
            logs
        });
        GLOBAL.clone()
    }

    fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish()
    }

    /// All that was captured so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The captured lines that hold `part`.
    #[must_use]
    pub fn lines_with(&self, part: &str) -> Vec<String> {
        self.text()
            .lines()
            .filter(|line| line.contains(part))
            .map(str::to_owned)
            .collect()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What reqwest and rustls log.
impl log::Log for Logs {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let (level, target, text) = (record.level(), record.target(), record.args());
        let line = format!("{level} {target}: {text}\n");
        self.bytes().extend_from_slice(line.as_bytes());
    }

    fn flush(&self) {}
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Asserts that a text holds a secret in no form in which it could have come there: as it is,
/// percent-encoded, and as bytes that somebody printed with `{:?}` or in hexadecimal.
///
/// # Panics
///
/// Panics where it does, with the line; also for an empty secret.
#[track_caller]
pub fn assert_never_holds(secret: &str, text: &str) {
    assert!(!secret.is_empty(), "every text holds an empty secret");
    for (form, needle) in forms(secret) {
        if let Some(at) = text.find(&needle) {
            let line = text[at..]
                .find('\n')
                .map_or(text.len(), |length| at + length);
            let start = text[..at].rfind('\n').map_or(0, |before| before + 1);
            panic!("a secret got out {form}: {}", &text[start..line]);
        }
    }
}

/// Asserts that a text holds no 16 characters in a row of any of these random secrets: as they are, in
/// hexadecimal, and as bytes that somebody printed with `{:?}`.
///
/// # Panics
///
/// Panics where it does, with the line.
#[track_caller]
pub fn assert_holds_no_part(secrets: &[String], text: &str) {
    for (form, text, encode) in [
        (
            "as it is",
            text.as_bytes(),
            <[u8]>::to_vec as fn(&[u8]) -> Vec<u8>,
        ),
        (
            "in hexadecimal",
            text.to_ascii_lowercase().as_bytes(),
            hexadecimal,
        ),
        ("as a list of bytes", &listed(text), <[u8]>::to_vec),
    ] {
        // Of 16 characters in a row, 8 are one of these.
        let parts: HashSet<Vec<u8>> = secrets
            .iter()
            .flat_map(|secret| secret.as_bytes().chunks_exact(8).map(encode))
            .collect();
        let length = parts.iter().next().map_or(8, Vec::len);
        // Most of a long text is told from all of them by this.
        let mut may_begin = vec![false; 1 << 16];
        for part in &parts {
            may_begin[place(part)] = true;
        }
        let found = text
            .windows(length)
            .position(|part| may_begin[place(part)] && parts.contains(part));
        if let Some(at) = found {
            let before = text[..at].iter().rposition(|byte| *byte == b'\n');
            let start = before.map_or(0, |before| before + 1);
            let line = text[at..].iter().position(|byte| *byte == b'\n');
            let end = line.map_or(text.len(), |length| at + length);
            let line = String::from_utf8_lossy(&text[start..end]);
            panic!("a part of a secret got out {form}: {line}");
        }
    }
}

/// A number for the first eight bytes, of 16 bits.
fn place(part: &[u8]) -> usize {
    let bytes = part.first_chunk().expect("a part has 8 bytes or more");
    usize::from((u64::from_le_bytes(*bytes).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16)
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into_bytes()
}

/// The numbers of the text that commas part, as bytes; a line's end for all else.
fn listed(text: &str) -> Vec<u8> {
    let number = |item: &str| item.trim_matches(|c: char| !c.is_ascii_digit()).parse();
    text.split(',')
        .map(|item| number(item).unwrap_or(b'\n'))
        .collect()
}

fn forms(secret: &str) -> [(&'static str, String); 6] {
    let per_byte = |f: fn(&u8) -> String| secret.as_bytes().iter().map(f).collect::<Vec<_>>();
    let encode = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(*byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    [
        ("as it is", secret.to_owned()),
        ("escaped", secret.escape_debug().to_string()),
        ("percent-encoded", per_byte(encode).concat()),
        ("percent-encoded as a URL's password", as_password(secret)),
        ("as a list of bytes", per_byte(u8::to_string).join(", ")),
        (
            "in hexadecimal",
            per_byte(|byte| format!("{byte:02x}")).concat(),
        ),
    ]
}

fn as_password(secret: &str) -> String {
    let mut url = url::Url::parse("redis://host/").expect("a valid URL");
    url.set_password(Some(secret)).expect("the URL has a host");
    url.password().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";

    fn is_found(text: &str) -> bool {
        let secrets = ["-".repeat(8), SECRET.to_owned()];
        std::panic::catch_unwind(|| assert_holds_no_part(&secrets, text)).is_err()
    }

    #[test]
    fn a_part_of_a_secret_is_found_wherever_it_begins() {
        for start in 0..SECRET.len() - 16 {
            let part = &SECRET[start..start + 16];
            assert!(is_found(&format!("line\nx={part}; y")), "{part}");
            let bytes = &SECRET.as_bytes()[start..start + 16];
            assert!(
                is_found(&format!("x={bytes:x?}").replace([',', ' '], "")),
                "{part}"
            );
            assert!(is_found(&format!("x, {bytes:?}, y")), "{part}");
            assert!(is_found(&format!("x: {bytes:#?}")), "{part}");
        }
        assert!(!is_found("ABCDEFG IJKLMNO, 65, 66, 67, 68, 69, 70, 71"));
    }
}
