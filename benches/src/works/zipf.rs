//! Keys as they are asked for in life, a few often and most of them seldom, by a service that begins with nothing.
//!
//! **All contenders are asked for the same keys in the same order**, and Redis is emptied before each.

use std::collections::HashSet;
use std::time::Duration;

use cache_tests::RedisServer;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Zipf};

use super::callers::{HEADER, ask};
use crate::contenders::slow::{ON_REDIS, source_takes};
use crate::section::Section;
use crate::settings::Settings;
use crate::values::Size;

const KEYS: u32 = 100_000;
/// How many callers there are in the works that draw keys so.
pub(super) const CALLERS: u64 = 64;
/// How long the source takes in them.
pub(super) const SOURCE: Duration = Duration::from_millis(10);

/// From cold, a number of calls.
pub(crate) async fn run(settings: &Settings) -> Section {
    let server = RedisServer::start().await;
    source_takes(SOURCE);
    let each = if settings.quick { 50 } else { 1_000 };
    let mut rows = Vec::new();
    for make in ON_REDIS {
        server.empty().await;
        let function = make(&server.url()).await;
        let callers = (0..CALLERS).map(|caller| ids(KEYS, caller).take(each));
        rows.push(ask(&function, callers).await.row(&function));
    }
    let asked: HashSet<u64> = (0..CALLERS).flat_map(|c| ids(KEYS, c).take(each)).collect();
    Section {
        title: "A cold start".to_owned(),
        reading: format!(
            "{CALLERS} callers make {each} calls each, for {KEYS} keys by Zipf's law (exponent 1), over a source that takes {} ms; Redis is \
             empty in the beginning. They ask for {} different keys, so the source cannot be asked less often: fewer *source runs* are \
             better, and so are more *hits*, which are calls without a run of their own. amalgam's tier in memory is skipped.",
            SOURCE.as_millis(),
            asked.len(),
        ),
        header: HEADER.map(str::to_owned).to_vec(),
        rows,
        bars: None,
    }
}

/// What a caller asks for, without an end.
pub(super) fn ids(keys: u32, caller: u64) -> impl Iterator<Item = u64> {
    let law = Zipf::new(f64::from(keys), 1.0).expect("at least one key");
    let ranks = law.sample_iter(StdRng::seed_from_u64(caller));
    ranks.map(|rank| Size::B330.first_id() + rank as u64)
}
