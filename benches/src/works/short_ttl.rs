//! Values that end while they are asked for: who waits for the source then.
//!
//! **Every key ends several times**, and all keys are stored before.

use std::time::{Duration, Instant};

use cache_tests::RedisServer;

use super::callers::{HEADER, ask, ask_with};
use super::zipf::{CALLERS, SOURCE, ids};
use crate::contenders::slow::{short_lived, source_takes};
use crate::section::Section;
use crate::settings::Settings;
use crate::values::Size;

const KEYS: u32 = 1_000;
/// The column that says nothing here: a source run in the background makes no miss.
const HITS: usize = 2;
/// After each call, so that callers do not wait for each other.
const PAUSE: Duration = Duration::from_millis(5);

/// Some lifetimes long.
pub(crate) async fn run(settings: &Settings) -> Section {
    let server = RedisServer::start().await;
    source_takes(SOURCE);
    let time = Duration::from_millis(if settings.quick { 1_500 } else { 4_000 });
    let mut rows = Vec::new();
    for function in short_lived(&server.url()).await {
        server.empty().await;
        // Ranks begin at one, and a key more does no harm.
        let all = |caller| {
            (0..=u64::from(KEYS))
                .skip(caller as usize)
                .step_by(CALLERS as usize)
        };
        let fill = (0..CALLERS).map(|c| all(c).map(|rank| Size::B330.first_id() + rank));
        ask(&function, fill).await;
        let end = Instant::now() + time;
        let callers = (0..CALLERS).map(|c| ids(KEYS, c).take_while(move |_| Instant::now() < end));
        let mut row = ask_with(&function, callers, PAUSE).await.row(&function);
        row.remove(HITS);
        rows.push(row);
    }
    let mut header = HEADER.map(str::to_owned).to_vec();
    header.remove(HITS);
    Section {
        title: "Values that end under load".to_owned(),
        reading: format!(
            "{CALLERS} callers ask for {} seconds, with pauses of {} ms, for {KEYS} keys by Zipf's law, all of them stored before, over a source \
             that takes {} ms. Values are fresh for one second, but for the first line, which is hits alone. Whoever serves the old value, or makes a new one in \
             time, lets hardly anybody wait for the source: the nearer *p99.9* is to the first line's, the better. amalgam could also serve old values where it is told to limit the source's time, which none is here.",
            time.as_secs_f64(),
            PAUSE.as_millis(),
            SOURCE.as_millis(),
        ),
        header,
        rows,
        bars: None,
    }
}
