//! Connections move to a new token one after the other, and what is under way on the old ones is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use cache_runtime::Cache;
use cache_tests::proxy::{about, login};
use cache_tests::{eventually, wait::SOON, within};
use tokio::runtime::Runtime;

use crate::load::{Commands, Load, Stores};
use crate::site::{LONG, Site, on_each, send};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Four runtimes, each driven by a thread of its own, with two connections each, and calls on them.
fn four_runtimes(cache: &Cache, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let of_each = |first: u64| {
        let (cache, stop) = (cache.clone(), stop.clone());
        std::thread::spawn(move || {
            runtime().block_on(async {
                let connection = cache.connection().unwrap();
                let stores = Load::start(2, |id| Stores(cache.clone(), first + id));
                let commands = Load::start(2, |id| Commands(connection.clone(), first + id));
                eventually("the end", 2 * SOON, async || stop.load(Ordering::Relaxed)).await;
                stores.went_well().await;
                commands.went_well().await;
            });
        })
    };
    [0, 2, 4, 6].map(of_each).into()
}

#[tokio::test]
async fn p9_several_connections_move_one_after_the_other_and_in_time() {
    let site = Site::of_path(Duration::from_secs(20)).await;
    let cache = site.cache();
    let stop = Arc::default();
    let runtimes = four_runtimes(&cache, &stop);
    eventually("eight connections", SOON, async || {
        site.connections_with(0).len() == 8
    })
    .await;
    site.provider.life(LONG);
    let held = site.azure.proxy().hold(login());
    held.arrived().await;
    let since = SystemTime::now();
    eventually("some time to pass", SOON, async || {
        assert_eq!(site.new_logins().len(), 1, "the others wait for their turn");
        since.elapsed().unwrap() > Duration::from_millis(800)
    })
    .await;
    held.release();
    site.moved(8, 1).await;
    // Three fifths of the margin, which is half a life here, are left; one second is for a busy machine.
    let left = site.end_of(0).duration_since(SystemTime::now());
    assert!(left.unwrap() > Duration::from_secs(5));
    assert_eq!(site.azure.proxy().connections(), 16, "one attempt each");
    stop.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(|| {
        for runtime in runtimes {
            runtime.join().unwrap();
        }
    })
    .await
    .unwrap();
    site.no_failures();
    assert_eq!(site.provider.requests(), 2);
}

/// It has the turn, and does nothing with it.
#[test]
fn p9_a_runtime_that_nobody_drives_in_its_turn_does_not_hold_up_the_others_until_the_end() {
    let (idle, busy) = (runtime(), runtime());
    let site = busy.block_on(Site::of_path(Duration::from_secs(12)));
    let cache = site.cache();
    idle.block_on(cache.ping()).unwrap();
    busy.block_on(cache.ping()).unwrap();
    assert_eq!(site.connections_with(0), [1, 2]);
    site.provider.life(LONG);
    let held = site.azure.proxy().hold(login());
    // Nobody drives the other one meanwhile, so this one's turn comes first.
    idle.block_on(held.arrived());
    busy.block_on(async {
        let load = Load::start(8, |id| Stores(cache.clone(), id));
        eventually("the driven one to move", SOON, async || {
            site.connections_with(1).len() == 1
        })
        .await;
        assert!(
            SystemTime::now() < site.end_of(0) - Duration::from_secs(1),
            "only when the old token had ended"
        );
        load.goes_on(80).await;
        load.went_well().await;
    });
    held.release();
    idle.block_on(cache.ping()).unwrap();
}

#[tokio::test]
async fn p9_what_is_under_way_on_the_old_connections_is_answered() {
    on_each(Duration::from_secs(8), async |site| {
        let cache = site.cache();
        let ttl = Duration::from_secs(300);
        cache.set_ex("slow", &"old".to_owned(), ttl).await.unwrap();
        let connection = cache.connection().unwrap();
        send::<String>(&connection, &["SET", "own", "old"])
            .await
            .unwrap();
        site.provider.life(LONG);
        let proxy = site.azure.proxy();
        let held = [
            proxy.hold_reply(about("GET", "slow")),
            proxy.hold_reply(about("GET", "own")),
        ];
        let slow = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get::<String>("slow").await }
        });
        let own = tokio::spawn({
            let connection = connection.clone();
            async move { send::<String>(&connection, &["GET", "own"]).await }
        });
        for held in &held {
            held.arrived().await;
        }
        eventually("both connections to have a successor", SOON, async || {
            site.connections_with(1).len() == 2
        })
        .await;
        // What is sent behind what is held waits.
        let soon = Duration::from_millis(200);
        eventually("the new ones to serve", SOON, async || {
            let own = send::<String>(&connection, &["PING"]);
            let shared = tokio::time::timeout(soon, cache.ping()).await;
            shared.is_ok_and(|pinged| pinged.is_ok())
                && tokio::time::timeout(soon, own).await.is_ok()
        })
        .await;
        // And the old ones stay for what is held.
        cache.set_ex("slow", &"new".to_owned(), ttl).await.unwrap();
        send::<String>(&connection, &["SET", "own", "new"])
            .await
            .unwrap();
        assert_eq!(site.connections_with(0), [1, 2]);
        for held in held {
            held.release();
        }
        let answers = within("the answers", SOON, async { (slow.await, own.await) }).await;
        assert_eq!(answers.0.unwrap().unwrap().as_deref(), Some("old"));
        assert_eq!(answers.1.unwrap().unwrap(), "old");
        site.moved(2, 1).await;
        assert!(
            SystemTime::now() < site.end_of(0),
            "closed when all was answered"
        );
        assert_eq!(proxy.unanswered(), 0);
    })
    .await;
}
