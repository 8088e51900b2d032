//! Calls that find nothing: what a miss costs beyond its body.
//!
//! **Every call asks for a key that nobody asked for before**, and its body takes no time.

use std::sync::atomic::{AtomicU64, Ordering};

use cache_tests::RedisServer;
use redis::aio::MultiplexedConnection;

use super::hits::time;
use crate::contenders::{
    Amalgam, CachedRedis, Contender, Hitbox, RedisCached, multiplexed, with_manager,
};
use crate::load::Load;
use crate::section::Section;
use crate::settings::Settings;
use crate::turns::{Entrant, take_turns};
use crate::values::{Price, Size, User};

/// A contender that is asked for new keys only.
#[derive(Clone)]
struct Missed<C>(C);

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Hits have their ids below this one.
const NEW_IDS: u64 = 1_000_000;

fn new_id(of: Size) -> u64 {
    of.first_id() + NEW_IDS + NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl<C: Contender> Contender for Missed<C> {
    async fn user(&self, _: u64) -> User {
        self.0.user(new_id(Size::B330)).await
    }

    async fn price(&self, _: u64) -> Price {
        self.0.price(new_id(Size::B50)).await
    }
}

/// One caller and 64.
pub(crate) async fn run(settings: &Settings) -> Section {
    let server = &settings.server;
    let (entrants, round_trips) = entrants(server).await;
    let mut rows = Vec::new();
    for (name, callers) in [("1 caller", 1), ("64 callers", 64)] {
        let load = Load {
            size: Size::B330,
            callers,
            keys: callers,
            batch: 1,
        };
        let standings = take_turns(settings, &entrants, load).await;
        for (standing, round_trips) in standings.iter().zip(&round_trips) {
            rows.push(vec![
                name.to_owned(),
                standing.name.to_owned(),
                format!("{:.2}", standing.ratios.median()),
                time(standing.all.per_call()),
                format!("{round_trips:.1}"),
            ]);
        }
    }
    Section {
        title: "A miss, 330 bytes of JSON".to_owned(),
        reading: "\
Every call asks for a key that is not stored, and the source takes no time. *round trips* are how often one caller waits for Redis in a \
call: fewer are better. By hand they are a GET and a SETEX. `redis_cached` takes the right to store, so that a value which was computed before an invalidation \
is never stored after it. That is a round trip more, but not here: where calls have found nothing lately, taking the right is the read. What \
it costs the server shows most here, where the source takes no time. \
amalgam's more are its lock, which keeps other processes from computing the same, and what it tells them of a change."
            .to_owned(),
        header: ["load", "contender", "ratio", "a call", "round trips"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        bars: None,
    }
}

/// The contenders, and how many round trips each makes.
async fn entrants(server: &RedisServer) -> (Vec<Entrant>, Vec<f64>) {
    let url = &server.url();
    let mut entered = Entered {
        connection: server.connection().await,
        entrants: Vec::new(),
        round_trips: Vec::new(),
    };
    let by_hand = multiplexed(url).await.expect("a server that runs");
    entered.enter("by hand", by_hand).await;
    let manager = with_manager(url).await.expect("a server that runs");
    entered.enter("by hand, manager", manager).await;
    let redis_cached = RedisCached::on(url).expect("a URL");
    entered.enter("redis_cached", redis_cached).await;
    entered.enter("cached", CachedRedis::on(url)).await;
    let hitbox = Hitbox::on(url).expect("a URL");
    entered.enter("hitbox", hitbox).await;
    let amalgam = Amalgam::on(url).await.expect("a server that runs");
    entered.enter("amalgam", amalgam).await;
    (entered.entrants, entered.round_trips)
}

struct Entered {
    /// One that no contender uses.
    connection: MultiplexedConnection,
    entrants: Vec<Entrant>,
    round_trips: Vec<f64>,
}

impl Entered {
    async fn enter<C: Contender>(&mut self, name: &'static str, contender: C) {
        const CALLS: u64 = 100;
        let missed = Missed(contender);
        // The first one connects.
        missed.user(0).await;
        let before = self.reads().await;
        for _ in 0..CALLS {
            missed.user(0).await;
        }
        // One of them is this question itself.
        let reads = self.reads().await - before - 1;
        self.round_trips.push(reads as f64 / CALLS as f64);
        self.entrants.push(Entrant::new(name, missed));
    }

    /// How often the server read from a socket: with one caller, each time is a round trip.
    async fn reads(&mut self) -> u64 {
        let about: String = redis::cmd("INFO")
            .arg("stats")
            .query_async(&mut self.connection)
            .await
            .expect("a server that answers INFO");
        let line = about
            .lines()
            .find_map(|line| line.strip_prefix("total_reads_processed:"));
        line.and_then(|count| count.parse().ok())
            .expect("a count of Redis 6.2 and later")
    }
}
