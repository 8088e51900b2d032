//! The server's clock, by which ages are told, is set; or another server takes over, whose clock differs.
//!
//! The scripts write the real time into what they store. What `TIME` answers, and what stands there already, is
//! of a clock that is an hour ahead where a test says so.

use std::time::Duration;

use cache_runtime::redis::AsyncCommands;
use cache_runtime::{Cache, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::{SOON, eventually};
use cache_tests::{Body, Proxy, RedisServer, patient};

use crate::scene::until_stored;

const HOUR: Duration = Duration::from_secs(3_600);
/// The ttl of the functions here, in milliseconds.
const TTL: u64 = 60_000;

/// It has a stamp, and no window: past its ttl the body runs.
#[redis_cached(ttl = 60, refresh_ahead = 0.9, key = "clock:{id}", skip(cache, body), cache = cache)]
async fn no_window(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

#[redis_cached(
    ttl = 60, stale_while_revalidate = "1h", key = "window:{id}", skip(cache, body), cache = cache
)]
async fn window(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

struct Scene {
    server: RedisServer,
    proxy: Proxy,
    cache: Cache,
    body: Body,
}

impl Scene {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let proxy = Proxy::before(&server);
        Self {
            cache: patient(&proxy.url()),
            body: Body::new(),
            server,
            proxy,
        }
    }

    /// The clock is ahead, and the cache has asked what it shows.
    async fn with_a_known_clock_ahead() -> Self {
        let scene = Self::start().await;
        scene.proxy.clock_ahead(HOUR);
        scene.stored_ahead("clock:1", 70).await;
        assert_eq!(no_window(&scene.cache, &scene.body, 1).await, Ok(70));
        assert_eq!(scene.proxy.seen("TIME"), 1);
        scene
    }

    /// What was told a moment ago is believed, and doubted soon: here by who reads an entry of the future.
    async fn until_the_clock_is_asked_anew(&self) {
        let asked = self.proxy.seen("TIME");
        self.stored_by("clock:0", 0, 3 * HOUR).await;
        let doubtful = no_window_entry(&self.cache, 0);
        eventually("the clock to be asked anew", SOON, async || {
            doubtful.get().await.expect("redis");
            self.proxy.seen("TIME") > asked
        })
        .await;
    }

    async fn stored_ahead(&self, key: &str, value: u64) {
        self.stored_by(key, value, HOUR).await;
    }

    /// What a server stores now whose clock is ahead by this.
    async fn stored_by(&self, key: &str, value: u64, ahead: Duration) {
        let time = self.server.cli(&["TIME"]);
        let second = time
            .lines()
            .next()
            .and_then(|second| second.parse::<u64>().ok());
        let at = (second.expect("a number") + ahead.as_secs()) * 1_000;
        let mut bytes = vec![0xC1, 1, 2, 20, 0];
        bytes.extend(at.to_le_bytes());
        bytes.extend(TTL.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(value.to_string().into_bytes());
        let mut connection = self.server.connection().await;
        let set = connection.set_ex::<_, _, ()>(key, bytes, 2 * HOUR.as_secs());
        set.await.expect("SET");
    }

    /// What is stored from now on is a hit.
    async fn a_value_is_stored_once(&self) {
        for _ in 0..4 {
            assert_eq!(no_window(&self.cache, &self.body, 2).await, Ok(1));
        }
        let entry = no_window_entry(&self.cache, 2);
        assert_eq!(entry.get().await.expect("redis"), Some(1));
    }
}

#[tokio::test]
async fn where_another_server_takes_over_whose_clock_is_behind_what_it_stores_is_fresh() {
    let scene = Scene::with_a_known_clock_ahead().await;
    scene.proxy.clock_ahead(Duration::ZERO);
    scene.proxy.reset();
    scene.a_value_is_stored_once().await;
}

#[tokio::test]
async fn where_the_clock_is_set_back_what_is_stored_is_fresh() {
    let scene = Scene::with_a_known_clock_ahead().await;
    scene.proxy.clock_ahead(Duration::ZERO);
    // What was told a moment ago is believed; it may be longer.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    scene.a_value_is_stored_once().await;
    assert!(scene.proxy.seen("TIME") > 1, "it was asked anew");
}

#[tokio::test]
async fn where_the_clock_is_set_forward_what_is_stored_is_fresh() {
    let scene = Scene::start().await;
    assert_eq!(no_window(&scene.cache, &scene.body, 1).await, Ok(1));
    assert_eq!(no_window(&scene.cache, &scene.body, 1).await, Ok(1));
    assert_eq!(scene.proxy.seen("TIME"), 1);
    scene.proxy.clock_ahead(HOUR);
    scene.stored_ahead("clock:2", 70).await;
    scene.until_the_clock_is_asked_anew().await;
    for _ in 0..4 {
        assert_eq!(no_window(&scene.cache, &scene.body, 2).await, Ok(70));
    }
    assert_eq!(scene.body.runs(), 1);
}

/// Its age is not known: it is answered no longer than a window allows, and written anew.
#[tokio::test]
async fn what_a_clock_far_ahead_stored_is_written_anew() {
    let scene = Scene::start().await;
    scene.stored_ahead("clock:1", 70).await;
    let entry = no_window_entry(&scene.cache, 1);
    assert_eq!(entry.get().await.expect("redis"), None);
    for _ in 0..4 {
        assert_eq!(no_window(&scene.cache, &scene.body, 1).await, Ok(1));
    }
    scene.stored_ahead("window:1", 70).await;
    let entry = window_entry(&scene.cache, 1);
    assert_eq!(entry.get().await.expect("redis"), Some(70));
    assert_eq!(window(&scene.cache, &scene.body, 1).await, Ok(70));
    until_stored(&entry, 2).await;
    for _ in 0..4 {
        assert_eq!(window(&scene.cache, &scene.body, 1).await, Ok(2));
    }
    assert_eq!(scene.body.runs(), 2);
}
