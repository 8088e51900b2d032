//! Every log line at TRACE, and the proof that no secret is in it.

use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::Subscriber;
use tracing::subscriber::DefaultGuard;
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
        let logs = Self::default();
        let guard = tracing::subscriber::set_default(logs.subscriber());
        (logs, guard)
    }

    /// Captures what every thread of this process logs, from the first call on.
    ///
    /// # Panics
    ///
    /// Panics when something else has set the global subscriber.
    #[must_use]
    pub fn global() -> Self {
        static GLOBAL: LazyLock<Logs> = LazyLock::new(|| {
            let logs = Logs::default();
            tracing::subscriber::set_global_default(logs.subscriber())
                .expect("the first global subscriber of this process");
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
