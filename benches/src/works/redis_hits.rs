//! Hits in Redis: what every call of a cached function costs when all is well.
//!
//! **The first contender is redis-rs by hand**, and the others are ratios to it.

use crate::contenders::{RedisCached, multiplexed, with_manager};
use crate::load::Load;
use crate::section::{Bars, Group, Section};
use crate::settings::Settings;
use crate::turns::{Entrant, Standing, take_turns};
use crate::values::Size;

const HEADER: [&str; 7] = ["", "ratio", "least–most", "a call", "p50", "p99", "p99.9"];

/// Values of 330 bytes, all contenders, all numbers of callers.
pub(crate) async fn run(settings: &Settings) -> Section {
    let entrants = entrants(&settings.redis_url()).await;
    let (mut rows, mut groups) = (Vec::new(), Vec::new());
    for (name, callers, keys) in [
        ("1 caller", 1, 10_000),
        ("8 callers", 8, 10_000),
        ("64 callers", 64, 10_000),
        ("512 callers", 512, 10_000),
        ("64 callers, one hot key", 64, 1),
    ] {
        let load = Load {
            size: Size::B330,
            callers,
            keys,
            batch: 1,
        };
        let standings = take_turns(settings, &entrants, load).await;
        rows.extend(standings.iter().map(|standing| row(name, standing)));
        let bars = standings.iter().map(|s| (s.name.to_owned(), s.ratio()));
        groups.push(Group {
            name: name.to_owned(),
            bars: bars.collect(),
        });
    }
    Section {
        title: "Hits in Redis, 330 bytes".to_owned(),
        reading: "READING".to_owned(),
        header: HEADER.map(str::to_owned).to_vec(),
        rows,
        bars: Some(Bars {
            title: "A hit in Redis, against redis-rs by hand".to_owned(),
            groups,
        }),
    }
}

async fn entrants(url: &str) -> Vec<Entrant> {
    vec![
        Entrant::new(
            "by hand",
            multiplexed(url).await.expect("a server that runs"),
        ),
        Entrant::new(
            "by hand, manager",
            with_manager(url).await.expect("a server that runs"),
        ),
        Entrant::new("redis_cached", RedisCached::on(url).expect("a URL")),
    ]
}

fn row(load: &str, standing: &Standing) -> Vec<String> {
    let (least, most) = standing.spread();
    let at = |quantile| micros(standing.all.waits.value_at_quantile(quantile) as f64);
    vec![
        format!("{load}: {}", standing.name),
        format!("{:.2}", standing.ratio()),
        format!("{least:.2}–{most:.2}"),
        micros(standing.all.per_call()),
        at(0.5),
        at(0.99),
        at(0.999),
    ]
}

fn micros(nanoseconds: f64) -> String {
    format!("{:.1} µs", nanoseconds / 1_000.0)
}
