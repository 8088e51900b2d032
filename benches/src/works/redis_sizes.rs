//! Hits in Redis, of smaller and of larger values: what decoding and copying cost.
//!
//! **The first contender is redis-rs by hand**, and the others are ratios to it.

use super::hits::{Measured, Named, header, percentiles};
use super::redis_hits::{FORMATS, near};
use crate::load::Load;
use crate::section::Section;
use crate::settings::Settings;
use crate::turns::fill;
use crate::values::Size;

/// Values of other sizes, for one caller and for 64.
pub(crate) async fn run(settings: &Settings) -> Section {
    let entrants = near(&settings.server.url()).await;
    let mut measured = Measured::default();
    for (size, keys) in [(Size::B50, 10_000), (Size::Kb10, 1_024), (Size::Kb200, 64)] {
        fill(&entrants, size, keys).await;
        for callers in [1, 64] {
            let plural = if callers == 1 { "" } else { "s" };
            let name = format!("{}, {callers} caller{plural}", size.name());
            let load = Load {
                size,
                callers,
                keys,
                batch: 1,
            };
            measured
                .measure(settings, &entrants, Named { name, load })
                .await;
        }
    }
    Section {
        title: "A hit in Redis, by size".to_owned(),
        reading: format!("Callers ask for distinct keys. Sizes are those of the JSON. {FORMATS}"),
        header: header(&["p50", "p99", "p99.9"]),
        rows: measured.rows(percentiles),
        bars: None,
    }
}
