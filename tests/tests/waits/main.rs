//! P5 where a wait would not end: a body that asks for its own key, one that hangs, one that nobody polls.
//!
//! A paused clock of tokio's goes on when nobody has anything else to do, so such a test waits for half a minute
//! in no time, and to the second.
#![allow(missing_docs)]

mod behind;
mod bounded;
mod own_key;

use std::time::Duration;

use cache_runtime::{SiteStats, sites};
use tokio::task::JoinSet;

/// `run_wait`, as the documentation says.
const DEFAULT: Duration = Duration::from_secs(30);

/// For real clocks: what is waited for comes after it, however busy the machine is.
const SHORT: Duration = Duration::from_millis(200);

/// What happened to the calls of a function since the process began; only one test may call it.
fn stats(function: &str) -> SiteStats {
    let site = sites().into_iter().find(|site| site.function == function);
    site.expect("it was called").stats
}

/// Many callers at once, each on a task of its own.
fn herd<F>(callers: usize, call: impl Fn() -> F) -> JoinSet<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    (0..callers).map(|_| call()).collect()
}
