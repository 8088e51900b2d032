//! Tests that would disturb each other, side by side: the same arguments, and opposite expectations.

use std::sync::mpsc;

use cache_runtime::{Cache, redis_cached};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::{current_thread, multi_thread, named, number, number_entry};

const TIMES: u64 = 1000;

/// A test as a user writes it, of a function whose source has this.
async fn a_test(source: u64) {
    assert_eq!(number(source, 1).await, source, "nobody was here before");
    assert_eq!(number(source + 1, 1).await, source, "a hit");
    let entry = number_entry(1);
    assert_eq!(entry.get().await.expect("a store"), Some(source));
    entry.invalidate().await.expect("a store");
    assert_eq!(number(source + 2, 1).await, source + 2);
    entry.put(&source).await.expect("a store");
    assert_eq!(number(source + 3, 1).await, source);
}

/// The same, also on tasks of its own.
async fn a_test_that_spawns(source: u64) {
    a_test(source).await;
    let spawned = tokio::spawn(async move { number(source + 4, 1).await });
    assert_eq!(spawned.await.expect("no panic"), source);
}

async fn installed(source: u64) {
    for _ in 0..TIMES {
        let _guard = named("own").install_in_this_runtime();
        a_test_that_spawns(source).await;
    }
}

#[tokio::test]
async fn one_of_two_tests_in_a_runtime_of_its_own() {
    installed(1).await;
}

#[tokio::test]
async fn the_other_of_two_tests_in_a_runtime_of_its_own() {
    installed(100).await;
}

#[redis_cached(ttl = 300)]
async fn price(article: u64) -> u64 {
    article * 2
}

/// As the README has it.
#[tokio::test]
async fn a_price_is_asked_for_once() {
    let cache = Cache::builder().in_memory().build().unwrap();
    let _guard = cache.install_in_this_runtime();
    assert_eq!(price(4).await, 8);
    assert_eq!(tokio::spawn(price(4)).await.unwrap(), 8);
    let site = &cache.stats().sites[0];
    assert_eq!((site.function, site.stats.body_runs), ("price", 1));
}

async fn scoped(source: u64) {
    for _ in 0..TIMES {
        named("own").scope(a_test(source)).await;
    }
}

#[tokio::test]
async fn one_of_two_tests_in_a_scope() {
    scoped(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_of_two_tests_in_a_scope() {
    scoped(100).await;
}

/// Each pair begins at one moment, on runtimes that were made for it.
#[test]
fn a_thousand_pairs_of_runtimes_with_opposite_expectations() {
    // Not a barrier, because one of two that has failed comes to none.
    let (one, begins_one) = mpsc::channel();
    let (other, begins_other) = mpsc::channel();
    std::thread::scope(|threads| {
        for (source, build, begins, other) in [
            (1, current_thread as fn() -> _, one, begins_other),
            (100, multi_thread, other, begins_one),
        ] {
            threads.spawn(move || {
                for _ in 0..TIMES {
                    let runtime = build();
                    begins.send(()).expect("the other goes on");
                    other.recv().expect("the other goes on");
                    runtime.block_on(async {
                        let _guard = named("own").install_in_this_runtime();
                        a_test_that_spawns(source).await;
                    });
                }
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_scopes_in_one_runtime_with_expectations_of_their_own() {
    let tests: Vec<_> = (0..TIMES)
        .map(|n| tokio::spawn(named("own").scope(a_test(10 * n))))
        .collect();
    for test in tests {
        test.await.expect("no panic");
    }
}

/// A service whose handlers are tasks, as those of a web framework are.
async fn serve(source: u64) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a client");
            tokio::spawn(async move {
                let value = number(source, 1).await;
                stream.write_u64(value).await.expect("a client");
            });
        }
    });
    address
}

#[test]
fn fifty_served_apps_over_sockets_in_one_process() {
    const APPS: u64 = 50;
    std::thread::scope(|threads| {
        for app in 0..APPS {
            threads.spawn(move || {
                current_thread().block_on(async {
                    let _guard = named("own").install_in_this_runtime();
                    let address = serve(app).await;
                    let ask = async || {
                        let mut stream = TcpStream::connect(address).await.expect("a service");
                        stream.read_u64().await.expect("an answer")
                    };
                    assert_eq!(ask().await, app);
                    number_entry(1).put(&(app + APPS)).await.expect("a store");
                    assert_eq!(ask().await, app + APPS, "the service has this test's cache");
                });
            });
        }
    });
}
