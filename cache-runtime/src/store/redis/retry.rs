//! Whether a request that failed is sent again, and on which connection.
//!
//! The one rule: **a request is sent again at most once, and only where that is safe.** Pure: what is decided here is
//! done in [`send`](super::send).
//!
//! | what happened to it | [`Repeat`] | sent before | then |
//! |---|---|---|---|
//! | the connection broke | safe | no | again, on a new connection |
//! | the connection broke | unsafe | no | given up, because it may have been executed |
//! | not executed here: `NOAUTH`, `READONLY`, `MOVED`, `MASTERDOWN` | either | no | again, on a connection that may lead to another server, unless such a one was made a moment ago |
//! | not executed yet: `LOADING`, `TRYAGAIN`, `BUSY`, `CLUSTERDOWN` | either | no | again, on the same connection, after [`BUSY_PAUSE`] |
//! | refused, whatever else the server said | either | no | given up, because that is the server's last word |
//! | any of these | either | yes | given up |
//!
//! A request that timed out does not come here, because its time is spent.

use std::time::Duration;

use redis::RedisError;

/// Before a request is sent again to a server that is busy with itself.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// What a request does if it is executed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same as once: a read, a delete, or a store that compares.
    Safe,
    /// Something else.
    Unsafe,
}

/// What an error of redis-rs says about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The connection broke: it may have been executed or not.
    Broken,
    /// This server will not execute it; another connection may lead to one that does.
    NotExecutedHere,
    /// The server will execute it in a moment.
    NotExecutedYet,
    /// The server's last word.
    Refused,
}

/// How a request is sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// On the connection that stands, after [`BUSY_PAUSE`].
    SameConnection,
    /// On a new connection, at once.
    NewConnection,
    /// On a new connection in the place of one that works, to find another server.
    OtherServer,
}

impl FailureKind {
    pub(super) fn of(error: &RedisError) -> Self {
        // Whatever the socket says (a TCP timeout too), the connection is of no more use.
        if error.kind() == redis::ErrorKind::Io || error.is_unrecoverable_error() {
            return Self::Broken;
        }
        match error.code() {
            Some("NOAUTH" | "READONLY" | "MOVED" | "MASTERDOWN") => Self::NotExecutedHere,
            Some("LOADING" | "TRYAGAIN" | "BUSY" | "CLUSTERDOWN") => Self::NotExecutedYet,
            _ => Self::Refused,
        }
    }

    /// Whether the server answered at all.
    pub(super) fn is_reply(self) -> bool {
        self != Self::Broken
    }

    /// How the request is sent again, if it is. `before`: how it was already sent again.
    pub(super) fn again(self, repeat: Repeat, before: Option<Again>) -> Option<Again> {
        match (before, self, repeat) {
            (Some(_), _, _) => None,
            (None, Self::Broken, Repeat::Safe) => Some(Again::NewConnection),
            (None, Self::Broken, Repeat::Unsafe) => None,
            (None, Self::NotExecutedHere, _) => Some(Again::OtherServer),
            (None, Self::NotExecutedYet, _) => Some(Again::SameConnection),
            (None, Self::Refused, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPEATS: [Repeat; 2] = [Repeat::Safe, Repeat::Unsafe];

    const FAILURES: [FailureKind; 4] = [
        FailureKind::Broken,
        FailureKind::NotExecutedHere,
        FailureKind::NotExecutedYet,
        FailureKind::Refused,
    ];

    #[test]
    fn a_first_failure_is_followed_by_what_the_table_says() {
        let then = REPEATS.map(|repeat| FAILURES.map(|failure| failure.again(repeat, None)));
        let not_executed = [Some(Again::OtherServer), Some(Again::SameConnection), None];
        let [here, yet, refused] = not_executed;
        let safe = [Some(Again::NewConnection), here, yet, refused];
        let unsafe_ = [None, here, yet, refused];
        assert_eq!(then, [safe, unsafe_]);
    }

    #[test]
    fn nothing_is_sent_a_third_time() {
        let before = [
            Again::SameConnection,
            Again::NewConnection,
            Again::OtherServer,
        ];
        for before in before {
            for repeat in REPEATS {
                let then = FAILURES.map(|failure| failure.again(repeat, Some(before)));
                assert_eq!(then, [None; 4], "{repeat:?} after {before:?}");
            }
        }
    }

    #[test]
    fn an_answer_says_by_its_code_whether_the_request_was_executed() {
        let answered = |code: &str| {
            let answer = format!("-{code} for a reason\r\n");
            let value = redis::parse_redis_value(answer.as_bytes()).unwrap();
            FailureKind::of(&value.extract_error().unwrap_err())
        };
        for (codes, failure) in [
            (
                &["NOAUTH", "READONLY", "MOVED", "MASTERDOWN"][..],
                FailureKind::NotExecutedHere,
            ),
            (
                &["LOADING", "TRYAGAIN", "BUSY", "CLUSTERDOWN"],
                FailureKind::NotExecutedYet,
            ),
            (
                &["ERR", "OOM", "NOPERM", "WRONGTYPE", "NOSCRIPT", "CROSSSLOT"],
                FailureKind::Refused,
            ),
        ] {
            for code in codes {
                assert_eq!(answered(code), failure, "{code}");
                assert!(answered(code).is_reply(), "{code}");
            }
        }
        let reset = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(FailureKind::of(&reset), FailureKind::Broken);
        assert!(!FailureKind::of(&reset).is_reply());
    }
}
