//! What goes on while a body runs: the right to store, and the lock, are kept.
//!
//! The one rule: **a lock lives no longer than the body that it is held for**, whatever becomes of that.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::{acquire::Granted, alarm::alarm};
use crate::token::{self, Held};

/// How often a body that runs for long renews its right to store.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often it renews its lock.
const LOCK_RENEWAL: Duration = Duration::from_millis(600);

/// Renews the right to store, and the lock, while the body runs.
pub(crate) async fn renewing<F: Future + Unpin>(
    granted: Option<&Granted>,
    mut body: F,
) -> F::Output {
    let Some(granted) = granted else {
        return body.await;
    };
    let pause = if granted.token.has_lock() {
        LOCK_RENEWAL
    } else {
        RENEWAL
    };
    let mut renewed = Instant::now();
    // Dropped with a body that is given up or panics, because those who wait for the lock are to go on.
    let held = Held::of(&granted.redis, &granted.keys, &granted.token);
    loop {
        tokio::select! {
            biased;
            outcome = &mut body => {
                // What stores or releases takes care of the lock.
                held.keep();
                return outcome;
            }
            () = alarm(tokio::time::Instant::now() + pause) => {
                let Granted { redis, keys, token } = granted.clone();
                let deadline = Instant::now() + pause;
                let token_too = renewed.elapsed() + pause > RENEWAL;
                if token_too {
                    renewed = Instant::now();
                }
                // A failure shows when the value is stored: the token has expired then.
                drop(tokio::spawn(async move {
                    drop(token::renew_lock(&redis, &keys, &token, deadline).await);
                    if token_too {
                        drop(token::renew(&redis, &keys, deadline).await);
                    }
                }));
            }
        }
    }
}
