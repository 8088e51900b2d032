//! Who is logged in on which connection, as the server said it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::watch;

use super::connection::End;

/// How many failed commands are remembered.
const REMEMBERED: usize = 10_000;

/// A password that was seen, by its hash: it can be compared, and nobody can read it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret(u64);

impl Secret {
    /// That of a password, or of a token in its place.
    #[must_use]
    pub fn of(password: impl AsRef<[u8]>) -> Self {
        let mut hasher = DefaultHasher::new();
        password.as_ref().hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:016x})", self.0)
    }
}

/// What the server said to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `OK`, or what `HELLO` answers.
    Accepted,
    /// An error.
    Refused,
    /// Neither: what answers another command, for example.
    Strange,
}

/// An `AUTH`, or a `HELLO` with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its connection: 1 is the first that the proxy accepted.
    pub connection: u64,
    /// The user's name; `default` where the command has none.
    pub user: String,
    /// What was offered as the password.
    pub secret: Secret,
    /// Whether the connection was logged in already.
    pub in_place: bool,
    /// The server's answer; `None` while there is none.
    pub answer: Option<Answer>,
}

/// A command that the server answered with an error.
///
/// What clients greet with (`HELLO`, `AUTH`, `CLIENT`, `SELECT`) is left out: they try what a server may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its connection, as in [`Login::connection`].
    pub connection: u64,
    /// The command's name, in capitals.
    pub command: String,
    /// The error's line: `NOPERM …`.
    pub error: String,
}

/// What the server's reply says of the command that it answers.
#[derive(Debug)]
pub(super) enum Verdict {
    Login(u64, Answer),
    Failure { command: String, error: String },
}

/// The user and the password with which a command logs in.
pub(super) fn credentials(args: &[Vec<u8>]) -> Option<(String, Secret)> {
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    let user = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    match args {
        [name, password] if is(name, "AUTH") => Some(("default".to_owned(), Secret::of(password))),
        [name, login, password] if is(name, "AUTH") => Some((user(login), Secret::of(password))),
        [name, options @ ..] if is(name, "HELLO") => options
            .windows(3)
            .find(|option| is(&option[0], "AUTH"))
            .map(|option| (user(&option[1]), Secret::of(&option[2]))),
        _ => None,
    }
}

/// Whether clients send a command of this name before a connection is used.
pub(super) fn is_greeting(name: &[u8]) -> bool {
    let names = ["HELLO", "AUTH", "CLIENT", "SELECT"];
    names
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[derive(Debug)]
struct Session {
    end: watch::Sender<Option<End>>,
    /// What the last accepted login offered.
    secret: Option<Secret>,
}

/// The open connections, and what is remembered of all.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: HashMap<u64, Session>,
    /// Never set back: an id belongs to one connection, or to one login.
    last_id: u64,
    last_login: u64,
    accepted: u64,
    most_open: usize,
    logins: BTreeMap<u64, Login>,
    failures: VecDeque<Failure>,
    unanswered: u64,
    /// No connection lives on by one of these.
    withdrawn: HashSet<Secret>,
}

impl Sessions {
    pub(super) fn enter(&mut self) -> (u64, watch::Sender<Option<End>>) {
        self.accepted += 1;
        self.last_id += 1;
        let end = watch::Sender::new(None);
        let session = Session {
            end: end.clone(),
            secret: None,
        };
        self.open.insert(self.last_id, session);
        self.most_open = self.most_open.max(self.open.len());
        (self.last_id, end)
    }

    pub(super) fn leave(&mut self, id: u64, unanswered: usize) {
        self.open.remove(&id);
        self.unanswered += unanswered as u64;
    }

    pub(super) fn end_all(&self, end: End) {
        for session in self.open.values() {
            session.end.send_replace(Some(end));
        }
    }

    /// Records a login that is on its way to the server.
    pub(super) fn login(&mut self, connection: u64, args: &[Vec<u8>]) -> Option<u64> {
        let (user, secret) = credentials(args)?;
        let session = self.open.get(&connection);
        let login = Login {
            connection,
            user,
            secret,
            in_place: session.is_some_and(|session| session.secret.is_some()),
            answer: None,
        };
        self.last_login += 1;
        self.logins.insert(self.last_login, login);
        Some(self.last_login)
    }

    pub(super) fn judge(&mut self, connection: u64, verdict: Verdict) {
        match verdict {
            Verdict::Failure { command, error } => {
                if self.failures.len() == REMEMBERED {
                    self.failures.pop_front();
                }
                self.failures.push_back(Failure {
                    connection,
                    command,
                    error,
                });
            }
            Verdict::Login(id, answer) => {
                // Only the logins of closed connections are forgotten before their answer.
                let Some(login) = self.logins.get_mut(&id) else {
                    return;
                };
                login.answer = Some(answer);
                if answer != Answer::Accepted {
                    return;
                }
                if let Some(session) = self.open.get_mut(&connection) {
                    session.secret = Some(login.secret);
                    session.end_if_withdrawn(&self.withdrawn);
                }
            }
        }
    }

    /// Closes the connections whose last accepted login offered this, now and from now on.
    pub(super) fn withdraw(&mut self, secret: Secret) {
        self.withdrawn.insert(secret);
        for session in self.open.values() {
            session.end_if_withdrawn(&self.withdrawn);
        }
    }

    /// Ends [`withdraw`](Self::withdraw) for connections to come.
    pub(super) fn reinstate(&mut self, secret: Secret) {
        self.withdrawn.remove(&secret);
    }

    pub(super) fn forget(&mut self) {
        self.accepted = 0;
        self.most_open = self.open.len();
        // Whoever is just logging in must still be known by its answer.
        let open = &self.open;
        self.logins
            .retain(|_, login| login.answer.is_none() && open.contains_key(&login.connection));
        self.failures.clear();
        self.unanswered = 0;
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn most_open(&self) -> usize {
        self.most_open
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.unanswered
    }

    pub(super) fn logins(&self) -> Vec<Login> {
        self.logins.values().cloned().collect()
    }

    pub(super) fn failures(&self) -> Vec<Failure> {
        self.failures.iter().cloned().collect()
    }

    /// Of each open connection that is logged in, what it logged in with last.
    pub(super) fn in_use(&self) -> BTreeMap<u64, Secret> {
        let sessions = self.open.iter();
        sessions
            .filter_map(|(id, session)| Some((*id, session.secret?)))
            .collect()
    }
}

impl Session {
    fn end_if_withdrawn(&self, withdrawn: &HashSet<Secret>) {
        if self
            .secret
            .is_some_and(|secret| withdrawn.contains(&secret))
        {
            self.end.send_replace(Some(End::Close));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_login_is_known_in_each_form() {
        let of = |words: &[&str]| credentials(&args(words));
        let user = |name: &str| Some((name.to_owned(), Secret::of("token")));
        assert_eq!(of(&["auth", "token"]), user("default"));
        assert_eq!(of(&["AUTH", "u", "token"]), user("u"));
        assert_eq!(of(&["HELLO", "3", "Auth", "u", "token"]), user("u"));
        let named = ["HELLO", "3", "SETNAME", "n", "AUTH", "u", "token"];
        assert_eq!(of(&named), user("u"));
        for other in [
            &["HELLO", "3"] as &[_],
            &["AUTH"],
            &["GET", "AUTH", "a", "b"],
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
        assert!(!format!("{:?}", Secret::of("token")).contains("token"));
    }

    #[test]
    fn a_login_whose_answer_is_late_does_not_outlive_its_password() {
        let mut sessions = Sessions::default();
        let (id, end) = sessions.enter();
        let login = sessions.login(id, &args(&["AUTH", "token"]));
        let accepted = || Verdict::Login(login.unwrap(), Answer::Accepted);
        sessions.withdraw(Secret::of("token"));
        sessions.forget();
        assert_eq!(*end.borrow(), None);
        sessions.judge(id, accepted());
        assert_eq!(*end.borrow(), Some(End::Close));

        end.send_replace(None);
        sessions.reinstate(Secret::of("token"));
        sessions.judge(id, accepted());
        assert_eq!(*end.borrow(), None);
    }
}
