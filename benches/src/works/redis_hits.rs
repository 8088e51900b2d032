//! Hits in Redis: what every call of a cached function costs when all is well.
//!
//! **The first contender is redis-rs by hand**, and the others are ratios to it.

use super::hits::{Measured, Named, header, percentiles};
use crate::contenders::{Amalgam, CachedRedis, Hitbox, RedisCached, multiplexed, with_manager};
use crate::load::Load;
use crate::section::{Bars, Section};
use crate::settings::Settings;
use crate::turns::{Entrant, fill};
use crate::values::Size;

const KEYS: u64 = 10_000;

/// What one has to know of all tables of Redis hits.
pub(super) const FORMATS: &str = "\
What is stored is JSON, but for `cached`, whose only format is MessagePack, and for hitbox, which recommends bincode.";

/// Values of 330 bytes, all contenders, all numbers of callers.
pub(crate) async fn run(settings: &Settings) -> Section {
    let entrants = entrants(&settings.server.url()).await;
    fill(&entrants, Size::B330, KEYS).await;
    let mut measured = Measured::default();
    for (name, callers, keys) in [
        ("1 caller", 1, KEYS),
        ("8 callers", 8, KEYS),
        ("64 callers", 64, KEYS),
        ("512 callers", 512, KEYS),
        ("64 callers, one hot key", 64, 1),
    ] {
        let load = Load {
            size: Size::B330,
            callers,
            keys,
            batch: 1,
        };
        let load = Named {
            name: name.to_owned(),
            load,
        };
        measured.measure(settings, &entrants, load).await;
    }
    Section {
        title: "A hit in Redis, 330 bytes of JSON".to_owned(),
        reading: format!(
            "Callers ask for distinct keys out of {KEYS}, or all for the same one. {FORMATS}"
        ),
        header: header(&["p50", "p99", "p99.9"]),
        rows: measured.rows(percentiles),
        bars: Some(Bars {
            title: "A hit in Redis, 330 bytes: time per call, against redis-rs by hand".to_owned(),
            groups: measured.groups(),
        }),
    }
}

async fn entrants(url: &str) -> Vec<Entrant> {
    let mut entrants = near(url).await;
    let hitbox = Hitbox::on(url).expect("a URL");
    let amalgam = Amalgam::on(url).await.expect("a server that runs");
    entrants.push(Entrant::new("hitbox", hitbox));
    entrants.push(Entrant::new("amalgam", amalgam));
    entrants
}

/// Those that are near by hand.
pub(super) async fn near(url: &str) -> Vec<Entrant> {
    let by_hand = multiplexed(url).await.expect("a server that runs");
    let manager = with_manager(url).await.expect("a server that runs");
    vec![
        Entrant::new("by hand", by_hand),
        Entrant::new("by hand, manager", manager),
        Entrant::new("redis_cached", RedisCached::on(url).expect("a URL")),
        Entrant::new("cached", CachedRedis::on(url)),
    ]
}
