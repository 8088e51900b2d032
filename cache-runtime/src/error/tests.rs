use std::error::Error as _;

use super::*;

fn answered(line: &str) -> redis::RedisError {
    let reply = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("a reply");
    reply.extract_error().expect_err("the reply is an error")
}

#[test]
fn every_kind_stands_at_its_index() {
    for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
        assert_eq!(kind.index(), index, "{kind}");
    }
    let mut labels = ErrorKind::ALL.map(ErrorKind::as_str).to_vec();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), ErrorKind::ALL.len());
}

#[test]
fn what_redis_answers_has_its_kind_and_its_words() {
    for (line, kind) in [
        ("WRONGTYPE Operation against a key", ErrorKind::Server),
        ("OOM command not allowed", ErrorKind::Server),
        ("LOADING Redis is loading", ErrorKind::Unavailable),
        ("ERR unknown command", ErrorKind::Server),
        ("NOAUTH Authentication required.", ErrorKind::Auth),
        ("WRONGPASS invalid username-password pair", ErrorKind::Auth),
        ("NOPERM this user has no permissions", ErrorKind::Auth),
    ] {
        let error = Error::from_redis(&answered(line));
        assert_eq!(error.kind(), kind, "{line}");
        assert_eq!(
            error.to_string(),
            format!("redis answered with an error: {line}")
        );
        assert!(error.source().is_none());
    }
}

#[test]
fn a_right_that_the_user_lacks_is_told_without_noperm_too() {
    for line in [
        "ERR ACL failure in script: User app has no permissions to run the 'time' command script: f1, on @user_script:4.",
        "ERR this user has no permissions to run the 'time' command",
        "ERR Error running script (call to f1): @user_script:4: @user_script: 4: The user executing the script can't run this command or subcommand",
    ] {
        let error = Error::from_redis(&answered(line));
        assert!(error.is_auth(), "{error:?}");
        assert!(
            error
                .remedy()
                .is_some_and(|remedy| remedy.contains("+time"))
        );
    }
}

#[test]
fn arguments_that_a_server_quotes_are_not_repeated() {
    let line =
        "ERR unknown command 'EVALSHA', with args beginning with: 'f1' '3' 'shop:user:4711' ";
    let error = Error::from_redis(&answered(line));
    let said = "redis answered with an error: ERR unknown command 'EVALSHA'";
    assert_eq!(error.to_string(), said);
    assert!(
        error
            .remedy()
            .is_some_and(|remedy| remedy.contains("`EVALSHA`"))
    );
}

#[test]
fn a_broken_connection_is_unavailable_and_no_answer() {
    let broken = redis::RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe));
    let error = Error::from_redis(&broken);
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert_eq!(
        error.to_string(),
        "the connection to redis broke: broken pipe"
    );
    assert!(
        error.is_unavailable() && !error.is_timeout() && !error.is_auth() && !error.is_config()
    );
}

#[test]
fn a_cause_is_told_once() {
    let cause = io::Error::other("the reason");
    let error = Error::from_io(ErrorKind::Connect, "no connection", cause);
    assert_eq!(error.to_string(), "no connection");
    assert_eq!(
        error.source().map(ToString::to_string).as_deref(),
        Some("the reason")
    );
    assert!(error.source().is_some_and(|cause| cause.is::<io::Error>()));
}
