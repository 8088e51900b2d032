use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use redis::aio::ConnectionLike;
use tokio::net::TcpSocket;

use super::*;
use crate::{
    auth::Auth,
    store::redis::test_server::{TestServer, endpoint, password},
};

const SECRET: &str = "hunter2-Zq/9";

async fn connect(endpoint: Endpoint) -> Result<MultiplexedConnection, Error> {
    // Spawned, as its users do: the future must be `Send`.
    let connector = Connector::new(endpoint)?;
    let connecting = tokio::spawn(async move {
        let credentials = connector.auth().credentials().await?;
        let pulse = Arc::new(Pulse::new());
        connector.connect(&credentials, pulse, false).await
    });
    let connected = connecting.await.expect("connecting does not panic")?;
    tokio::spawn(connected.driver);
    Ok(connected.connection)
}

async fn refused(endpoint: Endpoint) -> (ErrorKind, String) {
    let error = connect(endpoint)
        .await
        .expect_err("the connection is refused");
    let source = std::error::Error::source(&error).map(|source| format!(" <- {source}"));
    let text = format!("{error}{}", source.unwrap_or_default());
    assert!(
        !format!("{text} {error:?}").contains("hunter2"),
        "p8: {text} {error:?}"
    );
    (error.kind(), text)
}

async fn ask(connection: &mut MultiplexedConnection, command: &[&str]) -> String {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    cmd.query_async(connection)
        .await
        .expect("the server answers")
}

#[tokio::test]
async fn the_newest_protocol_is_used() {
    let server = TestServer::start(&[]);
    let mut connection = connect(endpoint(server.port, Auth::None)).await.unwrap();
    let info = ask(&mut connection, &["CLIENT", "INFO"]).await;
    assert!(info.contains(" resp=3"), "{info}");
    assert!(info.contains(" db=0 "), "{info}");
}

#[tokio::test]
async fn the_database_is_selected() {
    let server = TestServer::start(&["--databases", "8"]);
    let mut connection = connect(Endpoint {
        db: 7,
        ..endpoint(server.port, Auth::None)
    })
    .await
    .unwrap();
    let info = ask(&mut connection, &["CLIENT", "INFO"]).await;
    assert!(info.contains(" db=7 "), "{info}");
    assert_eq!(connection.get_db(), 7);

    let (kind, text) = refused(Endpoint {
        db: 8,
        ..endpoint(server.port, Auth::None)
    })
    .await;
    assert_eq!(kind, ErrorKind::Server);
    assert!(
        text.ends_with("refused the connection: ERR DB index is out of range"),
        "{text}"
    );
}

#[tokio::test]
async fn an_acl_user_logs_in_with_the_right_password_only() {
    // No right but one: neither the login nor what redis-rs tells of itself needs any.
    let user = format!("--user app on >{SECRET} ~* +get");
    let server = TestServer::start(&[&user, "--user default off"]);
    let mut connection = connect(endpoint(server.port, password(Some("app"), SECRET)))
        .await
        .unwrap();
    let value: Option<String> = redis::cmd("GET")
        .arg("key")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(value, None);

    let at = format!("redis at 127.0.0.1:{} refused the login:", server.port);
    for auth in [
        password(Some("app"), "hunter2-wrong"),
        password(Some("other"), SECRET),
        password(None, SECRET),
        Auth::None,
    ] {
        let (kind, text) = refused(endpoint(server.port, auth.clone())).await;
        assert_eq!(kind, ErrorKind::Auth, "{auth:?}");
        let code = if auth == Auth::None {
            "NOAUTH"
        } else {
            "WRONGPASS"
        };
        assert!(text.starts_with(&format!("{at} {code} ")), "{text}");
    }
}

/// The server does not know `HELLO`, and says so by quoting it, password and all.
#[tokio::test]
async fn p8_a_server_without_resp3_is_asked_for_resp2() {
    let server = TestServer::start(&["--requirepass", SECRET, "--rename-command", "HELLO", ""]);
    let mut connection = connect(endpoint(server.port, password(None, SECRET)))
        .await
        .unwrap();
    let info = ask(&mut connection, &["CLIENT", "INFO"]).await;
    assert!(info.contains(" resp=2"), "{info}");

    let (kind, text) = refused(endpoint(server.port, password(None, "hunter2-wrong"))).await;
    assert_eq!(kind, ErrorKind::Auth);
    assert!(
        text.ends_with("refused the login: it does not take the password"),
        "{text}"
    );
}

#[tokio::test]
async fn p8_what_a_server_quotes_of_the_login_is_not_repeated() {
    for (quoting, expected) in [
        (
            format!("-ERR no such thing as {SECRET}\r\n"),
            "ERR no such thing as <redacted>",
        ),
        // Servers cut what they quote, so that the password may be there in part.
        (
            "-ERR bad command, with args beginning with: '3' 'AUTH' 'hunter2-Z\r\n".to_owned(),
            "ERR bad command",
        ),
        (
            "-ERR no such thing as 'hunter2-Z...\r\n".to_owned(),
            "ERR no such thing as '<redacted>",
        ),
    ] {
        let port = answering(format!("{quoting}{}", "+OK\r\n".repeat(4)));
        let (kind, text) = refused(endpoint(port, password(None, SECRET))).await;
        assert_eq!(kind, ErrorKind::Server);
        assert!(
            text.ends_with(&format!("refused the connection: {expected}")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_is_not_redis_is_not_connected_to() {
    let (kind, text) = refused(endpoint(answering(String::new()), Auth::None)).await;
    assert_eq!(kind, ErrorKind::Connect);
    assert!(
        text.contains("closed the connection before it answered"),
        "{text}"
    );

    let (kind, text) = refused(endpoint(
        answering("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()),
        Auth::None,
    ))
    .await;
    assert_eq!(kind, ErrorKind::Connect);
    let expected =
        "is not redis; if it expects TLS, ask for it with `REDIS_TLS=true` or `rediss://`";
    assert!(text.ends_with(expected), "{text}");
}

#[tokio::test]
async fn a_port_without_a_server_is_told_with_its_reason() {
    // Bound, so that nobody else listens there either.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (kind, text) = refused(endpoint(port, Auth::None)).await;
    assert_eq!(kind, ErrorKind::Connect);
    assert_eq!(
        text,
        format!("cannot connect to redis at 127.0.0.1:{port} <- Connection refused (os error 111)")
    );
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_without_tls_is_told_from_one_with_it() {
    // A real server waits for the end of what it takes for a line, and so answers nothing.
    let port = answering("-ERR Protocol error\r\n".to_owned());
    let mut endpoint = endpoint(port, Auth::None);
    let authorities = rustls::RootCertStore::empty();
    endpoint.tls = Some(crate::config::Tls {
        name: "127.0.0.1".try_into().unwrap(),
        authorities: Some(Arc::new(authorities)),
    });
    let (kind, text) = refused(endpoint).await;
    assert_eq!(kind, ErrorKind::Connect);
    assert!(
        text.starts_with(&format!(
            "no TLS connection with redis at 127.0.0.1:{port}; if the server is without TLS, write `redis://`, \
             or `REDIS_TLS=false` with a host <- "
        )),
        "{text}"
    );
}

#[tokio::test]
async fn every_byte_ends_the_silence() {
    let server = TestServer::start(&[]);
    let pulse = Arc::new(Pulse::new());
    let connector = Connector::new(endpoint(server.port, Auth::None)).unwrap();
    pulse.asked(Instant::now());
    assert!(pulse.silent_since().is_some());
    let connected = connector
        .connect(&Credentials::None, Arc::clone(&pulse), false)
        .await;
    let Channel {
        mut connection,
        driver,
        ..
    } = connected.unwrap();
    tokio::spawn(driver);
    assert_eq!(pulse.silent_since(), None, "the server's greeting counts");
    pulse.asked(Instant::now());
    ask(&mut connection, &["PING"]).await;
    assert_eq!(pulse.silent_since(), None, "an answer counts");
}

#[tokio::test]
async fn a_connection_is_proved_by_the_first_answer_after_its_login() {
    let server = TestServer::start(&[]);
    let connector = Connector::new(endpoint(server.port, Auth::None)).unwrap();
    let pulse = Arc::new(Pulse::new());
    let connecting = connector.connect(&Credentials::None, Arc::clone(&pulse), false);
    let connected = connecting.await.unwrap();
    assert!(!pulse.is_proved(), "the login's answers prove nothing");
    assert!(!pulse.stall(Duration::ZERO), "the first one");
    assert!(pulse.stall(Duration::ZERO), "the second one");
    assert!(!pulse.is_proved());
    let Channel {
        mut connection,
        driver,
        ..
    } = connected;
    tokio::spawn(driver);
    ask(&mut connection, &["PING"]).await;
    assert!(pulse.is_proved());
    assert!(!pulse.stall(Duration::ZERO), "the first one since");
    assert!(pulse.is_proved());
}

/// A port where one connection after the other gets this answer, and is then closed.
fn answering(answer: String) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whatever is asked: the question is one packet.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

/// A runtime that stopped in the middle of the first connection, where the system's certificates are read.
#[cfg(feature = "tls")]
#[test]
fn a_runtime_that_nobody_drives_keeps_no_other_one_from_tls() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    let mut endpoint = endpoint(address.port(), Auth::None);
    endpoint.tls = Some(crate::config::Tls {
        name: "cache.example".try_into().unwrap(),
        authorities: None,
    });
    let connector = Connector::new(endpoint).unwrap();
    let (stopped, other) = (runtime(), runtime());
    let (reached, pulse) = (addresses::Reached::default(), Arc::new(Pulse::new()));
    let reading = connector.connect_to(
        address,
        Arc::clone(&reached),
        &Credentials::None,
        &pulse,
        false,
    );
    let mut reading = Box::pin(reading);
    stopped.block_on(std::future::poll_fn(|context| {
        let ended = reading.as_mut().poll(context).is_ready();
        match ended || reached.get().is_some() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    }));
    let connecting = async {
        let connecting = connector.connect(&Credentials::None, Arc::new(Pulse::new()), false);
        tokio::time::timeout(Duration::from_secs(30), connecting).await
    };
    let connected = other.block_on(connecting);
    assert!(connected.is_ok(), "it waits for the runtime that stopped");
    drop(reading);
}
