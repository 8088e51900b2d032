//! Servers.

use std::process::Command;
use std::time::{Duration, Instant};

use cache_tests::{RedisServer, RedisVersion, within};

use crate::{connect, connect_for, get, set};

const SHORT: Option<Duration> = Some(Duration::from_secs(1));

#[tokio::test]
async fn a_plain_server_is_a_real_one_and_starts_empty() {
    let server = RedisServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    assert_eq!(get(&client, "a").await.unwrap(), None);
    set(&client, "a", "1").await.unwrap();
    assert_eq!(server.cli(&["GET", "a"]), "1");
    let mut kit = server.connection().await;
    let n: u64 = redis::cmd("DBSIZE").query_async(&mut kit).await.unwrap();
    assert_eq!(n, 1);
    let about: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut kit)
        .await
        .unwrap();
    assert!(about.contains(&format!("process_id:{}", server.pid().unwrap())));
    assert!(about.contains(&format!("tcp_port:{}", server.port())));
    server.empty().await;
    assert_eq!(get(&client, "a").await.unwrap(), None);
}

#[tokio::test]
async fn many_servers_start_at_once_on_ports_of_their_own() {
    let starts: Vec<_> = (0..8).map(|_| tokio::spawn(RedisServer::start())).collect();
    let mut servers = Vec::new();
    for start in starts {
        servers.push(start.await.unwrap());
    }
    for (n, server) in servers.iter().enumerate() {
        set(&connect(&server.url()).await.unwrap(), "n", &n.to_string())
            .await
            .unwrap();
    }
    for (n, server) in servers.iter().enumerate() {
        assert_eq!(server.cli(&["GET", "n"]), n.to_string());
    }
}

#[test]
fn a_server_starts_and_is_asked_without_a_runtime() {
    let server = RedisServer::builder().start_blocking();
    assert_eq!(server.cli(&["PING"]), "PONG");
}

#[tokio::test]
async fn a_stopped_server_accepts_and_does_not_answer_until_it_goes_on() {
    let server = RedisServer::start().await;
    let client = connect_for(&server.url(), SHORT).await.unwrap();
    server.stop();
    assert!(get(&client, "a").await.unwrap_err().is_timeout());
    tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    server.cont();
    let again = connect(&server.url()).await.unwrap();
    assert_eq!(get(&again, "a").await.unwrap(), None);
}

#[tokio::test]
async fn a_killed_server_refuses_and_comes_back_empty_on_its_port() {
    let server = RedisServer::start().await;
    let (port, pid) = (server.port(), server.pid());
    let client = connect(&server.url()).await.unwrap();
    set(&client, "a", "1").await.unwrap();
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(
        connect(&server.url())
            .await
            .unwrap_err()
            .is_connection_refusal()
    );
    assert!(get(&client, "a").await.unwrap_err().is_io_error());
    server.restart().await;
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    let again = connect(&server.url()).await.unwrap();
    assert_eq!(get(&again, "a").await.unwrap(), None);
}

#[tokio::test]
async fn a_server_survives_restarts_in_a_row_also_when_it_is_stopped() {
    let server = RedisServer::start().await;
    for _ in 0..10 {
        server.stop();
        server.restart().await;
        assert_eq!(server.cli(&["PING"]), "PONG");
    }
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_and_no_directory() {
    let server = RedisServer::start().await;
    let pid = server.pid().unwrap();
    let dir = server
        .cli(&["CONFIG", "GET", "dir"])
        .lines()
        .last()
        .unwrap()
        .to_owned();
    assert!(std::path::Path::new(&dir).exists());
    server.stop();
    drop(server);
    assert!(!is_alive(pid));
    assert!(!std::path::Path::new(&dir).exists());
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let id = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // Nobody may have reaped an orphan that has ended.
    let is_zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    });
    rustix::process::test_kill_process(id).is_ok() && !is_zombie
}

#[tokio::test]
async fn a_server_does_not_outlive_a_killed_test() {
    use cache_tests::{Child, child, eventually, wait::SOON};
    if child::role().is_some() {
        let server = RedisServer::start().await;
        server.stop();
        child::tell(&format!("server {}", server.pid().unwrap()));
        std::future::pending::<()>().await;
    }
    let name = "redis_server::a_server_does_not_outlive_a_killed_test";
    let child = Child::of_test(name).spawn();
    let line = child.wait_for_line("server ").await;
    let pid = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(is_alive(pid));
    child.kill();
    eventually("the server to end", SOON, async || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_tls_server_is_known_by_its_ca_and_by_no_other() {
    let server = RedisServer::builder().tls().start().await;
    assert!(server.url().starts_with("rediss://127.0.0.1:"));
    let ask = |ca: &std::path::Path| {
        let port = server.port().to_string();
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &port, "--tls", "--cacert"])
            .arg(ca)
            .arg("PING")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask(server.ca_path()), "PONG\n");
    assert!(!ask(server.unrelated_ca_path()).contains("PONG"));
    assert_eq!(server.cli(&["PING"]), "PONG");
    let plain = format!("redis://127.0.0.1:{}/", server.port());
    assert!(connect_for(&plain, SHORT).await.is_err());
}

#[tokio::test]
async fn acl_users_and_passwords_hold() {
    let (admin, app) = ("pa:ss/wörd@1", "app-secret");
    let server = RedisServer::builder()
        .password(admin)
        .user("app", app, &["~app:*", "+get", "+set"])
        .start()
        .await;
    set(&connect(&server.url()).await.unwrap(), "other", "1")
        .await
        .unwrap();
    let client = connect(&server.url_as("app", app)).await.unwrap();
    set(&client, "app:a", "1").await.unwrap();
    assert_eq!(
        get(&client, "other").await.unwrap_err().code(),
        Some("NOPERM")
    );
    let wrong = connect(&server.url_as("app", "wrong")).await;
    assert!(wrong.is_err());
    let none = format!("redis://127.0.0.1:{}/", server.port());
    let refused = get(&connect(&none).await.unwrap(), "a").await.unwrap_err();
    assert_eq!(refused.code(), Some("NOAUTH"));
}

#[tokio::test]
async fn a_full_server_refuses_writes_and_takes_reads() {
    let server = RedisServer::builder().maxmemory(1).start().await;
    let client = connect(&server.url()).await.unwrap();
    assert_eq!(
        set(&client, "a", "1").await.unwrap_err().code(),
        Some("OOM")
    );
    assert_eq!(get(&client, "a").await.unwrap(), None);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    set(&client, "a", "1").await.unwrap();
}

#[tokio::test]
async fn any_option_of_the_server_can_be_set() {
    let server = RedisServer::builder()
        .option("replicaof", &["127.0.0.1", "1"])
        .start()
        .await;
    let client = connect(&server.url()).await.unwrap();
    assert_eq!(
        set(&client, "a", "1").await.unwrap_err().code(),
        Some("READONLY")
    );
}

#[tokio::test]
#[should_panic(expected = "no-such-option")]
async fn a_server_that_does_not_start_says_what_it_printed() {
    drop(
        RedisServer::builder()
            .option("no-such-option", &["1"])
            .start()
            .await,
    );
}

#[test]
fn a_missing_redis_server_says_what_to_type() {
    use cache_tests::{Child, child};
    if child::role().is_some() {
        drop(RedisServer::builder().start_blocking());
        return;
    }
    let name = "redis_server::a_missing_redis_server_says_what_to_type";
    let ended = Child::of_test(name).env("PATH", "/nowhere").run();
    assert!(!ended.status.success());
    assert!(
        ended
            .text()
            .contains("redis-server is missing; type: bash .ci/test"),
        "{}",
        ended.text()
    );
}

#[tokio::test]
async fn the_server_of_8_2_is_one() {
    let server = RedisServer::builder()
        .version(RedisVersion::V8_2)
        .start()
        .await;
    let about = server.cli(&["INFO", "server"]);
    assert!(about.contains("redis_version:8.2."), "{about}");
    let client = connect(&server.url()).await.unwrap();
    set(&client, "a", "1").await.unwrap();
    assert_eq!(get(&client, "a").await.unwrap().as_deref(), Some("1"));
}

#[test]
fn a_missing_server_of_8_2_says_what_to_type() {
    use cache_tests::{Child, child};
    if child::role().is_some() {
        let of_8_2 = RedisServer::builder().version(RedisVersion::V8_2);
        drop(of_8_2.start_blocking());
        return;
    }
    let name = "redis_server::a_missing_server_of_8_2_says_what_to_type";
    let ended = Child::of_test(name)
        .env("CACHE_TESTS_REDIS_8_2", "/nowhere")
        .run();
    assert!(!ended.status.success());
    assert!(
        ended
            .text()
            .contains("redis-server 8.2 is missing; type: bash .ci/test"),
        "{}",
        ended.text()
    );
}

#[tokio::test]
async fn the_command_log_has_what_clients_and_scripts_ask_and_nothing_of_the_kit() {
    let server = RedisServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    set(&client, "before", "1").await.unwrap();
    let log = server.command_log().await;
    server.cli(&["GET", "kit"]);
    let later = tokio::spawn({
        let client = client.clone();
        async move { set(&client, "a b", "\n").await }
    });
    assert_eq!(
        log.wait_for(|line| line.contains("a b")).await,
        r#""SET" "a b" "\n""#
    );
    later.await.unwrap().unwrap();
    let mut script = redis::cmd("EVAL");
    script
        .arg("return redis.call('GET', KEYS[1])")
        .arg(1)
        .arg("in script");
    let _: Option<String> = script.query_async(&mut client.clone()).await.unwrap();
    let lines = log.settled().await;
    assert!(
        lines.iter().any(|line| line == r#""GET" "in script""#),
        "{lines:?}"
    );
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("before") || line.contains("kit")),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_hurry_the_kit() {
    let server = RedisServer::start().await;
    let begin = Instant::now();
    within("nothing but time", Duration::from_secs(30), async {
        server.restart().await;
        assert_eq!(server.cli(&["PING"]), "PONG");
    })
    .await;
    assert!(begin.elapsed() < Duration::from_secs(30));
}
