//! The proxy.

use std::time::{Duration, Instant};

use cache_tests::proxy::{about, any, named};
use cache_tests::{Proxy, RedisServer, eventually, wait::SOON, within};
use redis::RedisResult;
use tokio::task::JoinHandle;

use crate::{connect, connect_for, get, set};

const SHORT: Option<Duration> = Some(Duration::from_secs(1));

async fn pair() -> (RedisServer, Proxy) {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    (server, proxy)
}

/// A SET that goes on beside the test.
fn setting(
    client: &redis::aio::MultiplexedConnection,
    key: &'static str,
) -> JoinHandle<RedisResult<()>> {
    let client = client.clone();
    tokio::spawn(async move { set(&client, key, "1").await })
}

async fn answer<T>(call: JoinHandle<RedisResult<T>>) -> RedisResult<T> {
    within("an answer", SOON, call).await.unwrap()
}

#[tokio::test]
async fn what_clients_do_passes_and_is_counted() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    set(&client, "a", "1").await.unwrap();
    assert_eq!(get(&client, "a").await.unwrap().as_deref(), Some("1"));
    assert_eq!(get(&client, "b").await.unwrap(), None);
    assert_eq!(server.cli(&["GET", "a"]), "1");
    assert_eq!(
        (proxy.seen("get"), proxy.seen("SET"), proxy.seen("DEL")),
        (2, 1, 0)
    );
    assert_eq!((proxy.connections(), proxy.open_connections()), (1, 1));
    assert_eq!(
        proxy.wait_for_command(about("get", "b")).await,
        [b"GET".to_vec(), b"b".to_vec()]
    );
    assert!(
        proxy
            .commands()
            .contains(&vec!["SET".to_owned(), "a".to_owned(), "1".to_owned()])
    );
    proxy.forget();
    assert_eq!((proxy.seen("GET"), proxy.seen_in_all()), (0, 0));
    drop(client);
    eventually("the connection to close", SOON, async || {
        proxy.open_connections() == 0
    })
    .await;
}

#[tokio::test]
async fn big_values_and_long_pipelines_pass_unchanged() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    let big = "x\r\n$5\r\n".repeat(500_000);
    set(&client, "big", &big).await.unwrap();
    assert_eq!(get(&client, "big").await.unwrap(), Some(big.clone()));
    assert_eq!(server.cli(&["STRLEN", "big"]), big.len().to_string());
    let mut pipe = redis::pipe();
    for n in 0..5_000 {
        pipe.cmd("SET").arg(n).arg(n).ignore().cmd("GET").arg(n);
    }
    let got: Vec<u32> = pipe.query_async(&mut client.clone()).await.unwrap();
    assert_eq!(got, (0..5_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn resp3_pushes_pass() {
    let (_server, proxy) = pair().await;
    let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
    let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
    let url = format!("{}?protocol=resp3", proxy.url());
    let client = redis::Client::open(url).unwrap();
    let mut one = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap();
    let tracking = redis::cmd("CLIENT")
        .arg("TRACKING")
        .arg("ON")
        .query_async::<()>(&mut one)
        .await;
    tracking.unwrap();
    assert_eq!(get(&one, "a").await.unwrap(), None);
    set(&connect(&proxy.url()).await.unwrap(), "a", "1")
        .await
        .unwrap();
    let push = within("a push", SOON, async {
        loop {
            let push = pushes.recv().await.unwrap();
            if push.kind == redis::PushKind::Invalidate {
                return push;
            }
        }
    });
    assert!(format!("{:?}", push.await.data).contains("bulk-string('\"a\"')"));
    one.subscribe("channel").await.unwrap();
    assert_eq!(get(&one, "a").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn replies_are_delayed_and_commands_are_not() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    let log = server.command_log().await;
    proxy.delay(Duration::from_millis(300));
    let begin = Instant::now();
    let call = setting(&client, "a");
    log.wait_for(|line| line.contains("SET")).await;
    assert!(!call.is_finished());
    answer(call).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let impatient = connect_for(&proxy.url(), Some(Duration::from_millis(50))).await;
    assert!(impatient.unwrap_err().is_timeout());
    proxy.delay(Duration::ZERO);
    connect_for(&proxy.url(), SHORT).await.unwrap();
}

#[tokio::test]
async fn a_reply_is_cut_after_its_first_bytes() {
    let (server, proxy) = pair().await;
    server.cli(&["SET", "a", "hello"]);
    for bytes in 0..=11 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port()))
            .await
            .unwrap();
        let cut = proxy.cut_in_reply_to(about("GET", "a"), bytes);
        raw.write_all(b"PING\r\nGET a\r\nPING\r\n").await.unwrap();
        let mut got = Vec::new();
        within("the end", SOON, raw.read_to_end(&mut got))
            .await
            .unwrap();
        cut.happened().await;
        let whole = b"+PONG\r\n$5\r\nhello\r\n";
        assert_eq!(got, whole[..7 + bytes]);
    }
    let client = connect(&proxy.url()).await.unwrap();
    let cut = proxy.cut_in_reply(3);
    let error = get(&client, "a").await.unwrap_err();
    assert!(error.is_unrecoverable_error(), "{error:?}");
    cut.happened().await;
    let again = connect(&proxy.url()).await.unwrap();
    assert_eq!(get(&again, "a").await.unwrap().as_deref(), Some("hello"));
}

#[tokio::test]
async fn open_connections_are_reset_and_new_ones_are_not() {
    use tokio::io::AsyncReadExt;
    let (_server, proxy) = pair().await;
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .unwrap();
    let client = connect(&proxy.url()).await.unwrap();
    eventually("both", SOON, async || proxy.open_connections() == 2).await;
    proxy.reset();
    let error = within("the reset", SOON, raw.read(&mut [0; 8]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(get(&client, "a").await.unwrap_err().is_io_error());
    let again = connect(&proxy.url()).await.unwrap();
    assert_eq!(get(&again, "a").await.unwrap(), None);
}

#[tokio::test]
async fn open_connections_are_closed() {
    use tokio::io::AsyncReadExt;
    let (_server, proxy) = pair().await;
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .unwrap();
    eventually("it", SOON, async || proxy.open_connections() == 1).await;
    proxy.close();
    assert_eq!(
        within("the end", SOON, raw.read(&mut [0; 8]))
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn swallowed_bytes_reach_nobody_and_their_connection_stays_dead() {
    let (server, proxy) = pair().await;
    let idle = connect(&proxy.url()).await.unwrap();
    let client = connect_for(&proxy.url(), SHORT).await.unwrap();
    let log = server.command_log().await;
    proxy.swallow();
    assert!(set(&client, "a", "1").await.unwrap_err().is_timeout());
    assert!(
        connect_for(&proxy.url(), SHORT)
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(proxy.seen("SET"), 1);
    assert_eq!(log.settled().await, [""; 0]);
    proxy.accept();
    assert!(set(&client, "a", "1").await.unwrap_err().is_timeout());
    assert_eq!(log.settled().await, [""; 0]);
    set(&idle, "b", "1").await.unwrap();
    set(&connect(&proxy.url()).await.unwrap(), "c", "1")
        .await
        .unwrap();
    assert_eq!(server.cli(&["EXISTS", "a", "b", "c"]), "2");
}

#[tokio::test]
async fn refused_connections_come_again_when_accepted() {
    let (_server, proxy) = pair().await;
    let open = connect(&proxy.url()).await.unwrap();
    for _ in 0..20 {
        proxy.refuse();
        assert!(
            connect(&proxy.url())
                .await
                .unwrap_err()
                .is_connection_refusal()
        );
        assert_eq!(get(&open, "a").await.unwrap(), None);
        proxy.accept();
        connect(&proxy.url()).await.unwrap();
    }
    proxy.accept();
}

#[tokio::test]
async fn a_dropped_proxy_closes_everything() {
    let (_server, proxy) = pair().await;
    let url = proxy.url();
    let client = connect(&url).await.unwrap();
    drop(proxy);
    assert!(get(&client, "a").await.unwrap_err().is_io_error());
    assert!(connect(&url).await.unwrap_err().is_connection_refusal());
}

#[tokio::test]
async fn a_dead_server_behind_the_proxy_is_a_closed_connection() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    server.kill();
    assert!(get(&client, "a").await.unwrap_err().is_io_error());
    assert!(connect(&proxy.url()).await.unwrap_err().is_io_error());
    server.restart().await;
    assert_eq!(
        get(&connect(&proxy.url()).await.unwrap(), "a")
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_proxy_can_lead_to_another_server() {
    let (_server, proxy) = pair().await;
    let other = RedisServer::start().await;
    proxy.lead_to(other.addr());
    set(&connect(&proxy.url()).await.unwrap(), "a", "1")
        .await
        .unwrap();
    assert_eq!(other.cli(&["GET", "a"]), "1");
}

#[tokio::test]
async fn a_held_command_waits_while_other_connections_pass() {
    let (server, proxy) = pair().await;
    let one = connect(&proxy.url()).await.unwrap();
    let two = connect(&proxy.url()).await.unwrap();
    let held = proxy.hold(about("SET", "a"));
    let before = setting(&one, "b");
    answer(before).await.unwrap();
    assert!(!held.has_arrived());
    let call = setting(&one, "a");
    assert_eq!(
        held.arrived().await,
        [b"SET".to_vec(), b"a".to_vec(), b"1".to_vec()]
    );
    let behind = setting(&one, "c");
    proxy.wait_for_command(any()).await;
    set(&two, "d", "1").await.unwrap();
    assert_eq!(server.cli(&["EXISTS", "a", "c", "d"]), "1");
    // Only one command is held: the next of its kind passes.
    set(&two, "a", "2").await.unwrap();
    assert!(!call.is_finished() && !behind.is_finished());
    held.release();
    answer(call).await.unwrap();
    answer(behind).await.unwrap();
    assert_eq!(server.cli(&["GET", "a"]), "1");
}

#[tokio::test]
async fn later_commands_pass_a_held_one_and_are_answered_in_order() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    let log = server.command_log().await;
    let held = proxy.hold_letting_later_pass(about("GET", "a"));
    let first = tokio::spawn({
        let client = client.clone();
        async move { get(&client, "a").await }
    });
    held.arrived().await;
    let second = setting(&client, "a");
    log.wait_for(|line| line.contains("SET")).await;
    assert_eq!(server.cli(&["GET", "a"]), "1");
    assert!(!first.is_finished() && !second.is_finished());
    held.release();
    assert_eq!(answer(first).await.unwrap().as_deref(), Some("1"));
    answer(second).await.unwrap();
    assert_eq!(log.settled().await, [r#""SET" "a" "1""#, r#""GET" "a""#]);
}

#[tokio::test]
async fn a_held_command_is_executed_late_though_its_client_has_gone() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    let held = proxy.hold(named("SET"));
    let call = setting(&client, "a");
    held.arrived().await;
    proxy.reset();
    assert!(answer(call).await.unwrap_err().is_io_error());
    drop(client);
    eventually("the client to leave", SOON, async || {
        proxy.open_connections() == 0
    })
    .await;
    assert_eq!(server.cli(&["EXISTS", "a"]), "0");
    held.release();
    eventually("the late SET", SOON, async || {
        server.cli(&["EXISTS", "a"]) == "1"
    })
    .await;
}

#[tokio::test]
async fn a_dropped_command_never_arrives_and_nothing_behind_it() {
    let (server, proxy) = pair().await;
    let client = connect_for(&proxy.url(), SHORT).await.unwrap();
    let held = proxy.hold(named("SET"));
    let call = setting(&client, "a");
    held.arrived().await;
    held.drop_it();
    assert!(answer(call).await.unwrap_err().is_timeout());
    assert!(get(&client, "b").await.unwrap_err().is_timeout());
    assert_eq!(proxy.open_connections(), 1);
    assert_eq!(server.cli(&["EXISTS", "a"]), "0");
}

#[tokio::test]
async fn a_command_is_lost_with_its_connection() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    let held = proxy.hold(named("SET"));
    let call = setting(&client, "a");
    held.arrived().await;
    held.reset();
    assert!(answer(call).await.unwrap_err().is_io_error());
    assert_eq!(server.cli(&["EXISTS", "a"]), "0");
}

#[tokio::test]
async fn a_held_reply_is_the_reply_of_a_command_that_was_executed() {
    let (server, proxy) = pair().await;
    let one = connect(&proxy.url()).await.unwrap();
    let two = connect(&proxy.url()).await.unwrap();
    let held = proxy.hold_reply(about("SET", "a"));
    let call = setting(&one, "a");
    assert_eq!(held.arrived().await[1], b"a");
    assert_eq!(server.cli(&["GET", "a"]), "1");
    let log = server.command_log().await;
    let behind = setting(&one, "b");
    log.wait_for(|line| line.contains(r#""b""#)).await;
    set(&two, "c", "1").await.unwrap();
    assert!(!call.is_finished() && !behind.is_finished());
    held.release();
    answer(call).await.unwrap();
    answer(behind).await.unwrap();
}

#[tokio::test]
async fn a_reply_is_lost_alone_or_with_its_connection() {
    let (server, proxy) = pair().await;
    let client = connect_for(&proxy.url(), SHORT).await.unwrap();
    let held = proxy.hold_reply(named("SET"));
    let call = setting(&client, "a");
    held.arrived().await;
    held.drop_it();
    assert!(answer(call).await.unwrap_err().is_timeout());
    assert!(get(&client, "a").await.unwrap_err().is_timeout());

    let client = connect(&proxy.url()).await.unwrap();
    let held = proxy.hold_reply(named("SET"));
    let call = setting(&client, "b");
    held.arrived().await;
    held.reset();
    assert!(answer(call).await.unwrap_err().is_io_error());
    assert_eq!(server.cli(&["EXISTS", "a", "b"]), "2");
}

#[tokio::test]
async fn a_reply_that_was_held_when_the_server_died_still_comes() {
    let (server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    let held = proxy.hold_reply(named("SET"));
    let call = setting(&client, "a");
    held.arrived().await;
    server.kill();
    assert_eq!(proxy.open_connections(), 1);
    held.release();
    answer(call).await.unwrap();
    eventually("the end", SOON, async || proxy.open_connections() == 0).await;
}

#[tokio::test]
async fn a_forgotten_handle_holds_nothing() {
    let (_server, proxy) = pair().await;
    let client = connect(&proxy.url()).await.unwrap();
    drop(proxy.hold(named("SET")));
    drop(proxy.hold_reply(named("SET")));
    answer(setting(&client, "a")).await.unwrap();
    let held = proxy.hold(named("SET"));
    let call = setting(&client, "a");
    held.arrived().await;
    drop(held);
    answer(call).await.unwrap();
}

#[tokio::test]
async fn tls_passes_and_can_be_delayed_and_swallowed() {
    let server = RedisServer::builder().tls().start().await;
    let proxy = Proxy::before(&server);
    assert!(
        server
            .url_through(&proxy)
            .starts_with("rediss://127.0.0.1:")
    );
    let (port, ca) = (proxy.port().to_string(), server.ca_path().to_owned());
    let ping = move || {
        let mut cli = tokio::process::Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &port, "--tls", "--cacert"])
            .arg(&ca)
            .arg("PING");
        cli.kill_on_drop(true);
        tokio::spawn(async move { cli.output().await.unwrap() })
    };
    assert_eq!(ping().await.unwrap().stdout, b"PONG\n");
    proxy.delay(Duration::from_millis(50));
    assert_eq!(ping().await.unwrap().stdout, b"PONG\n");
    proxy.swallow();
    let seen = proxy.connections();
    let swallowed = ping();
    eventually("a connection", SOON, async || proxy.connections() > seen).await;
    assert!(!swallowed.is_finished());
    swallowed.abort();
}

#[test]
fn a_proxy_works_for_clients_without_a_runtime() {
    let server = RedisServer::builder().start_blocking();
    let proxy = Proxy::before(&server);
    let mut client = redis::Client::open(proxy.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let pong: String = redis::cmd("PING").query(&mut client).unwrap();
    assert_eq!((pong.as_str(), proxy.seen("PING")), ("PONG", 1));
}

#[tokio::test]
async fn the_servers_clock_is_ahead() {
    let (server, proxy) = pair().await;
    let mut client = connect(&proxy.url()).await.unwrap();
    let second = async |client: &mut redis::aio::MultiplexedConnection| {
        let (second, _): (u64, u64) = redis::cmd("TIME").query_async(client).await.unwrap();
        second
    };
    let real = second(&mut client).await;
    proxy.clock_ahead(Duration::from_secs(3_600));
    assert!(second(&mut client).await >= real + 3_600);
    assert_eq!(get(&client, "a").await.unwrap(), None);
    proxy.clock_ahead(Duration::ZERO);
    assert!(second(&mut client).await < real + 3_600);
    drop(server);
}
