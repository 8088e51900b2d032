use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use redis::{Cmd, FromRedisValue};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::*;
use crate::{
    auth::Auth,
    config::Endpoint,
    error::{Error, ErrorKind},
    store::{
        Urgency,
        redis::{
            client::RedisStore,
            connect::{Channel, Connector, Pulse},
            test_server::{TestServer, endpoint, password},
        },
    },
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Another address of this machine, at which no server listens.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Longer than anything here takes, however busy the machine is.
const SOON: Duration = Duration::from_secs(30);

fn found(addresses: &[&str]) -> Vec<SocketAddr> {
    let parsed = addresses.iter().map(|address| address.parse().unwrap());
    parsed.collect()
}

/// A connector to a name with these addresses.
fn connector(endpoint: Endpoint, addresses: Vec<SocketAddr>) -> Connector {
    let mut connector = Connector::new(endpoint).unwrap();
    connector.addresses.given = Some(addresses);
    connector
}

async fn connect(connector: &Connector) -> Result<Channel, Error> {
    let credentials = connector.auth().credentials().await?;
    let connecting = connector.connect(&credentials, Arc::new(Pulse::new()), false);
    timeout(SOON, connecting)
        .await
        .expect("an address that says nothing keeps the others from being tried")
}

async fn ask<T: FromRedisValue>(connected: Channel, command: &[&str]) -> T {
    let Channel {
        mut connection,
        driver,
        ..
    } = connected;
    tokio::spawn(driver);
    let mut cmd = Cmd::new();
    cmd.arg(command);
    cmd.query_async(&mut connection).await.unwrap()
}

/// An address that drops whoever knocks, as a firewall does; its sockets keep it that way.
async fn swallowing(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(0).unwrap();
    let mut queue = Vec::new();
    // Whom nobody accepts stands in the queue; once it is full, the kernel drops those who come.
    while let Ok(stream) = timeout(2 * HEAD_START, TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
    }
    (listener, queue)
}

/// An address that takes connections and never says anything.
fn silent(address: SocketAddr) -> std::net::TcpListener {
    std::net::TcpListener::bind(address).unwrap()
}

#[test]
fn the_families_take_turns_and_the_first_one_found_is_the_first() {
    let addresses = Addresses::default();
    let order = |all: &[&str]| addresses.in_order(found(all), Instant::now());
    assert_eq!(
        order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]),
        found(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"])
    );
    assert_eq!(
        order(&["1.0.0.1:1", "[::1]:1", "[::2]:1", "[::3]:1"]),
        found(&["1.0.0.1:1", "[::1]:1", "[::2]:1", "[::3]:1"])
    );
    assert_eq!(order(&["1.0.0.1:1"]), found(&["1.0.0.1:1"]));
    assert_eq!(order(&[]), []);
}

#[test]
fn what_was_of_no_use_comes_last_for_a_while() {
    let addresses = Addresses::default();
    let all = || found(&["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1"]);
    let now = Instant::now();
    addresses.is_useless(all()[0]);
    let order = addresses.in_order(all(), now);
    assert_eq!(order, found(&["1.0.0.2:1", "1.0.0.3:1", "1.0.0.1:1"]));
    addresses.is_useless(all()[1]);
    let order = addresses.in_order(all(), now);
    assert_eq!(order, found(&["1.0.0.3:1", "1.0.0.1:1", "1.0.0.2:1"]));
    addresses.is_of_use(all()[0]);
    let order = addresses.in_order(all(), now);
    assert_eq!(order, found(&["1.0.0.1:1", "1.0.0.3:1", "1.0.0.2:1"]));
    let later = Instant::now() + MEMORY;
    assert_eq!(addresses.in_order(all(), later), all());
}

#[test]
fn no_more_is_kept_than_the_name_has_addresses() {
    let addresses = Addresses::default();
    for last in 0..=255 {
        let address = SocketAddr::from(([10, 0, 0, last], 6379));
        addresses.in_order(vec![address], Instant::now());
        addresses.is_useless(address);
        addresses.is_useless(address);
        assert_eq!(lock(&addresses.useless).len(), 1);
    }
}

#[tokio::test]
async fn an_address_that_swallows_packets_does_not_hide_the_next_one() {
    let server = TestServer::start(&[]);
    let [dead, well] = [ELSEWHERE, HERE].map(|ip| SocketAddr::new(ip, server.port));
    let _dead = swallowing(dead).await;
    let connector = connector(endpoint(server.port, Auth::None), vec![dead, well]);
    let pong: String = ask(connect(&connector).await.unwrap(), &["PING"]).await;
    assert_eq!(pong, "PONG");
    // The next connection does not wait for it.
    let order = connector
        .addresses
        .in_order(vec![dead, well], Instant::now());
    assert_eq!(order, [well, dead]);
}

#[tokio::test]
async fn an_address_that_takes_connections_and_says_nothing_does_not_hide_the_next_one() {
    let server = TestServer::start(&[]);
    let [dead, well] = [ELSEWHERE, HERE].map(|ip| SocketAddr::new(ip, server.port));
    let _dead = silent(dead);
    let connector = connector(endpoint(server.port, Auth::None), vec![dead, well]);
    let pong: String = ask(connect(&connector).await.unwrap(), &["PING"]).await;
    assert_eq!(pong, "PONG");
    let order = connector
        .addresses
        .in_order(vec![dead, well], Instant::now());
    assert_eq!(order, [well, dead]);
}

#[tokio::test]
async fn an_address_that_refuses_or_hangs_up_does_not_hide_the_next_one() {
    let server = TestServer::start(&[]);
    let [dead, well] = [ELSEWHERE, HERE].map(|ip| SocketAddr::new(ip, server.port));
    let connector = connector(endpoint(server.port, Auth::None), vec![dead, well]);
    connect(&connector).await.unwrap();

    let listener = silent(dead);
    std::thread::spawn(move || {
        // Each is closed at once.
        while listener.accept().is_ok() {}
    });
    lock(&connector.addresses.useless).clear();
    connect(&connector).await.unwrap();
}

#[tokio::test]
async fn either_family_may_be_the_dead_one() {
    let server = TestServer::start(&["--bind", "127.0.0.1", "::1"]);
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, server.port));
    let four = SocketAddr::new(HERE, server.port);
    let dead_four = SocketAddr::new(ELSEWHERE, server.port);
    let _dead = swallowing(dead_four).await;
    for addresses in [vec![dead_four, six], vec![six, dead_four, four]] {
        let connector = connector(endpoint(server.port, Auth::None), addresses);
        connect(&connector).await.unwrap();
    }
    drop(server);
    let server = TestServer::start(&[]);
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, server.port));
    let four = SocketAddr::new(HERE, server.port);
    let _dead = swallowing(six).await;
    let connector = connector(endpoint(server.port, Auth::None), vec![six, four]);
    connect(&connector).await.unwrap();
}

/// Asked at each of its addresses, a server would count so many logins that failed.
#[tokio::test]
async fn a_login_that_is_refused_is_not_tried_elsewhere() {
    let secret = "right";
    let server = TestServer::start(&["--bind", "127.0.0.1", "127.0.0.2", "--requirepass", secret]);
    let both = [HERE, ELSEWHERE].map(|ip| SocketAddr::new(ip, server.port));
    let refused = connector(endpoint(server.port, password(None, "wrong")), both.into());
    let error = connect(&refused).await.err().expect("a wrong password");
    assert_eq!(error.kind(), ErrorKind::Auth);
    let taken = connector(endpoint(server.port, password(None, secret)), both.into());
    let taken = connect(&taken).await.unwrap();
    let stats: String = ask(taken, &["INFO", "stats"]).await;
    let one_each = "total_connections_received:2\r\n";
    assert!(stats.contains(one_each), "{stats}");
}

#[tokio::test]
async fn where_all_fail_the_error_is_a_servers_answer_if_there_was_one() {
    let server = TestServer::start(&["--databases", "1"]);
    let [nobody, well] = [ELSEWHERE, HERE].map(|ip| SocketAddr::new(ip, server.port));
    for addresses in [vec![nobody, well], vec![well, nobody]] {
        let endpoint = Endpoint {
            db: 8,
            ..endpoint(server.port, Auth::None)
        };
        let error = connect(&connector(endpoint, addresses)).await.err();
        let error = error.expect("there is no such database");
        assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    }
    let endpoint = endpoint(server.port, Auth::None);
    let error = connect(&connector(endpoint, Vec::new())).await.err();
    assert_eq!(error.expect("no address").kind(), ErrorKind::Connect);
}

#[tokio::test]
async fn that_one_hung_up_on_the_login_tells_more_than_that_nobody_is_elsewhere() {
    let hangs_up = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = hangs_up.local_addr().unwrap().port();
    tokio::spawn(async move { while hangs_up.accept().await.is_ok() {} });
    let [nobody, hangs_up] = [ELSEWHERE, HERE].map(|ip| SocketAddr::new(ip, port));
    for addresses in [vec![nobody, hangs_up], vec![hangs_up, nobody]] {
        let error = connect(&connector(endpoint(port, Auth::None), addresses)).await;
        let error = error.err().expect("no connection").to_string();
        let said = "closed the connection before it answered";
        assert!(error.contains(said), "{error}");
    }
}

/// What calls see of it: they wait for nothing but their own timeout, and soon Redis answers.
#[tokio::test]
async fn a_store_behind_a_name_with_a_dead_address_is_used() {
    let server = TestServer::start(&[]);
    let [dead, well] = [ELSEWHERE, HERE].map(|ip| SocketAddr::new(ip, server.port));
    let _dead = swallowing(dead).await;
    let connector = connector(endpoint(server.port, Auth::None), vec![dead, well]);
    let store = RedisStore::new(connector, Duration::from_millis(250));
    let set = async {
        let (key, ttl) = ("key", Duration::from_secs(60));
        loop {
            let deadline = Instant::now() + Duration::from_millis(250);
            let stored = store.set(key, b"value", ttl, Urgency::Ordinary, deadline);
            if stored.await.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, set).await.expect("Redis is used");
    // And its next connection is there at once.
    let live = store.link().unwrap().up().unwrap();
    store.link().unwrap().give_up(live.number);
    store.ping(Instant::now() + SOON).await.unwrap();
}

#[cfg(feature = "tls")]
mod tls {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::copy_bidirectional;

    use super::*;
    use crate::config::Tls;

    /// TLS for a name, in front of a server; and who signed its certificate.
    async fn front(name: &str, server: SocketAddr) -> (SocketAddr, Arc<rustls::RootCertStore>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let mut authorities = rustls::RootCertStore::empty();
        authorities.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        (address, Arc::new(authorities))
    }

    #[tokio::test]
    async fn with_tls_each_address_is_asked_by_the_name() {
        let server = TestServer::start(&[]);
        let name = "cache.example";
        let (well, authorities) = front(name, (HERE, server.port).into()).await;
        let [swallows, says_nothing] =
            [ELSEWHERE, Ipv4Addr::new(127, 0, 0, 3).into()].map(|ip| (ip, well.port()).into());
        let _dead = (swallowing(swallows).await, silent(says_nothing));
        let mut endpoint = endpoint(well.port(), Auth::None);
        endpoint.tls = Some(Tls {
            name: name.try_into().unwrap(),
            authorities: Some(authorities),
        });
        let connector = connector(endpoint, vec![swallows, says_nothing, well]);
        let pong: String = ask(connect(&connector).await.unwrap(), &["PING"]).await;
        assert_eq!(pong, "PONG");
    }
}
