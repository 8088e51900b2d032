//! One row of the tables at a time.

use std::time::Instant;

use super::*;
use crate::auth::secret::Secret;

const MARGIN: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);

/// A wall clock of today, and a steady one.
fn start() -> Now {
    Now {
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000),
        steady: Instant::now(),
    }
}

/// Both clocks, this much later.
fn after(now: Now, time: Duration) -> Now {
    Now {
        wall: now.wall + time,
        steady: now.steady + time,
    }
}

/// The provider gives the token `secret`, which lives for `life`.
fn grant(state: &mut State, secret: &str, now: Now, life: Duration) -> TokenArrival {
    let login = Login {
        username: Some("user".to_owned()),
        password: Secret::new(secret),
    };
    state.granted(login, now.wall + life, Some("credential"), now, 0.0)
}

fn taken() -> TokenArrival {
    TokenArrival::Taken {
        user: Some("user".to_owned()),
    }
}

fn deny(state: &mut State, kind: ErrorKind, now: Now) -> OutageReport {
    state.denied(&Error::new(kind, "no token"), None, false, now, 0.0)
}

/// The token that a new connection is offered.
fn offered(state: &State, now: Now) -> String {
    let token = state.offered(now).expect("a token is in hand");
    token.login().password.expose().to_owned()
}

fn held(state: &State) -> Arc<AccessToken> {
    Arc::clone(state.held().expect("a token is in hand"))
}

/// In hand is `new`, which the server refused; before it, it took `old`.
fn refused_after_one_that_served(now: Now) -> State {
    let mut state = State::new(MARGIN);
    grant(&mut state, "old", now, HOUR);
    state.accepted(&held(&state));
    grant(&mut state, "new", after(now, HOUR / 2), HOUR);
    assert!(state.refused(&held(&state), after(now, HOUR / 2), 0.0));
    state
}

#[test]
fn without_a_token_a_connection_waits_for_the_first_answer() {
    let now = start();
    let mut state = State::new(MARGIN);
    assert!(!state.is_settled(now));
    assert!(state.offered(now).unwrap_err().is_timeout());
    state.asked();
    assert!(!state.is_settled(now));
    deny(&mut state, ErrorKind::Identity, now);
    assert!(state.is_settled(now));
    assert_eq!(
        state.offered(now).unwrap_err().kind(),
        ErrorKind::Identity,
        "the answer's own error"
    );
    // It is told at once, also while the next question is on its way.
    state.asked();
    assert!(state.is_settled(now));
}

#[test]
fn a_token_is_offered_until_there_is_another_one() {
    let now = start();
    let mut state = State::new(MARGIN);
    assert_eq!(grant(&mut state, "one", now, HOUR), taken());
    let later = after(now, HOUR * 2);
    for now in [now, later] {
        assert!(state.is_settled(now));
        assert_eq!(offered(&state, now), "one");
    }
    deny(&mut state, ErrorKind::Connect, later);
    assert_eq!(offered(&state, later), "one");
    assert_eq!(grant(&mut state, "two", later, HOUR), taken());
    assert_eq!(offered(&state, later), "two");
}

#[test]
fn a_connection_waits_for_the_token_that_a_refusal_asks_for() {
    let now = start();
    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    let late = after(now, HOUR / 2);
    assert!(state.refused(&held(&state), late, 0.0));
    assert!(!state.is_settled(late), "the next one is asked for at once");
    deny(&mut state, ErrorKind::Identity, late);
    assert!(state.is_settled(late), "nobody asks");
    assert_eq!(offered(&state, late), "one");
    state.asked();
    assert!(!state.is_settled(late));
    assert!(state.rest());
    assert!(state.is_settled(late));
    assert!(!state.rest(), "nobody asked");
}

#[test]
fn a_refusal_of_a_token_that_just_came_asks_for_nothing_yet() {
    let now = start();
    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    assert!(state.refused(&held(&state), now, 0.0));
    assert!(state.is_settled(now));
    assert_eq!(offered(&state, now), "one");
    // Where the provider is asked anyway, its answer is worth the wait.
    state.asked();
    assert!(!state.is_settled(now));
}

#[test]
fn a_refusal_is_news_once() {
    let now = start();
    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    let one = held(&state);
    assert!(state.refused(&one, now, 0.0));
    assert!(!state.refused(&one, now, 0.0));
    assert_eq!(state.stats(now).failures, 1);
    assert_eq!(state.stats(now).last_error, Some(ErrorKind::Auth));
    assert!(state.accepted(&one), "whoever waits need not any more");
    assert!(!state.accepted(&one));
    assert!(state.refused(&one, now, 0.0));
    grant(&mut state, "two", now, HOUR);
    assert!(!state.refused(&one, now, 0.0), "another one is in hand");
    assert!(!state.accepted(&one), "another one is in hand");
}

#[test]
fn the_token_that_served_stands_in_for_one_that_is_refused_while_it_lives() {
    let now = start();
    let mut state = refused_after_one_that_served(now);
    state.asked();
    let soon = after(now, HOUR / 2);
    assert!(state.is_settled(soon));
    assert_eq!(offered(&state, soon), "old");
    // Its end, by either clock.
    let end = after(now, HOUR);
    assert!(!state.is_settled(end));
    assert_eq!(offered(&state, end), "new");
    // The next token is offered at once, and the one that served stands in for that as well.
    grant(&mut state, "newer", soon, HOUR);
    assert_eq!(offered(&state, soon), "newer");
    state.refused(&held(&state), soon, 0.0);
    assert_eq!(offered(&state, soon), "old");
}

#[test]
fn a_token_that_is_refused_after_it_served_stands_in_for_none() {
    let now = start();
    let soon = after(now, HOUR / 2);
    let mut state = refused_after_one_that_served(now);
    let old = Arc::clone(state.offered(soon).unwrap());
    assert!(!state.refused(&old, soon, 0.0), "it is not in hand");
    assert_eq!(offered(&state, soon), "new");

    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    state.accepted(&held(&state));
    state.refused(&held(&state), now, 0.0);
    grant(&mut state, "two", now, HOUR);
    state.refused(&held(&state), now, 0.0);
    assert_eq!(offered(&state, now), "two");
}

#[test]
fn the_present_token_again_is_no_other_one() {
    let now = start();
    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    let one = held(&state);
    assert_eq!(grant(&mut state, "one", now, HOUR), TokenArrival::Again);
    assert_eq!(state.refreshes(), 1);
    // A clock that was wrong called it expired.
    let mut state = State::new(MARGIN);
    assert_eq!(grant(&mut state, "one", now, Duration::ZERO), taken());
    state.accepted(&held(&state));
    assert_eq!(grant(&mut state, "one", now, HOUR), taken());
    assert!(state.newer(&one).is_none(), "nobody logs in again");
    assert_eq!(held(&state).left(now), HOUR);
    assert_eq!(state.refreshes(), 2);
    grant(&mut state, "two", now, HOUR);
    assert!(state.newer(&one).is_some());
}

#[test]
fn a_token_that_came_expired_replaces_no_good_one() {
    let now = start();
    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    state.asked();
    assert_eq!(
        grant(&mut state, "two", now, Duration::ZERO),
        TokenArrival::Expired
    );
    assert_eq!(offered(&state, now), "one");
    assert_eq!(state.stats(now).last_error, Some(ErrorKind::Identity));
    assert!(!state.rest(), "the provider has answered");
}

#[test]
fn an_outage_is_told_when_it_begins_when_its_kind_changes_and_when_it_begins_to_hurt() {
    let now = start();
    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    let mut told = |kind, now| !deny(&mut state, kind, now).is_known;
    assert!(told(ErrorKind::Connect, now));
    assert!(!told(ErrorKind::Connect, now));
    assert!(told(ErrorKind::Identity, now));
    assert!(!told(ErrorKind::Identity, now));
    let end = after(now, HOUR);
    assert!(told(ErrorKind::Identity, end), "no valid token is left");
    assert!(!told(ErrorKind::Identity, end));
    grant(&mut state, "two", end, HOUR);
    assert!(
        !deny(&mut state, ErrorKind::Identity, end).is_known,
        "another outage"
    );
}

#[test]
fn a_login_that_the_server_hung_up_on_asks_for_a_token_if_this_one_is_old() {
    let now = start();
    let mut state = State::new(MARGIN);
    grant(&mut state, "one", now, HOUR);
    let one = held(&state);
    assert!(!state.suspect(&one, now, 0.0));
    assert!(state.is_settled(now), "it was not refused");
    let late = after(now, HOUR / 2);
    assert!(state.suspect(&one, late, 0.0));
    assert_eq!(state.next(late), NextAsk::Now);
    grant(&mut state, "two", late, HOUR);
    assert!(!state.suspect(&one, after(late, HOUR / 2), 0.0));
}
