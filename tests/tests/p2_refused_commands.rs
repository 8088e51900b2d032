//! P2 where Redis answers, but not with what was asked for: the connection breaks in mid-reply, the
//! server is loading, read-only, elsewhere, full, or has something else under the key.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use cache_runtime::{BreakerState, Cache, ErrorKind, redis_cached};
use cache_tests::proxy::{named, script};
use cache_tests::{
    Body, Proxy, RedisServer, body::Failed, eventually, redis_state, timed, wait::SOON,
};

const TIMEOUT: Duration = Duration::from_millis(1500);
const LESS_THAN_TWO_TIMEOUTS: Duration = Duration::from_millis(2900);

#[redis_cached(ttl = 300, key = "user:{id}", skip(cache, body), cache = cache)]
async fn user(cache: &Cache, body: &Body, id: u64) -> Result<u64, Failed> {
    body.run().await
}

fn cache(url: impl Into<String>) -> Cache {
    Cache::builder().url(url).timeout(TIMEOUT).build().unwrap()
}

/// One call whose body runs, and which pays at most one timeout.
async fn one_body(cache: &Cache, body: &Body, id: u64) {
    let before = body.runs();
    let (returned, took) = timed(user(cache, body, id)).await;
    assert_eq!(returned, Ok(before + 1), "the body's own value");
    assert!(took < LESS_THAN_TWO_TIMEOUTS, "the call took {took:?}");
}

async fn one_hit(cache: &Cache, body: &Body, id: u64) {
    let before = body.runs();
    user(cache, body, id).await.unwrap();
    assert_eq!(body.runs(), before, "a hit runs no body");
}

async fn hits_resume(cache: &Cache, body: &Body, id: u64) {
    eventually("a hit", SOON, async || {
        let before = body.runs();
        user(cache, body, id).await.unwrap();
        body.runs() == before
    })
    .await;
}

fn breaker_stayed_closed(cache: &Cache) {
    let state = redis_state(cache);
    assert_eq!((state.breaker, state.opened), (BreakerState::Closed, 0));
}

// The connection.

#[tokio::test]
async fn p2_an_idle_connection_that_was_reset_costs_no_body() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    proxy.reset();
    eventually("the reset", SOON, async || proxy.open_connections() == 0).await;
    one_hit(&cache, &body, 1).await;
    proxy.close();
    eventually("the end", SOON, async || proxy.open_connections() == 0).await;
    one_hit(&cache, &body, 1).await;
    breaker_stayed_closed(&cache);
}

#[tokio::test]
async fn p2_a_connection_reset_under_a_read_costs_no_body() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    let held = proxy.hold(named("GET"));
    let (hit, ()) = tokio::join!(user(&cache, &body, 1), async {
        held.arrived().await;
        held.reset();
    });
    assert_eq!(hit, Ok(1), "it was read again");
    assert_eq!(body.runs(), 1);
    breaker_stayed_closed(&cache);
}

#[tokio::test]
async fn p2_a_reply_cut_in_the_middle_costs_no_body() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    // `$1\r\n1\r\n`, cut at each of its bytes.
    for bytes in 0..7 {
        let cut = proxy.cut_in_reply_to(named("GET"), bytes);
        one_hit(&cache, &body, 1).await;
        cut.happened().await;
    }
    breaker_stayed_closed(&cache);
}

#[tokio::test]
async fn p2_a_reply_cut_twice_costs_one_body() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    let cuts = [(); 2].map(|()| proxy.cut_in_reply_to(named("GET"), 3));
    one_body(&cache, &body, 1).await;
    for cut in cuts {
        cut.happened().await;
    }
    one_hit(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_a_script_whose_reply_is_cut_costs_no_second_body() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    for (id, nth) in [(2, "ACQUIRE"), (3, "STORE")] {
        let calling = async {
            if nth == "ACQUIRE" {
                let cut = proxy.cut_in_reply_to(script(), 2);
                one_body(&cache, &body, id).await;
                cut.happened().await;
            } else {
                body.shut_gate();
                let runs = body.runs();
                tokio::join!(one_body(&cache, &body, id), async {
                    body.wait_until_begun(runs + 1).await;
                    let cut = proxy.cut_in_reply_to(script(), 2);
                    body.open_gate();
                    cut.happened().await;
                });
            }
        };
        calling.await;
        one_hit(&cache, &body, id).await;
    }
    breaker_stayed_closed(&cache);
}

/// A proxy that cuts in the middle of replies, again and again, under 16 callers.
#[tokio::test]
async fn p2_a_proxy_that_keeps_cutting_fails_nobody() {
    let server = RedisServer::start().await;
    let proxy = Proxy::before(&server);
    let cache = cache(proxy.url());
    let body = Body::new();
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (cache, body) = (cache.clone(), body.clone());
            tokio::spawn(async move {
                for n in 0..50 {
                    let (returned, took) = timed(user(&cache, &body, (caller + n) % 8)).await;
                    returned.unwrap();
                    assert!(took < LESS_THAN_TWO_TIMEOUTS, "a call took {took:?}");
                }
            })
        })
        .collect();
    let mut cuts = 0;
    while !callers.iter().all(tokio::task::JoinHandle::is_finished) {
        drop(proxy.cut_in_reply(cuts % 9));
        cuts += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    hits_resume(&cache, &body, 1).await;
}

// A server that is not ready, or not the right one.

#[tokio::test]
async fn p2_a_loading_server_runs_the_body() {
    let server = RedisServer::builder()
        .option("key-load-delay", &["10000"])
        .option("loading-process-events-interval-bytes", &["1024"])
        .start()
        .await;
    let cache = cache(server.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    server.cli(&[
        "EVAL",
        "for n = 1, 300 do redis.call('SET', 'fill:' .. n, string.rep('x', 100)) end",
        "0",
    ]);
    server.cli(&["SAVE"]);

    let mut while_loading = 0;
    let restart = server.restart();
    let calls = async {
        loop {
            let before = body.runs();
            let (returned, took) = timed(user(&cache, &body, 1)).await;
            returned.unwrap();
            assert!(took < LESS_THAN_TWO_TIMEOUTS, "a call took {took:?}");
            if body.runs() == before && while_loading > 0 {
                return;
            }
            while_loading += u64::from(body.runs() > before);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(restart, calls);
    assert!(while_loading > 0, "it never ran a body");
    assert!(errors(ErrorKind::Server) > 0, "nobody was told LOADING");
    hits_resume(&cache, &body, 1).await;
}

/// Errors of this kind that calls of `user` met, in all tests of this file.
fn errors(kind: ErrorKind) -> u64 {
    cache_runtime::sites()
        .iter()
        .filter(|site| site.function == "user")
        .map(|site| site.stats.errors.of(kind))
        .sum()
}

#[tokio::test]
async fn p2_a_failover_leaves_the_connection_with_a_read_only_server() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = Proxy::before(&old);
    let cache = cache(proxy.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    new.cli(&["REPLICAOF", "127.0.0.1", &old.port().to_string()]);
    eventually("the replica to have the value", SOON, async || {
        new.cli(&["GET", "user:1"]) == "1"
    })
    .await;
    new.cli(&["REPLICAOF", "NO", "ONE"]);
    old.cli(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    proxy.lead_to(new.addr());

    one_body(&cache, &body, 2).await;
    assert_eq!(
        new.cli(&["GET", "user:2"]),
        "2",
        "stored by the new primary at once"
    );
    one_hit(&cache, &body, 1).await;
    one_hit(&cache, &body, 2).await;
    user_entry(&cache, 2).invalidate().await.unwrap();
    breaker_stayed_closed(&cache);
}

#[tokio::test]
async fn p2_an_invalidation_after_a_failover_reaches_the_new_primary() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = Proxy::before(&old);
    let cache = cache(proxy.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    new.cli(&["SET", "user:1", "1"]);
    old.cli(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    proxy.lead_to(new.addr());
    user_entry(&cache, 1).invalidate().await.unwrap();
    assert_eq!(new.cli(&["EXISTS", "user:1"]), "0");
}

/// Nobody leads the connections to the primary: hits go on, and no call tears them down for others.
#[tokio::test]
async fn p2_a_server_that_stays_read_only_keeps_its_connection() {
    let (primary, replica) = (RedisServer::start().await, RedisServer::start().await);
    primary.cli(&["SET", "user:1", "77"]);
    replica.cli(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    eventually("the replica to have the value", SOON, async || {
        replica.cli(&["GET", "user:1"]) == "77"
    })
    .await;
    let proxy = Proxy::before(&replica);
    let cache = cache(proxy.url());
    let body = Body::new();
    let start = Instant::now();
    for id in 100..200 {
        one_body(&cache, &body, id).await;
        assert_eq!(user(&cache, &body, 1).await, Ok(77), "a hit");
    }
    let most = 3 + start.elapsed().as_secs();
    assert!(
        proxy.connections() <= most,
        "{} connections",
        proxy.connections()
    );
    breaker_stayed_closed(&cache);
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    one_body(&cache, &body, 300).await;
    one_hit(&cache, &body, 300).await;
}

#[tokio::test]
async fn p2_keys_that_moved_to_another_node_run_the_body() {
    let cluster = || {
        RedisServer::builder()
            .option("cluster-enabled", &["yes"])
            .start()
    };
    let (here, elsewhere) = (cluster().await, cluster().await);
    here.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    elsewhere.cli(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    here.cli(&[
        "CLUSTER",
        "MEET",
        "127.0.0.1",
        &elsewhere.port().to_string(),
    ]);
    eventually("a cluster", SOON, async || {
        [&here, &elsewhere].iter().all(|node| {
            let info = node.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_size:2")
        })
    })
    .await;
    let is_here = |id: &u64| {
        let slot = here.cli(&["CLUSTER", "KEYSLOT", &format!("user:{id}")]);
        slot.parse::<u64>().unwrap() < 8192
    };
    let (mine, moved): (Vec<u64>, Vec<u64>) = (0..24).partition(is_here);
    assert!(!mine.is_empty() && !moved.is_empty());

    let proxy = Proxy::before(&here);
    let cache = cache(proxy.url());
    let body = Body::new();
    for id in &mine {
        one_body(&cache, &body, *id).await;
    }
    let start = Instant::now();
    for _ in 0..5 {
        for id in &moved {
            one_body(&cache, &body, *id).await;
            one_hit(&cache, &body, mine[0]).await;
        }
    }
    let most = 3 + start.elapsed().as_secs();
    assert!(
        proxy.connections() <= most,
        "{} connections",
        proxy.connections()
    );
    breaker_stayed_closed(&cache);
    user_entry(&cache, moved[0]).invalidate().await.unwrap_err();
    user_entry(&cache, mine[0]).invalidate().await.unwrap();
}

// Rights.

#[tokio::test]
async fn p2_a_server_that_wants_a_password_all_at_once() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    server.cli(&["CONFIG", "SET", "requirepass", "pw"]);
    server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for _ in 0..3 {
        one_body(&cache, &body, 1).await;
    }
    server.cli(&["CONFIG", "SET", "requirepass", ""]);
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_a_password_that_is_wrong_for_a_while() {
    let server = RedisServer::builder()
        .user("app", "old", &["~*", "+@all"])
        .start()
        .await;
    let cache = cache(server.url_as("app", "new"));
    let body = Body::new();
    for _ in 0..3 {
        one_body(&cache, &body, 1).await;
    }
    server.cli(&["ACL", "SETUSER", "app", ">new"]);
    hits_resume(&cache, &body, 1).await;
}

#[tokio::test]
async fn p2_a_user_that_may_not_runs_the_body() {
    let server = RedisServer::builder()
        .user("app", "pw", &["~*", "+@all"])
        .start()
        .await;
    for (taken, given) in [
        ("-get", "+get"),
        ("-@scripting", "+@scripting"),
        ("-set", "+set"),
        ("resetkeys", "~*"),
    ] {
        let cache = cache(server.url_as("app", "pw"));
        let body = Body::new();
        server.empty().await;
        server.cli(&["ACL", "SETUSER", "app", taken]);
        for _ in 0..20 {
            one_body(&cache, &body, 1).await;
        }
        breaker_stayed_closed(&cache);
        server.cli(&["ACL", "SETUSER", "app", given]);
        one_body(&cache, &body, 1).await;
        one_hit(&cache, &body, 1).await;
    }
}

/// Where nothing was found lately, asking for the right to store is the read. A user who may not do that still gets what is stored.
#[tokio::test]
async fn p2_a_user_that_may_read_and_no_more_has_hits() {
    let server = RedisServer::builder()
        .user("app", "pw", &["~*", "+@all"])
        .start()
        .await;
    for (taken, given) in [("-@scripting", "+@scripting"), ("-set", "+set")] {
        let cache = cache(server.url_as("app", "pw"));
        let body = Body::new();
        server.empty().await;
        for id in 1..10 {
            one_body(&cache, &body, id).await;
        }
        server.cli(&["ACL", "SETUSER", "app", taken]);
        for _ in 0..3 {
            one_hit(&cache, &body, 1).await;
        }
        breaker_stayed_closed(&cache);
        server.cli(&["ACL", "SETUSER", "app", given]);
    }
}

#[tokio::test]
async fn p2_a_user_that_is_deleted_and_comes_back() {
    let server = RedisServer::builder()
        .user("app", "pw", &["~*", "+@all"])
        .start()
        .await;
    let cache = cache(server.url_as("app", "pw"));
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    server.cli(&["ACL", "DELUSER", "app"]);
    for _ in 0..3 {
        one_body(&cache, &body, 1).await;
    }
    server.cli(&["ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all"]);
    hits_resume(&cache, &body, 1).await;
}

// What is in Redis.

#[tokio::test]
async fn p2_a_full_server_costs_the_body_and_nothing_else() {
    let server = RedisServer::builder().maxmemory(4_000_000).start().await;
    let cache = cache(server.url());
    let body = Body::new();
    one_body(&cache, &body, 1).await;
    // Where nothing was found lately, asking for the right to store is the read.
    for id in 10..18 {
        one_body(&cache, &body, id).await;
    }
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    one_hit(&cache, &body, 1).await;
    for _ in 0..20 {
        one_body(&cache, &body, 2).await;
    }
    one_hit(&cache, &body, 1).await;
    user_entry(&cache, 1).invalidate().await.unwrap();
    breaker_stayed_closed(&cache);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    one_body(&cache, &body, 2).await;
    one_hit(&cache, &body, 2).await;
}

#[tokio::test]
async fn p2_something_else_under_the_key_is_a_miss_and_overwritten() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    let body = Body::new();
    let others: [&[&str]; 9] = [
        &["RPUSH", "user:1", "a", "b"],
        &["HSET", "user:1", "a", "b"],
        &["SADD", "user:1", "a"],
        &["SET", "user:1", ""],
        &["SET", "user:1", "{\"half"],
        &["SET", "user:1", "\"another type's JSON\""],
        &["SET", "user:1", "-1"],
        &["SET", "user:1", "null"],
        &[
            "EVAL",
            r"redis.call('SET', KEYS[1], '\193\001\255\000')",
            "1",
            "user:1",
        ],
    ];
    for other in others {
        server.empty().await;
        server.cli(other);
        one_body(&cache, &body, 1).await;
        one_hit(&cache, &body, 1).await;
        assert_eq!(server.cli(&["GET", "user:1"]), body.runs().to_string());
        assert_eq!(server.cli(&["DBSIZE"]), "1", "no token is left");
    }
    breaker_stayed_closed(&cache);
}

#[tokio::test]
async fn p2_an_entry_of_another_type_is_nothing() {
    let server = RedisServer::start().await;
    let cache = cache(server.url());
    server.cli(&["SET", "user:1", "\"text\""]);
    assert_eq!(user_entry(&cache, 1).get().await.unwrap(), None);
    server.empty().await;
    server.cli(&["RPUSH", "user:1", "a"]);
    assert_eq!(
        user_entry(&cache, 1).get().await.unwrap_err().kind(),
        ErrorKind::Server
    );
    user_entry(&cache, 1).put(&5).await.unwrap();
    assert_eq!(user_entry(&cache, 1).get().await.unwrap(), Some(5));
}
