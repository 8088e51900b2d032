//! Hits in the process's own memory: what a call costs where nothing has to be waited for.
//!
//! **The first contender is the clone of the value**, which every one that hands out values pays.

use super::hits::{Measured, Named, header};
use crate::contenders::{
    Amalgam, CachedByKey, CachedSharded, Floor, Hitbox, Moka, RedisCachedInMemory,
};
use crate::load::Load;
use crate::section::{Bars, Section};
use crate::settings::Settings;
use crate::turns::{Entrant, fill};
use crate::values::Size;

const KEYS: u64 = 1_000;
/// Calls between two looks at the clock.
const BATCH: u32 = 100;

/// Small values, for one caller and for eight.
pub(crate) async fn run(settings: &Settings) -> Section {
    let entrants = entrants();
    let mut measured = Measured::default();
    for size in [Size::B330, Size::B50] {
        fill(&entrants, size, KEYS).await;
        for callers in [1, 8] {
            let plural = if callers == 1 { "" } else { "s" };
            let name = format!("{}, {callers} caller{plural}", size.name());
            let load = Load {
                size,
                callers,
                keys: KEYS,
                batch: BATCH,
            };
            measured
                .measure(settings, &entrants, Named { name, load })
                .await;
        }
    }
    Section {
        title: "A hit in memory".to_owned(),
        reading: format!(
            "Callers ask for distinct keys out of {KEYS}. The first line clones a value out of a list. hitbox keeps bytes, \
             as it recommends, and decodes them; the others keep the value, unless they say otherwise."
        ),
        header: header(&[]),
        rows: measured.rows(|_| Vec::new()),
        bars: Some(Bars {
            title: "A hit in memory: time per call, against cloning the value alone".to_owned(),
            groups: measured.groups(),
        }),
    }
}

fn entrants() -> Vec<Entrant> {
    let amalgam = Amalgam::in_memory().expect("options that go together");
    vec![
        Entrant::new("clone alone", Floor::of(KEYS)),
        Entrant::new("redis_cached", RedisCachedInMemory),
        Entrant::new("cached, sharded", CachedSharded),
        Entrant::new("cached, by_key", CachedByKey),
        Entrant::new("moka", Moka::new()),
        Entrant::new("hitbox-moka", Hitbox::in_memory()),
        Entrant::new("amalgam", amalgam),
    ]
}
