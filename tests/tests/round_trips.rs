//! What a call costs in commands to Redis, by the log of what the client sent.
//!
//! By hand a miss is GET and SET. With the right to store it is one round trip more, whatever the options, and a
//! hit is GET alone:
//!
//! | call | commands |
//! |---|---|
//! | a hit, with any option | GET |
//! | a miss, with any option | GET, acquire, store |
//! | a miss after eight, without stale values or `coalesce` | acquire, store |
//! | a body that fails, and nothing stale | GET, acquire, release (behind the answer) |
//! | a stale value, refreshed behind | GET; acquire and store behind the answer |
//! | a hit that is refreshed ahead | GET; acquire and store behind the answer |
//! | a stale value in the place of an error | GET, acquire; release behind the answer |
//! | a value that another process stored meanwhile | GET, acquire; release behind the answer |
//! | `put`, `put_with` | SET, put |
//! | `refresh` | SET, store |
//! | `invalidate` | DEL, DEL, DEL in one write |
//!
//! Entries with a stamp are judged by the server's clock: the first one, and then one every half a minute, also
//! costs a TIME.
#![allow(missing_docs)]

use std::time::Duration;

use cache_runtime::{Cache, Entry, ManualClock, Outcome, only_if_cached, redis_cached};
use cache_tests::body::Failed;
use cache_tests::wait::SOON;
use cache_tests::{Body, Proxy, RedisServer, eventually};

macro_rules! functions {
    ($($name:ident $entry:ident ($($option:tt)*);)*) => {
        $(
            #[redis_cached(ttl = 60, skip(cache, body), cache = &cache, $($option)*)]
            async fn $name(cache: Cache, body: Body, id: u64) -> Result<u64, Failed> {
                let _ = id;
                body.run().await
            }
        )*

        /// The functions, by their options.
        const OPTIONS: &[&str] = &[$(stringify!($name)),*];

        async fn call(option: &str, side: &Side, id: u64) -> Result<u64, Failed> {
            let (cache, body) = (side.cache.clone(), side.body.clone());
            match option {
                $(stringify!($name) => $name(cache, body, id).await,)*
                other => panic!("no function {other}"),
            }
        }

        fn entry(option: &str, side: &Side, id: u64) -> Entry<u64> {
            let cache = side.cache.clone();
            match option {
                $(stringify!($name) => $entry(cache, id),)*
                other => panic!("no function {other}"),
            }
        }
    };
}

functions! {
    plain plain_entry ();
    stale_while_revalidate stale_while_revalidate_entry (stale_while_revalidate = 300);
    stale_if_error stale_if_error_entry (stale_if_error = 300);
    soft_timeout soft_timeout_entry (stale_if_error = 300, soft_timeout = 10);
    refresh_ahead refresh_ahead_entry (refresh_ahead = 0.5);
    xfetch xfetch_entry (refresh_ahead = "xfetch");
    jitter jitter_entry (jitter = 0.2);
    cluster cluster_entry (coalesce = "cluster");
    everything everything_entry (
        stale_while_revalidate = 200, stale_if_error = 300, refresh_ahead = 0.5, soft_timeout = 10,
        jitter = 0.1, coalesce = "cluster"
    );
}

/// A cache, and what it sends.
struct Side {
    server: RedisServer,
    proxy: Proxy,
    cache: Cache,
    body: Body,
    clock: ManualClock,
}

impl Side {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let (proxy, clock) = (Proxy::before(&server), ManualClock::new());
        let builder = Cache::builder().url(proxy.url()).clock(&clock);
        let side = Self {
            cache: builder.timeout(SOON).build().unwrap(),
            server,
            proxy,
            body: Body::new(),
            clock,
        };
        side.cache.ping().await.unwrap();
        side.proxy.forget();
        side
    }

    /// What has been sent since the last look, when nothing runs any more.
    async fn sent(&self) -> Vec<String> {
        eventually("nothing runs", SOON, async || {
            self.body.running() == 0 && self.cache.stats().flights == 0
        })
        .await;
        // Behind whatever was sent in the background.
        for _ in 0..3 {
            self.cache.ping().await.unwrap();
        }
        let commands = self.proxy.commands();
        self.proxy.forget();
        let names = commands.iter().map(|command| of(command).to_owned());
        let mut names: Vec<_> = names.filter(|name| name != "PING").collect();
        // The GET of an acquire goes in one write with it.
        for acquire in (0..names.len()).rev() {
            if names[acquire] == "SET NX" {
                assert_eq!(names.remove(acquire + 1), "GET");
                names[acquire] = "acquire".to_owned();
            }
        }
        names
    }
}

/// Scripts by what they do; they differ in how many keys and arguments they have.
fn of(command: &[String]) -> &str {
    if command[0] == "SET" && command[3] == "NX" {
        return "SET NX";
    }
    if !command[0].starts_with("EVAL") {
        return &command[0];
    }
    let keys: usize = command[2].parse().unwrap();
    let arguments = &command[3 + keys..];
    match (&command[3], keys, arguments.len()) {
        (first, _, 4) if first.contains("%t") => "release",
        (_, 3, 4) => "put",
        (_, _, 5 | 6) if arguments[1] == "30000" => "acquire",
        (_, 2, 3 | 4) | (_, 3, 6) => "store",
        other => panic!("what is this? {other:?}"),
    }
}

#[tokio::test]
async fn a_function_that_finds_nothing_reads_by_asking_for_the_right_to_store() {
    let side = Side::start().await;
    for option in OPTIONS {
        for id in 10..18 {
            call(option, &side, id).await.unwrap();
            assert_eq!(side.sent().await, ["GET", "acquire", "store"], "{option}");
        }
        let is_plain = ["plain", "jitter"].contains(option);
        call(option, &side, 1).await.unwrap();
        let read = if is_plain { &[][..] } else { &["GET"] };
        let miss = [read, &["acquire", "store"]].concat();
        assert_eq!(side.sent().await, miss, "{option}: the ninth miss");
        let hit = if is_plain {
            &["acquire", "release"][..]
        } else {
            &["GET"]
        };
        call(option, &side, 1).await.unwrap();
        assert_eq!(side.sent().await, hit, "{option}: a hit nobody expected");
        call(option, &side, 1).await.unwrap();
        assert_eq!(side.sent().await, ["GET"], "{option}: the next one");
        call(option, &side, 2).await.unwrap();
        let miss = ["GET", "acquire", "store"];
        assert_eq!(side.sent().await, miss, "{option}: a miss after a hit");
    }
}

/// Lets calls of the function find nothing, so that the next one is taken for a miss.
async fn find_nothing(option: &str, side: &Side) {
    for id in 10..18 {
        entry(option, side, id).invalidate().await.unwrap();
        call(option, side, id).await.unwrap();
    }
    side.sent().await;
}

#[tokio::test]
async fn a_question_that_fails_is_no_more_the_read_of_the_next_call() {
    let side = Side::start().await;
    call("plain", &side, 1).await.unwrap();
    find_nothing("plain", &side).await;
    side.server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    call("plain", &side, 2).await.unwrap();
    assert_eq!(side.sent().await, ["acquire"], "there is no room");
    call("plain", &side, 1).await.unwrap();
    assert_eq!(side.sent().await, ["GET"]);
}

#[tokio::test]
async fn a_call_of_which_more_is_asked_than_its_value_reads_as_ever() {
    let side = Side::start().await;
    call("plain", &side, 1).await.unwrap();
    find_nothing("plain", &side).await;
    assert_eq!(only_if_cached(call("plain", &side, 2)).await, None);
    assert_eq!(side.sent().await, ["GET"], "no body may run");
    let outcome = Outcome::of(call("plain", &side, 1)).await;
    outcome.value.unwrap();
    assert_eq!(side.sent().await, ["GET", "PTTL"], "a report");
}

#[tokio::test]
async fn a_miss_is_one_round_trip_more_than_by_hand_and_a_hit_none() {
    let side = Side::start().await;
    for option in OPTIONS {
        call(option, &side, 1).await.unwrap();
        assert_eq!(
            side.sent().await,
            ["GET", "acquire", "store"],
            "{option}: a miss"
        );
        call(option, &side, 1).await.unwrap();
        assert_eq!(side.sent().await, ["GET"], "{option}: a hit");
        side.body.fail_next(1);
        call(option, &side, 2).await.unwrap_err();
        let failed = ["GET", "acquire", "release"];
        assert_eq!(side.sent().await, failed, "{option}: a failure");
    }
}

/// The server's own clock, which is asked for once.
#[tokio::test]
async fn the_time_is_asked_for_once() {
    let side = Side::start().await;
    let cache = Cache::builder().url(side.proxy.url()).build().unwrap();
    let side = Side { cache, ..side };
    for id in 0..3 {
        call("everything", &side, id).await.unwrap();
    }
    let sent = side.sent().await;
    assert!(
        !sent.contains(&"TIME".to_owned()),
        "a miss tells no age: {sent:?}"
    );
    for id in 0..3 {
        call("everything", &side, id).await.unwrap();
    }
    assert_eq!(side.sent().await, ["GET", "TIME", "GET", "GET"]);
}

#[tokio::test]
async fn a_refresh_behind_costs_its_caller_no_more_than_a_hit() {
    let side = Side::start().await;
    for (option, age) in [
        ("stale_while_revalidate", 61),
        ("everything", 61),
        ("refresh_ahead", 31),
        ("everything", 40),
    ] {
        call(option, &side, 1).await.unwrap();
        side.sent().await;
        side.clock.advance(Duration::from_secs(age));
        side.body.shut_gate();
        call(option, &side, 1).await.unwrap();
        side.body.wait_until_running(1).await;
        let commands = side.proxy.commands();
        let before: Vec<_> = commands.iter().map(|command| of(command)).collect();
        assert_eq!(before, ["GET", "acquire"], "{option}");
        side.body.open_gate();
        assert_eq!(side.sent().await, ["GET", "acquire", "store"], "{option}");
        // Begin anew.
        entry(option, &side, 1).invalidate().await.unwrap();
        side.sent().await;
    }
}

#[tokio::test]
async fn a_stale_value_in_the_place_of_an_error_costs_what_the_error_would() {
    let side = Side::start().await;
    for option in ["stale_if_error", "soft_timeout"] {
        call(option, &side, 1).await.unwrap();
        side.sent().await;
        side.clock.advance(Duration::from_secs(61));
        side.body.fail_next(1);
        call(option, &side, 1).await.unwrap();
        let failed = ["GET", "acquire", "release"];
        assert_eq!(side.sent().await, failed, "{option}");
        // The key rests: nobody asks again for a while.
        call(option, &side, 1).await.unwrap();
        assert_eq!(side.sent().await, ["GET"], "{option}");
    }
}

#[tokio::test]
async fn what_changes_an_entry_costs_two_round_trips_at_most() {
    let side = Side::start().await;
    for option in OPTIONS {
        let entry = entry(option, &side, 1);
        entry.put(&1).await.unwrap();
        assert_eq!(side.sent().await, ["SET", "put"], "{option}");
        entry.put_with(async { 2 }).await.1.unwrap();
        assert_eq!(side.sent().await, ["SET", "put"], "{option}");
        entry.refresh(async { 3 }).await;
        assert_eq!(side.sent().await, ["SET", "store"], "{option}");
        entry.invalidate().await.unwrap();
        assert_eq!(side.sent().await, ["DEL"; 3], "{option}");
    }
}
