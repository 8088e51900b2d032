//! How often a cache knocks where nobody lets it in: no oftener than its back-off allows, whoever asks for a
//! connection, and however fast.
//!
//! A machine that is busy makes fewer attempts, never more.
#![allow(missing_docs)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cache_runtime::{Cache, Connection, ErrorKind, redis_cached};
use cache_tests::proxy::{Answer, Secret, named};
use cache_tests::{
    Body, IdentityProvider, Proxy, RedisServer, Watched, body::Failed, eventually, redis_state,
    wait::SOON,
};
use tokio::net::TcpListener;

const FOR: Duration = Duration::from_secs(5);
/// In five seconds, with pauses of 50 ms to 2 s of which each may lose up to half.
const MOST: u64 = 10;
const FEWEST: u64 = 3;
const TTL: Duration = Duration::from_secs(60);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(ttl = 300, key = "shared:{id}", skip(cache, body), cache = cache, coalesce = "cluster")]
async fn shared(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

/// A peer that takes each connection and closes it at once, as a balancer does that has nobody behind it.
struct ClosesAtOnce {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
}

impl ClosesAtOnce {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicU64::new(0));
        let count = accepted.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, accepted }
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn ping(connection: &mut Connection) -> Result<String, redis::RedisError> {
    redis::cmd("PING").query_async(connection).await
}

/// Sends the user's own commands for five seconds, as fast as they fail; how many attempts to connect that was.
async fn commands_fail_for_five_seconds(cache: &Cache, says: &str) -> u64 {
    let before = redis_state(cache).connections_tried;
    let mut connection = cache.connection().unwrap();
    let start = Instant::now();
    let mut commands = 0;
    while start.elapsed() < FOR {
        let error = ping(&mut connection).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        commands += 1;
        tokio::task::yield_now().await;
    }
    assert!(commands > 20, "{commands} commands");
    redis_state(cache).connections_tried - before
}

fn assert_paced(attempts: u64) {
    assert!(
        (FEWEST..=MOST).contains(&attempts),
        "{attempts} attempts to connect in {FOR:?}"
    );
}

#[tokio::test]
async fn an_operation_that_waits_for_a_peer_that_closes_at_once() {
    let peer = ClosesAtOnce::start().await;
    let cache = Cache::builder().url(peer.url()).timeout(FOR).build();
    let error = user_entry(&cache.unwrap(), 1).invalidate().await;
    assert!(error.unwrap_err().is_unavailable());
    assert_paced(peer.accepted());
}

#[tokio::test]
async fn commands_where_nobody_listens() {
    let server = RedisServer::start().await;
    server.kill();
    let cache = Cache::builder().url(server.url()).build().unwrap();
    let attempts = commands_fail_for_five_seconds(&cache, "cannot connect to redis").await;
    assert_paced(attempts);
    // And when somebody does, the next attempt is not far.
    server.restart().await;
    let mut connection = cache.connection().unwrap();
    eventually("an answer", SOON, async || {
        ping(&mut connection).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn commands_with_a_wrong_password() {
    let server = RedisServer::builder().password("right").start().await;
    let proxy = Proxy::before(&server);
    let url = format!("redis://:wrong@127.0.0.1:{}", proxy.port());
    let cache = Cache::builder().url(url).build().unwrap();
    let attempts = commands_fail_for_five_seconds(&cache, "WRONGPASS").await;
    assert_paced(attempts);
    let logins = proxy.logins();
    assert!(
        // The last one may be on its way.
        (attempts - 1..=attempts).contains(&(logins.len() as u64)),
        "{attempts} attempts: {logins:?}"
    );
    let accepted = Some(Answer::Accepted);
    assert!(logins.iter().all(|login| login.answer != accepted));
    eventually("the reason as it is", SOON, async || {
        cache.ping().await.unwrap_err().kind() == ErrorKind::Auth
    })
    .await;
}

#[tokio::test]
async fn commands_in_an_outage_of_the_identity_provider() {
    let provider = IdentityProvider::builder().start();
    provider.down();
    let server = RedisServer::builder().tls().start().await;
    let asked = Watched::new(provider.credential("app"));
    let builder = Cache::builder().url(server.url()).credential(asked.clone());
    let cache = builder.tls_ca_file(server.ca_path()).build().unwrap();
    let attempts = commands_fail_for_five_seconds(&cache, "no token from").await;
    assert!(attempts <= MOST, "{attempts} attempts to connect");
    assert!(asked.times() <= 8, "asked {} times", asked.times());
}

/// A connection that is logged in has proved nothing yet.
#[tokio::test]
async fn commands_to_a_server_that_hangs_up_after_the_login() {
    let server = RedisServer::builder().password("secret").start().await;
    let proxy = Proxy::before(&server);
    proxy.withdraw(Secret::of("secret"));
    let cache = Cache::builder().url(server.url_through(&proxy));
    let cache = cache.build().unwrap();
    let attempts = commands_fail_for_five_seconds(&cache, "").await;
    assert_paced(attempts);
    assert!(proxy.connections() <= attempts);
    proxy.reinstate(Secret::of("secret"));
    let mut connection = cache.connection().unwrap();
    eventually("an answer", SOON, async || {
        ping(&mut connection).await.is_ok()
    })
    .await;
}

/// Everything that needs a connection, on several runtimes: all of it together knocks no oftener.
#[test]
fn all_that_needs_a_connection_shares_one_back_off() {
    let outer = runtime();
    let proxy = outer.block_on(async {
        let server = RedisServer::start().await;
        let proxy = Proxy::before(&server);
        proxy.refuse();
        proxy
    });
    let cache = Cache::builder().url(proxy.url()).build().unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for id in 0..3 {
            let cache = &cache;
            scope.spawn(move || {
                runtime().block_on(async {
                    let body = Body::new();
                    let mut connection = cache.connection().unwrap();
                    while start.elapsed() < FOR {
                        user(cache, &body, id).await.unwrap();
                        shared(cache, &body, id).await.unwrap();
                        cache.ping().await.unwrap_err();
                        cache.get::<u64>("key").await.unwrap_err();
                        cache.set_ex("key", &1_u64, TTL).await.unwrap_err();
                        user_entry(cache, id).invalidate().await.unwrap_err();
                        ping(&mut connection).await.unwrap_err();
                        tokio::task::yield_now().await;
                    }
                });
            });
        }
    });
    let attempts = redis_state(&cache).connections_tried;
    // Before anything has failed, two connections of each runtime may be tried at once.
    let at_once = 3 * 2;
    assert!(attempts >= FEWEST, "{attempts} attempts");
    assert!(attempts <= MOST + at_once, "{attempts} attempts");
}

/// What was of use, and is lost, is made anew at once, however often.
#[tokio::test]
async fn a_connection_that_answered_is_replaced_at_once() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let builder = Cache::builder().url(proxy.url()).timeout(SOON);
    let cache = builder.build().unwrap();
    let start = Instant::now();
    for round in 1..=20 {
        cache.set_ex("key", &round, TTL).await.unwrap();
        assert_eq!(proxy.connections(), round);
        proxy.reset();
        eventually("the end to be noticed", SOON, async || {
            redis_state(&cache).connections == 0
        })
        .await;
    }
    // With pauses between them, it would be 15 s at the least.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
}

/// Each login ends the pauses of the others, though nothing comes of it.
#[test]
fn several_runtimes_at_a_server_that_hangs_up_at_the_first_command() {
    let outer = runtime();
    let (server, proxy) = outer.block_on(async {
        let server = RedisServer::start().await;
        let proxy = Proxy::before(&server);
        (server, proxy)
    });
    // So that one is logged in while another one is told.
    proxy.delay(Duration::from_millis(5));
    let _cuts: Vec<_> = (0..2000)
        .map(|_| proxy.cut_in_reply_to(named("PING"), 0))
        .collect();
    let cache = Cache::builder().url(server.url_through(&proxy));
    let cache = cache.build().unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                runtime().block_on(async {
                    let mut connection = cache.connection().unwrap();
                    while start.elapsed() < FOR {
                        ping(&mut connection).await.unwrap_err();
                        tokio::task::yield_now().await;
                    }
                });
            });
        }
    });
    let attempts = redis_state(&cache).connections_tried;
    assert!(attempts <= MOST + 3, "{attempts} attempts");
}
