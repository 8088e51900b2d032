use std::future::Future;

use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    auth::{Auth, Credentials},
    config::Endpoint,
    observe::stats::BreakerState,
    store::redis::{
        client::RedisStore,
        connect::Connector,
        pulse::Pulse,
        pushes::Pushes,
        test_server::{TestServer, endpoint, password},
    },
};

/// So long that a lock never expires by itself.
const LONG: &str = "600000";
/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of a store whose server is to be found missing.
const TIMEOUT: Duration = Duration::from_millis(250);

/// A server, a connection past the store, and a store that is connected already: where the connection
/// takes long, the first wait is a poll.
struct Scene {
    server: TestServer,
    admin: MultiplexedConnection,
    store: Arc<RedisStore>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(&[], Auth::None).await
    }

    async fn with(options: &[&str], auth: Auth) -> Self {
        Self::with_timeout(options, auth, PATIENCE).await
    }

    async fn with_timeout(options: &[&str], auth: Auth, timeout: Duration) -> Self {
        let server = TestServer::start(options);
        let connector = Connector::new(endpoint(server.port, Auth::None)).unwrap();
        let pulse = Arc::new(Pulse::new());
        let connected = connector
            .connect(&Credentials::None, pulse, false)
            .await
            .unwrap();
        tokio::spawn(connected.driver);
        let scene = Self {
            store: store(endpoint(server.port, auth), timeout),
            server,
            admin: connected.connection,
        };
        scene.pushes().await;
        scene
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &[&str]) -> T {
        let mut cmd = Cmd::new();
        cmd.arg(command);
        cmd.query_async(&mut self.admin).await.unwrap()
    }

    async fn set(&mut self, key: &str, content: &str, life: &str) {
        let _ok: String = self.ask(&["SET", key, content, "PX", life]).await;
    }

    /// A number that the server tells of itself, 0 where it does not.
    async fn told(&mut self, section: &str, before: &str) -> u64 {
        let info: String = self.ask(&["INFO", section]).await;
        let Some((_, after)) = info.split_once(before) else {
            return 0;
        };
        let digits = after.split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    }

    /// Locks read so far.
    async fn reads(&mut self) -> u64 {
        self.told("commandstats", "cmdstat_get:calls=").await
    }

    /// Waits until the server tracks so many keys, after so many reads.
    async fn tracked(&mut self, keys: u64, reads: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let tracked = self.told("stats", "tracking_total_keys:").await;
            let read = self.reads().await;
            if tracked == keys && read >= reads {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{tracked} keys are tracked after {read} reads, not {keys} after {reads}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts to wait for a lock that holds `a`.
    fn wait(&self, lock: &str) -> JoinHandle<()> {
        let (store, lock) = (Arc::clone(&self.store), lock.to_owned());
        tokio::spawn(async move {
            let until = Instant::now() + PATIENCE;
            store.changed(&lock, b"a", 0, until).await;
            assert!(Instant::now() < until, "nobody was told of {lock}");
        })
    }

    /// Does something to lock `l` while it is waited for: the waiter hears of it.
    async fn told_of(&mut self, change: &[&str]) {
        self.set("l", "a", LONG).await;
        self.pushes().await;
        let reads = self.reads().await;
        let waiting = self.wait("l");
        self.tracked(1, reads + 1).await;
        let _answer: Value = self.ask(change).await;
        soon("waiting", waiting).await.unwrap();
    }

    /// The list of waiters of the present connection.
    async fn pushes(&self) -> Arc<Pushes> {
        let link = self.store.watches.links.present().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let live = link.live(None, deadline).await.unwrap();
        live.pushes.clone().unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.server.pid().to_string();
        let killed = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(killed.unwrap().success());
    }
}

fn store(endpoint: Endpoint, timeout: Duration) -> Arc<RedisStore> {
    let connector = Connector::new(endpoint).unwrap();
    RedisStore::new(connector, timeout)
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = timeout(PATIENCE, future).await else {
        panic!("{what} does not come to an end");
    };
    value
}

/// How long one wait for lock `l`, which holds `a`, takes.
async fn one_wait(
    store: &Arc<RedisStore>,
    seen: &[u8],
    attempt: u32,
    at_most: Duration,
) -> Duration {
    let begin = Instant::now();
    store.changed("l", seen, attempt, begin + at_most).await;
    begin.elapsed()
}

#[tokio::test]
async fn a_renewal_wakes_nobody() {
    let mut scene = Scene::new().await;
    scene.set("l", "a", LONG).await;
    let waiting = scene.wait("l");
    scene.tracked(1, 1).await;
    for reads in 2..6 {
        let _renewed: bool = scene.ask(&["PEXPIRE", "l", LONG]).await;
        scene.tracked(1, reads).await;
        assert!(!waiting.is_finished());
    }
    let _deleted: bool = scene.ask(&["DEL", "l"]).await;
    soon("waiting", waiting).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_released_or_got_by_another_one_has_changed() {
    let mut scene = Scene::new().await;
    scene.told_of(&["DEL", "l"]).await;
    scene.told_of(&["SET", "l", "b"]).await;
    scene.told_of(&["FLUSHALL"]).await;
}

#[tokio::test]
async fn what_had_changed_before_is_told_at_once_but_not_for_ever() {
    let mut scene = Scene::new().await;
    let absent = one_wait(&scene.store, b"a", HASTE, PATIENCE).await;
    assert!(absent >= pause_of(HASTE) / 2, "{absent:?}");

    scene.set("l", "b", LONG).await;
    let mut fastest = PATIENCE;
    for _ in 0..20 {
        fastest = fastest.min(one_wait(&scene.store, b"a", 0, PATIENCE).await);
    }
    assert!(fastest < FIRST_PAUSE / 2, "{fastest:?}");
}

fn pause_of(attempt: u32) -> Duration {
    LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(attempt))
}

#[tokio::test]
async fn nobody_waits_longer_than_until() {
    let mut scene = Scene::new().await;
    scene.set("l", "a", LONG).await;
    let short = Duration::from_millis(300);
    let waited = one_wait(&scene.store, b"a", 0, short).await;
    assert!(waited >= short && waited < PATIENCE, "{waited:?}");
    // The other end of the pause before a poll.
    scene.store.close();
    let mut fastest = PATIENCE;
    for _ in 0..20 {
        let at_most = Duration::from_millis(1);
        fastest = fastest.min(one_wait(&scene.store, b"a", 9, at_most).await);
    }
    assert!(fastest < LONGEST_PAUSE / 2, "{fastest:?}");
}

#[tokio::test]
async fn all_locks_are_waited_for_on_one_connection() {
    let mut scene = Scene::new().await;
    let locks: Vec<_> = (0..20).map(|lock| format!("l{lock}")).collect();
    for lock in &locks {
        scene.set(lock, "a", LONG).await;
    }
    let waiting = locks
        .iter()
        .map(|lock| [(); 10].map(|()| scene.wait(lock)))
        .collect::<Vec<_>>();
    scene.tracked(20, 200).await;
    assert_eq!(scene.store.connected(), 1);
    assert_eq!(scene.store.connections_tried(), 1);
    assert_eq!(scene.pushes().await.waited_for(), Some(20));
    let _deleted: bool = scene.ask(&["DEL", "l0"]).await;
    let mut waiting = waiting.into_iter();
    for waiting in waiting.next().unwrap() {
        soon("waiting", waiting).await.unwrap();
    }
    let waiting: Vec<_> = waiting.flatten().collect();
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let _ok: String = scene.ask(&["FLUSHALL"]).await;
    for waiting in waiting {
        soon("waiting", waiting).await.unwrap();
    }
    assert_eq!(scene.pushes().await.waited_for(), Some(0));
}

#[tokio::test]
async fn a_waiter_that_is_dropped_leaves_nothing_behind() {
    let mut scene = Scene::new().await;
    scene.set("l", "a", LONG).await;
    let pushes = scene.pushes().await;
    let (one, other) = (scene.wait("l"), scene.wait("l"));
    scene.tracked(1, 2).await;
    one.abort();
    let _gone = one.await;
    assert_eq!(pushes.waited_for(), Some(1));
    let _deleted: bool = scene.ask(&["DEL", "l"]).await;
    soon("the other one", other).await.unwrap();
    assert_eq!(pushes.waited_for(), Some(0));

    // At any await, before anything was read too.
    for polls in 0..4 {
        let waiting = scene.wait("m");
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        let _gone = waiting.await;
        assert_eq!(pushes.waited_for(), Some(0));
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_wakes_its_waiters_and_the_next_one_is_told() {
    let mut scene = Scene::new().await;
    // All but the one that says so.
    let kill = ["CLIENT", "KILL", "TYPE", "normal"];
    scene.told_of(&kill).await;
    scene.told_of(&["DEL", "l"]).await;
    assert_eq!(scene.store.connections_tried(), 2);
    assert_eq!(scene.store.gate().breaker_state(), BreakerState::Closed);
}

/// Whoever waits after `scene` began to poll waits for the pause, and asks nothing.
async fn polls(scene: &mut Scene) {
    scene.set("l", "a", LONG).await;
    let mut waits = Vec::new();
    for attempt in 0..6 {
        let waited = one_wait(&scene.store, b"a", attempt, PATIENCE).await;
        assert!(waited >= pause_of(attempt) / 2, "{waited:?} at {attempt}");
        waits.push(waited);
    }
    // Each may be late on a busy machine, but hardly all.
    let all: Duration = waits.iter().sum();
    assert!(all < PATIENCE / 3, "{waits:?}");
    assert_eq!(scene.store.gate().breaker_state(), BreakerState::Closed);
}

#[tokio::test]
async fn a_server_without_resp3_is_polled() {
    let mut scene = Scene::with(&["--rename-command", "HELLO", ""], Auth::None).await;
    polls(&mut scene).await;
    assert_eq!(scene.store.connections_tried(), 1);
    let asked = scene.told("commandstats", "cmdstat_client|tracking:").await;
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn a_user_without_the_right_to_client_polls_and_asks_once() {
    let user = "--user app on >secret ~* +@all -client";
    let mut scene = Scene::with(&[user], password(Some("app"), "secret")).await;
    polls(&mut scene).await;
    assert_eq!(scene.store.connections_tried(), 1);
    let command = "cmdstat_client|tracking:calls=0,usec=0,usec_per_call=0.00,rejected_calls=";
    assert_eq!(scene.told("commandstats", command).await, 1);
}

#[tokio::test]
async fn without_a_connection_it_is_polled_and_the_breaker_hears_nothing() {
    // Bound, so that nobody else listens there.
    let bound = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = bound.local_addr().unwrap().port();
    drop(bound);
    let store = store(endpoint(port, Auth::None), TIMEOUT);
    let begin = Instant::now();
    for attempt in 0..6 {
        let waited = one_wait(&store, b"a", attempt, PATIENCE).await;
        assert!(waited >= pause_of(attempt) / 2, "{waited:?} at {attempt}");
    }
    let fair = 1 + begin.elapsed().as_secs() / REST.as_secs();
    assert!(store.connections_tried() <= fair);
    assert_eq!(store.gate().times_opened(), 0);
}

#[tokio::test]
async fn a_server_that_hangs_delays_a_waiter_no_longer_than_a_poll() {
    let mut scene = Scene::with_timeout(&[], Auth::None, TIMEOUT).await;
    scene.set("l", "a", LONG).await;
    let waiting = scene.wait("l");
    scene.tracked(1, 1).await;
    scene.signal("-STOP");
    for attempt in 0..6 {
        let waited = one_wait(&scene.store, b"a", attempt, PATIENCE).await;
        assert!(waited >= pause_of(attempt) / 2, "{waited:?} at {attempt}");
        assert!(waited < PATIENCE / 3, "{waited:?} at {attempt}");
    }
    assert_eq!(scene.store.gate().times_opened(), 0);
    assert!(scene.store.connections_tried() > 1, "the dead one is kept");
    scene.signal("-CONT");
    let _deleted: bool = scene.ask(&["DEL", "l"]).await;
    // Woken by the loss of its connection, or by the push.
    soon("waiting", waiting).await.unwrap();
}

#[tokio::test]
async fn a_server_that_forgets_what_it_tracks_is_not_asked_all_the_time() {
    let mut scene = Scene::with(&["--tracking-table-max-keys", "1"], Auth::None).await;
    for lock in ["l", "m"] {
        scene.set(lock, "a", LONG).await;
    }
    let waiting = [scene.wait("l"), scene.wait("m")];
    // The longer it takes, the more may have been asked.
    let begin = Instant::now();
    scene.tracked(1, 2 * u64::from(BURST)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let reads = scene.reads().await;
    let fair = 2 * (begin.elapsed().as_millis() / PACE.as_millis() + u128::from(BURST) + 2);
    assert!(u128::from(reads) <= fair, "{reads} reads, not {fair}");
    let _ok: String = scene.ask(&["FLUSHALL"]).await;
    for waiting in waiting {
        soon("waiting", waiting).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_closed_waits_no_more() {
    let mut scene = Scene::new().await;
    scene.set("l", "a", LONG).await;
    let waiting = scene.wait("l");
    scene.tracked(1, 1).await;
    scene.store.close();
    soon("waiting", waiting).await.unwrap();
    assert_eq!(scene.store.connected(), 0);
    soon("another wait", scene.wait("l")).await.unwrap();
    assert_eq!(scene.store.connections_tried(), 1);
}

#[tokio::test]
async fn a_store_that_nobody_has_leaves_no_connection() {
    let mut scene = Scene::new().await;
    scene.set("l", "a", LONG).await;
    let waiting = scene.wait("l");
    scene.tracked(1, 1).await;
    waiting.abort();
    let _gone = waiting.await;
    assert_eq!(scene.told("clients", "connected_clients:").await, 2);
    scene.store = store(endpoint(scene.server.port, Auth::None), TIMEOUT);
    let gone = async {
        while scene.told("clients", "connected_clients:").await > 1 {
            tokio::task::yield_now().await;
        }
    };
    soon("the connection", gone).await;
}
