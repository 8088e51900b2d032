//! Delays of all sizes, so that nothing happens in step.

use std::time::Duration;

/// One time in `n`.
pub(crate) fn chance(n: u32) -> bool {
    fastrand::u32(0..n) == 0
}

/// Mostly none or short, seldom long.
pub(crate) async fn pause() {
    let micros = match fastrand::u32(0..100) {
        0..40 => return tokio::task::yield_now().await,
        40..80 => 0..5_000,
        80..98 => 5_000..40_000,
        _ => 40_000..400_000,
    };
    tokio::time::sleep(Duration::from_micros(fastrand::u64(micros))).await;
}

/// As long as a person might think, if there were one.
pub(crate) async fn idle(millis: u64) {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..millis * 1000))).await;
}
